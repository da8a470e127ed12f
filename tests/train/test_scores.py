"""Accuracies from scores, against counts made by hand and by loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.errors import UserError
from gsfnas.train import TaskScores, VideoScores, read_scores
from gsfnas.train._scores import joined

CLASSES = tuple("abcdefg")


def scored(scores, labels, classes=CLASSES) -> TaskScores:
    return TaskScores(np.array(scores, dtype=np.float32), np.array(labels), classes)


HAND = scored(
    [
        [9, 1, 0, 0, 0, 0, 0],
        [9, 1, 0, 0, 0, 0, 0],
        [1, 2, 3, 4, 5, 6, 7],
        [0, 0, 0, 0, 0, 0, 1],
        [5, 4, 3, 2, 1, 0, 9],
    ],
    [0, 1, 1, 6, 5],
)


def test_accuracies_counted_by_hand():
    assert HAND.predictions.tolist() == [0, 0, 6, 6, 6]
    assert HAND.accuracy() == 2 / 5
    # In the third the label is the sixth of seven, in the last the last.
    assert HAND.accuracy(5) == 3 / 5
    assert HAND.accuracy(7) == 1.0
    assert np.array_equal(HAND.class_accuracy(), [1, 0, math.nan, math.nan, math.nan, 0, 1], equal_nan=True)
    assert HAND.mean_class_accuracy() == 0.5
    confusion = np.zeros((7, 7))
    confusion[0, 0] = confusion[1, 0] = confusion[1, 6] = confusion[6, 6] = confusion[5, 6] = 1
    assert np.array_equal(HAND.confusion(), confusion)


@given(data=st.data(), videos=st.integers(1, 20), classes=st.integers(2, 7))
def test_accuracies_are_those_of_a_loop(data, videos, classes):
    drawn = st.lists(st.integers(-3, 3), min_size=classes, max_size=classes)
    scores = data.draw(st.lists(drawn, min_size=videos, max_size=videos))
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=videos, max_size=videos))
    task = scored(scores, labels, CLASSES[:classes])
    for k in (1, 2, 5):
        hits = 0
        for row, label in zip(scores, labels, strict=True):
            ranked = sorted(range(classes), key=lambda each: (-row[each], each))
            hits += label in ranked[:k]
        assert task.accuracy(k) == pytest.approx(hits / videos)
    assert task.confusion().sum() == videos
    assert task.confusion().diagonal().sum() / videos == pytest.approx(task.accuracy())
    present = set(labels)
    shares = [
        sum(label == each == guess for label, guess in zip(labels, task.predictions, strict=True)) / labels.count(each)
        for each in present
    ]
    assert task.mean_class_accuracy() == pytest.approx(sum(shares) / len(present))


VERBS, NOUNS = ("cut", "wash"), ("pan", "tap", "board")


@pytest.fixture
def kitchen() -> VideoScores:
    """Three videos; the action 'wash board' does not occur."""
    actions = ("cut board", "cut pan", "wash pan", "wash tap")
    verb = scored([[2, 0], [0, 1], [3, 2.9]], [0, 1, 1], VERBS)
    noun = scored([[0, 1, 3], [0, 0.5, 4], [0, 6, 0]], [2, 1, 1], NOUNS)
    action = scored([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], [0, 3, 3], actions)
    return VideoScores({"action": action, "verb": verb, "noun": noun}, ("x", "y", "z"))


def test_actions_from_the_product_of_verb_and_noun(kitchen):
    product = kitchen.product()
    pairs = {"cut board": (0, 2), "cut pan": (0, 0), "wash pan": (1, 0), "wash tap": (1, 1)}
    for video in range(3):
        for number, (verb, noun) in enumerate(pairs.values()):
            chance = 1.0
            for task, each in (("verb", verb), ("noun", noun)):
                powers = np.exp(kitchen.tasks[task].scores[video].astype(np.float64))
                chance *= powers[each] / powers.sum()
            assert np.exp(product.scores[video, number]) == pytest.approx(chance, rel=1e-5)
    # 'wash board' would win the second video if it were an action.
    assert [product.classes[each] for each in product.predictions] == ["cut board", "cut board", "wash tap"]
    metrics = kitchen.metrics()
    assert metrics["test_top1.verb x noun"] == pytest.approx(2 / 3)
    assert metrics["test_top1"] == metrics["test_top1.action"] == pytest.approx(1 / 3)
    assert metrics["test_top1.verb"] == pytest.approx(2 / 3)
    assert {name for name in metrics if "mean_class" in name} == {
        "test_mean_class",
        *(f"test_mean_class.{task}" for task in ("action", "verb", "noun")),
    }


def test_one_task_has_no_product_and_names_no_task():
    found = VideoScores({"class": HAND}, tuple("12345")).metrics("val")
    assert found == {"val_top1": 0.4, "val_top5": 0.6, "val_mean_class": 0.5}


def test_what_is_saved_is_read(kitchen, tmp_path):
    path = tmp_path / "scores.npz"
    path.write_bytes(kitchen.to_npz())
    again = read_scores(path)
    assert again.names == kitchen.names
    assert again.metrics() == kitchen.metrics()
    with np.load(path, allow_pickle=False) as file:
        assert np.array_equal(file["confusion.verb"], kitchen.tasks["verb"].confusion())
        assert np.array_equal(file["product.scores"], kitchen.product().scores)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 half"])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "scores.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="holds no scores") as caught:
        read_scores(path)
    assert "\n" not in str(caught.value)


def test_sections_are_joined_in_order(kitchen):
    def section(start, stop):
        tasks = {
            task: TaskScores(one.scores[start:stop], one.labels[start:stop], one.classes) for task, one in kitchen.tasks.items()
        }
        return VideoScores(tasks, kitchen.names[start:stop])

    whole = joined([section(0, 1), section(1, 1), section(1, 3)])
    assert whole.names == kitchen.names
    assert whole.metrics() == kitchen.metrics()
