"""A folder of real files as a data set: both layouts, both kinds of clip."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import open_data

from ...media import numbered, numbers_of, write_images
from .library import CLASSES, divide, everything, settings


def test_given_splits_are_kept_and_the_middle_frames_read(root: Path) -> None:
    data = open_data(settings(divide(root)))
    assert data.tasks == {"class": CLASSES}
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "val": 2, "test": 2}
    clips, labels = everything(data, "test")
    assert clips.shape == (2, 4, 3, 16, 16)
    assert labels.tolist() == [0, 1]
    assert numbers_of(clips[1]) == [3, 9, 15, 21]
    assert numbers_of(clips[0]) == [20, 14, 8, 2]


@pytest.mark.parametrize("cache_gb", [4.0, 0.0])
def test_training_takes_random_places_of_each_segment(root: Path, cache_gb: float) -> None:
    data = open_data(settings(divide(root), cache_gb=cache_gb))
    ((clips, labels),) = data.splits["train"].batches(100, augment_seed=3)
    seen = {tuple(numbers_of(clip)) for clip, label in zip(clips.numpy(), labels["class"].tolist(), strict=True) if label == 1}
    assert len(seen) > 1
    for numbers in seen:
        assert all(6 * segment <= number < 6 * segment + 6 for segment, number in enumerate(numbers))


def test_the_fingerprint_is_of_contents_not_of_the_place(root: Path, tmp_path: Path) -> None:
    root = divide(root)
    before = open_data(settings(root)).fingerprint
    moved = tmp_path / "elsewhere" / "name"
    shutil.copytree(root, moved)
    assert open_data(settings(moved)).fingerprint == before
    (clip,) = (moved / "test" / "rise").iterdir()
    for image in clip.iterdir():
        image.unlink()
    write_images(clip, list(numbered(24, 36, 48) + np.uint8(99)))
    assert open_data(settings(moved)).fingerprint != before
    assert open_data(settings(root, frames=5)).fingerprint != before


def test_odd_sizes_are_resized_by_their_short_side_and_cut_in_the_middle(tmp_path: Path) -> None:
    root = tmp_path / "set"
    wide = np.zeros((8, 20, 60, 3), np.uint8)
    wide[:, :, 20:40] = 200
    for split in ("train", "val", "test"):
        write_images(root / split / "wide" / "a", list(wide))
        write_images(root / split / "tall" / "a", list(wide.transpose(0, 2, 1, 3)[:, :, :17]))
    clips, labels = everything(open_data(settings(root, resolution=10)), "test")
    assert clips.shape == (2, 4, 3, 10, 10)
    assert (np.abs(clips[labels == 1].astype(int) - 200) < 40).all()
