"""Classes of mirrored clips: by rule and by data set, each swap undone by a second one."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas import component
from gsfnas.data.sets import DATA_SETS
from gsfnas.data.sets._flip_labels import RULES, flip_labels
from gsfnas.data.twins._classes import classes as twins_classes
from gsfnas.data.twins._classes import mirrored as mirrored_twins
from gsfnas.data.twins._classes import pairs_of
from gsfnas.errors import UserError

SOMETHING = (
    "Closing something",
    "Pulling something from left to right",
    "Pulling something from right to left",
    "Turning the camera right while filming something",
    "Turning the camera left while filming something",
    "Turning the camera upwards while filming something",
)
OWN = {name: component.find(name, DATA_SETS, "data set").flip for name in DATA_SETS if name != "twins"}
WORDS = st.sampled_from(
    ["left", "right", "Left", "RIGHT", "lEft", "a", "upright", "leftover", "from", "left_right", "right-left"]
)
NAMES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
TWINS = twins_classes(pairs_of(0, 0))
VOCABULARIES = st.lists(NAMES, min_size=1, max_size=30, unique=True)


def mirrored(classes, rule: str = "left_right", own: str = "none") -> dict[str, str | None]:
    mirror = flip_labels(classes, rule, own)
    return {name: None if other < 0 else classes[other] for name, other in zip(classes, mirror.tolist(), strict=True)}


@given(VOCABULARIES | st.permutations(TWINS), st.sampled_from(RULES), st.sampled_from(sorted(set(OWN.values()))))
def test_the_mirror_of_a_mirror_is_the_class_itself(classes: list[str], rule: str, own: str) -> None:
    if rule == "twins" and set(classes) != set(TWINS):
        return
    mirror = flip_labels(classes, rule, own)
    if mirror is None:
        return
    assert mirror.shape == (len(classes),)
    assert mirror.dtype == np.int64
    numbers = np.arange(len(classes))
    assert (mirror >= -1).all()
    assert (mirror < len(classes)).all()
    fits = mirror >= 0
    assert np.array_equal(mirror[mirror[fits]], numbers[fits])


@given(st.lists(NAMES.filter(lambda name: "lEft" not in name), max_size=10))
def test_a_vocabulary_with_both_sides_of_everything_has_a_mirror_for_all(names: list[str]) -> None:
    swaps = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "RIGHT": "LEFT", "LEFT": "RIGHT"}
    others = {name: "".join(swaps.get(word, word) for word in re.split("([ _-])", name)) for name in names}
    classes = sorted({*others.keys(), *others.values()})
    expected = {**others, **{other: name for name, other in others.items()}}
    assert mirrored(classes) == expected


def test_left_and_right_by_hand() -> None:
    assert flip_labels(SOMETHING, "left_right", "none").tolist() == [0, 2, 1, 4, 3, 5]


def test_case_is_kept_and_only_whole_words_count() -> None:
    classes = ("Left arm", "Right arm", "MOVE LEFT", "MOVE RIGHT", "set upright", "set upleft", "to_the_left", "to_the_right")
    expected = dict(
        zip(classes, ("Right arm", "Left arm", "MOVE RIGHT", "MOVE LEFT", *classes[4:6], *classes[:5:-1]), strict=True)
    )
    assert mirrored(classes) == expected


def test_a_class_without_its_counterpart_is_not_mirrored() -> None:
    assert mirrored(("push left", "push right", "pull left", "stay", "LEFT", "Right", "lEfT", "right")) == {
        "push left": "push right",
        "push right": "push left",
        "pull left": None,
        "stay": "stay",
        "LEFT": None,
        "Right": None,
        "lEfT": None,
        "right": None,
    }


def test_plain_and_none() -> None:
    assert flip_labels(SOMETHING, "plain", "left_right").tolist() == [0, 1, 2, 3, 4, 5]
    assert flip_labels(SOMETHING, "none", "left_right") is None


@pytest.mark.parametrize("rule", ["twins", "auto"])
@pytest.mark.parametrize("own", sorted(set(OWN.values())))
def test_twins_are_mirrored_by_name_in_any_order(rule: str, own: str) -> None:
    assert flip_labels(TWINS, rule, own).tolist() == list(mirrored_twins(pairs_of(0, 0)))
    by_name = mirrored(TWINS, rule, own)
    assert by_name["jumps left over another"] == "jumps right over another"
    assert by_name["turns clockwise"] == "turns counter-clockwise"
    assert by_name["moves up"] == "moves up"
    for classes in (sorted(TWINS), TWINS[::-1]):
        assert mirrored(classes, rule, own) == by_name


@pytest.mark.parametrize(
    ("data_set", "expected"),
    [
        ("folder", None),
        ("something_v1", [0, 2, 1, 4, 3, 5]),
        ("something_v2", [0, 2, 1, 4, 3, 5]),
        ("kinetics400", [0, 1, 2, 3, 4, 5]),
        ("diving48", [0, 1, 2, 3, 4, 5]),
        ("epic_kitchens_100", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_auto_is_the_rule_of_the_data_set(data_set: str, expected: list[int] | None) -> None:
    mirror = flip_labels(SOMETHING, "auto", OWN[data_set])
    assert (mirror if mirror is None else mirror.tolist()) == expected


def test_some_of_the_classes_of_twins_are_not_twins() -> None:
    assert flip_labels(TWINS[:-1], "auto", "none") is None
    with pytest.raises(UserError, match="needs the 24 classes of Twins, but 'the light goes out' is missing"):
        flip_labels(TWINS[:-1], "twins", "none")
    with pytest.raises(UserError, match="needs the 24 classes of Twins, but 'runs' is none of them"):
        flip_labels((*TWINS, "runs"), "twins", "none")


def test_an_unknown_rule_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown mirror rule 'plane'; did you mean 'plain'\?"):
        flip_labels(SOMETHING, "plane", "none")
