"""Clips that stay on a device are the clips that would have travelled, byte for byte."""

import dataclasses

import pytest
import torch

from gsfnas.data import open_data
from gsfnas.train._resident import can_stay, on_device, resident

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def splits(data):
    return open_data(data).splits


def assert_same(ours, theirs):
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs) > 1
    for (clips, labels), (expected, expected_labels) in zip(ours, theirs, strict=True):
        assert clips.dtype == torch.uint8
        assert torch.equal(clips, expected)
        assert labels.keys() == expected_labels.keys()
        assert all(torch.equal(labels[task], expected_labels[task]) for task in labels)


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_training_moves_and_mirrors_them_all_the_same(splits, share):
    asked = {"shuffle_seed": 3, "augment_seed": 5, "share": share, "start": 1}
    split = splits["train"]
    assert_same(resident(split, CPU).batches(20, **asked), split.batches(20, **asked))
    # Augmentation does something here, or nothing would be shown.
    (moved, _), (still, _) = (next(split.batches(20, shuffle_seed=3, augment_seed=seed)) for seed in (5, None))
    assert not torch.equal(moved, still)


def test_validation_reads_them_as_they_are(splits):
    split = splits["val"]
    assert_same(resident(split, CPU).batches(20), split.batches(20))
    section = split.section(10, 40)
    assert_same(resident(split, CPU).section(10, 40).batches(8), section.batches(8))


@pytest.mark.parametrize(
    ("change", "stays"),
    [({}, True), ({"augment": "paper"}, False), ({"policy": "autoaugment"}, False), ({"flip": "none"}, True)],
)
def test_only_clips_that_are_moved_and_mirrored_can_stay(data, change, stays):
    assert can_stay(open_data(dataclasses.replace(data, **change)).splits["train"]) == stays


def test_on_a_cpu_nothing_changes(splits):
    assert on_device(splits["train"], CPU) is splits["train"]


@pytest.mark.parametrize(("free", "stays"), [(10**9, True), (10**5, False)])
def test_a_gpu_keeps_what_it_has_room_for(splits, monkeypatch, free, stays):
    from gsfnas.train import _resident

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    monkeypatch.setattr(_resident, "resident", lambda split, device: "resident")
    split = splits["train"]
    assert on_device(split, torch.device("cuda")) == ("resident" if stays else split)
