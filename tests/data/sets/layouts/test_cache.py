"""The cache changes no clip, and a disk that is full no result."""

import errno
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import VideoData, open_data
from gsfnas.data.video import _clip_reader, _probe
from gsfnas.errors import UserError
from gsfnas.files import CannotWriteError

from .exports import everything, settings


@pytest.mark.parametrize("augment", ["light", "paper"])
@pytest.mark.parametrize("layout", ["something_v1", "something_v2", "epic_kitchens_100"])
def test_the_cache_changes_no_clip(exports: Path, tmp_path: Path, layout: str, augment: str) -> None:
    def opened(cache_gb: float, workers: int = 0) -> VideoData:
        # More frames than a clip has, so that training can choose.
        values = {"frames": 2, "augment": augment, "cache_gb": cache_gb, "workers": workers, "cache": str(tmp_path)}
        return open_data(settings(exports / layout, layout, **values))

    kept, direct, there = opened(1.0), opened(0.0), opened(1.0, workers=2)
    assert kept.fingerprint == direct.fingerprint == there.fingerprint
    for seeds in ({}, {"augment_seed": 0}, {"augment_seed": 1, "shuffle_seed": 2}):
        for other in (direct, there):
            for split in ("train", "val"):
                (clips, labels), (same, known) = everything(kept, split, **seeds), everything(other, split, **seeds)
                assert np.array_equal(clips, same)
                assert all(np.array_equal(labels[task], known[task]) for task in labels)


def test_the_second_time_no_file_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_data(settings(root))

    def fail(*_: object) -> None:
        raise AssertionError("opened again")

    monkeypatch.setattr(_probe, "probe", fail)
    monkeypatch.setattr(_clip_reader, "decode", fail)
    assert open_data(settings(root)).fingerprint == first.fingerprint


def test_a_disk_that_fills_while_caching_is_a_note_and_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(open_data(settings(root, cache=str(root.parent / "other"))), "train", augment_seed=0)[0]

    def full(path: Path, *_: object) -> object:
        raise CannotWriteError(f"cannot write {path}: {OSError(errno.ENOSPC, 'No space left on device').strerror}")

    monkeypatch.setattr(_clip_reader, "cached_array", full)
    data = open_data(settings(root))
    assert [note.split(", since")[0] for note in data.notes] == [
        f"{split} is decoded in each epoch anew" for split in ("train", "val", "test")
    ]
    assert data.notes[0].endswith("since its cache cannot be written (No space left on device)")
    assert not any(str(root.parent) in note for note in data.notes)
    assert np.array_equal(everything(data, "train", augment_seed=0)[0], before)


def test_a_cache_that_cannot_be_written_says_which_setting(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data\.cache=FOLDER names another place for the cache"):
        open_data(settings(root, cache=str(tmp_path / "file")))
