"""Splits of a folder: given, drawn and recorded."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import open_data

from ...media import numbered, write_video
from .library import divide, everything, refused, settings


def test_a_drawn_split_is_stratified_recorded_and_leaves_the_folder_alone(root: Path) -> None:
    before = sorted(root.rglob("*"))
    data = open_data(settings(root))
    assert sorted(root.rglob("*")) == before
    for split, count in {"train": 4, "val": 1, "test": 1}.items():
        assert np.bincount(data.splits[split].labels["class"]).tolist() == [count, count]
    (record,) = (root.parent / "cache").rglob("split-*.json")
    dealt = json.loads(record.read_text())
    assert len(dealt) == 12
    # What is recorded counts: the clips of test and val change places.
    swapped = {path: {"val": "test", "test": "val"}.get(split, split) for path, split in dealt.items()}
    other = everything(data, "val")[0]
    record.write_text(json.dumps(swapped))
    assert np.array_equal(everything(open_data(settings(root)), "test")[0], other)
    assert open_data(settings(root, seed=1)).fingerprint != data.fingerprint


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"rise/0.mp4": "tset"}', None])
def test_a_damaged_record_of_a_split_is_made_again(root: Path, content: str | None) -> None:
    before = open_data(settings(root)).fingerprint
    (record,) = (root.parent / "cache").rglob("split-*.json")
    record.unlink()
    if content is None:
        os.mkfifo(record)
    else:
        record.write_text(content)
    assert open_data(settings(root)).fingerprint == before
    assert len(json.loads(record.read_text())) == 12


def test_clips_that_come_later_go_to_training(root: Path) -> None:
    before = open_data(settings(root))
    write_video(root / "rise" / "new.mp4", numbered(24, 36, 48))
    after = open_data(settings(root))
    assert len(after.splits["train"]) == len(before.splits["train"]) + 1
    assert np.array_equal(everything(before, "test")[0], everything(after, "test")[0])


def test_a_split_for_a_root_points_to_the_folder_above(root: Path) -> None:
    root = divide(root)
    assert refused(settings(root / "train")).endswith(f"set data.root={root}")
    home = root.parent / "home"
    home.mkdir()
    root.rename(home / "divided")
    assert f"data.root={home / 'divided'}" in refused(settings(home))


def test_a_class_of_two_clips_cannot_be_split(root: Path) -> None:
    for clip in sorted((root / "rise").iterdir())[:4]:
        shutil.rmtree(clip) if clip.is_dir() else clip.unlink()
    assert "class 'rise' has 2 clips" in refused(settings(root))


def test_mislabelled_splits(root: Path) -> None:
    root = divide(root)
    (root / "val" / "rise").rename(root / "val" / "raise")
    assert "raise is a class that train/ does not have (it has fall, rise)" in refused(settings(root))
    (root / "val" / "raise").rename(root / "val" / "rise")
    (root / "wave").mkdir()
    assert "beside them wave/" in refused(settings(root))
    (root / "wave").rmdir()
    shutil.rmtree(root / "test")
    assert "has train/, val/ but no test/" in refused(settings(root))
