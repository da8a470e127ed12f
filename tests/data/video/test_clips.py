"""Batches: what a seed determines, where a resumed run begins, and what augmentation may change."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.data import ClipSplit, VideoData
from gsfnas.data.video._clips import ALL
from gsfnas.errors import UserError

CLIPS = np.random.default_rng(0).integers(0, 256, (23, 4, 3, 10, 12)).astype(np.uint8)
LABELS = {"class": np.arange(23) % 4, "noun": np.arange(23) % 3}


def read(indices, generator, part=ALL):
    return CLIPS[indices[part]]


def split(ahead: int = 0, mirror: bool = False, shift: int = 0, **more) -> ClipSplit:
    swap = {"class": np.array([1, 0, 2, 3]), "noun": np.arange(3)} if mirror else None
    return ClipSplit(LABELS, read, mirror=swap, shift=shift, ahead=ahead, **more)


def collect(batches) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    return [(clips.numpy(), {task: values.numpy() for task, values in labels.items()}) for clips, labels in batches]


def same(first, second) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a, b) and all(np.array_equal(x[task], y[task]) for task in x)
        for (a, x), (b, y) in zip(first, second, strict=True)
    )


def test_without_seeds_every_clip_comes_once_in_order_with_its_labels() -> None:
    batches = collect(split().batches(5))
    assert [len(clips) for clips, _ in batches] == [5, 5, 5, 5, 3]
    assert np.array_equal(np.concatenate([clips for clips, _ in batches]), CLIPS)
    for task, values in LABELS.items():
        assert np.array_equal(np.concatenate([labels[task] for _, labels in batches]), values)
        assert batches[0][1][task].dtype == np.int64
    assert len(split()) == 23


@given(st.integers(1, 30), st.integers(0, 3), st.integers(0, 3), st.integers(0, 6), st.sampled_from([0, 2]))
def test_seeds_determine_the_batches_wherever_one_begins(size: int, shuffle: int, augment: int, start: int, ahead: int) -> None:
    def epoch(start: int, ahead: int = 0):
        seeds = {"shuffle_seed": shuffle, "augment_seed": augment}
        return collect(split(ahead, mirror=True, shift=2).batches(size, start=start, **seeds))

    whole = epoch(0)
    assert sum(len(clips) for clips, _ in whole) == 23
    assert same(epoch(start, ahead), whole[start:])


def test_skipped_batches_are_not_read() -> None:
    seen = []

    def reading(indices, generator, part=ALL):
        seen.extend(indices.tolist())
        return CLIPS[indices[part]]

    list(ClipSplit(LABELS, reading).batches(5, start=4))
    assert seen == [20, 21, 22]


def test_seeds_matter() -> None:
    first, second = (collect(split().batches(23, shuffle_seed=seed)) for seed in (0, 1))
    assert not same(first, second)
    first, second = (collect(split(shift=2).batches(23, augment_seed=seed)) for seed in (0, 1))
    assert not same(first, second)


def test_a_shift_moves_all_frames_of_a_clip_alike_and_repeats_the_edge() -> None:
    still = np.repeat(CLIPS[:, :1], 4, axis=1)
    still_split = ClipSplit(LABELS, lambda indices, generator, part=ALL: still[indices[part]], shift=3)
    ((clips, _),) = collect(still_split.batches(23, augment_seed=0))
    assert np.array_equal(clips, np.repeat(clips[:, :1], 4, axis=1))
    shifts = range(-3, 4)
    for clip, source in zip(clips, still, strict=True):
        padded = np.pad(source, ((0, 0), (0, 0), (3, 3), (3, 3)), mode="edge")
        moved = (padded[:, :, 3 + y : 13 + y, 3 + x : 15 + x] for y, x in itertools.product(shifts, shifts))
        assert any(np.array_equal(clip, candidate) for candidate in moved)


def test_a_mirrored_clip_gets_the_mirrored_label() -> None:
    ((clips, labels),) = collect(split(mirror=True).batches(23, augment_seed=0))
    flipped = np.array([np.array_equal(clip, source[..., ::-1]) for clip, source in zip(clips, CLIPS, strict=True)])
    kept = np.array([np.array_equal(clip, source) for clip, source in zip(clips, CLIPS, strict=True)])
    assert (flipped ^ kept).all()
    assert 5 < flipped.sum() < 18
    assert np.array_equal(labels["class"], np.where(flipped, np.array([1, 0, 2, 3])[LABELS["class"]], LABELS["class"]))
    assert np.array_equal(labels["noun"], LABELS["noun"])


def test_nothing_is_mirrored_without_a_rule_for_the_labels() -> None:
    ((clips, labels),) = collect(split().batches(23, augment_seed=0))
    assert np.array_equal(clips, CLIPS)
    assert np.array_equal(labels["class"], LABELS["class"])


def test_a_class_without_a_mirrored_one_is_never_mirrored() -> None:
    mirror = {"class": np.array([1, 0, -1, 3]), "noun": np.array([0, -1, 2])}
    ((clips, labels),) = collect(ClipSplit(LABELS, read, mirror=mirror).batches(23, augment_seed=0))
    flipped = np.array([not np.array_equal(clip, source) for clip, source in zip(clips, CLIPS, strict=True)])
    assert flipped.any()
    assert not flipped[(LABELS["class"] == 2) | (LABELS["noun"] == 1)].any()
    assert (labels["class"] >= 0).all()
    assert np.array_equal(labels["noun"], LABELS["noun"])


@pytest.mark.parametrize("policy", ["autoaugment", "randaugment"])
def test_a_policy_changes_clips_as_the_seed_says(policy: str) -> None:
    first, again, other = (collect(split(policy=policy).batches(23, augment_seed=seed)) for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)
    assert same(collect(split(policy=policy).batches(23)), collect(split().batches(23))), "testing changes nothing"


def test_worker_processes_give_the_same_batches() -> None:
    import torch

    seeds = {"shuffle_seed": 1, "augment_seed": 2, "start": 1}
    before = torch.random.get_rng_state()
    there = collect(split(mirror=True, shift=2, policy="randaugment", workers=2).batches(4, **seeds))
    assert torch.equal(before, torch.random.get_rng_state()), "training draws from this generator"
    assert same(there, collect(split(mirror=True, shift=2, policy="randaugment").batches(4, **seeds)))


def test_a_mistake_in_a_worker_process_is_one_line() -> None:
    with pytest.raises(UserError) as caught:
        list(ClipSplit(LABELS, broken, workers=1).batches(5))
    assert str(caught.value) == "clip 10 is gone"


def broken(indices, generator, part=ALL):
    if 10 in indices:
        raise UserError("clip 10 is gone")
    return CLIPS[indices[part]]


def test_an_error_while_reading_ahead_reaches_the_caller() -> None:
    with pytest.raises(UserError, match="clip 10"):
        list(ClipSplit(LABELS, broken, ahead=2).batches(5))


def test_leaving_early_stops_reading_ahead() -> None:
    seen = []

    def reading(indices, generator, part=ALL):
        seen.append(int(indices[0]))
        return CLIPS[indices[part]]

    for _ in ClipSplit(LABELS, reading, ahead=2).batches(1):
        break
    assert len(seen) <= 4


def test_an_unknown_split_lists_the_known_ones() -> None:
    data = VideoData("x", {"class": ("a", "b")}, {"train": split(), "val": split()}, "print")
    assert data.split("val") is data.splits["val"]
    with pytest.raises(UserError, match=r"unknown split 'vall'; did you mean 'val'\?"):
        data.split("vall")
