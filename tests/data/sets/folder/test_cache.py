"""Frames from the cache, and from files as training goes on."""

from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import open_data
from gsfnas.data.video import _clip_reader, _probe

from ...media import numbered, write_video
from .library import divide, everything, settings


def test_decoding_as_one_goes_gives_the_same_as_the_cache(root: Path) -> None:
    root = divide(root)
    cached, direct = open_data(settings(root)), open_data(settings(root, cache_gb=0.0))
    assert cached.fingerprint == direct.fingerprint
    for augment in (None, 0, 1):
        batches = zip(
            cached.splits["train"].batches(3, shuffle_seed=1, augment_seed=augment),
            direct.splits["train"].batches(3, shuffle_seed=1, augment_seed=augment),
            strict=True,
        )
        assert all((first == second).all() for (first, _), (second, _) in batches)


def test_the_second_time_nothing_is_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_data(settings(root))

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(_clip_reader, "decode", fail)
    monkeypatch.setattr(_probe, "probe", fail)
    second = open_data(settings(root))
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(everything(first, "train")[0], everything(second, "train")[0])


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "[" * 100_000, '{"rise/0.mp4": 3}', '{"rise/0.mp4": {"state": [], "frames": "many"}}']
)
def test_a_damaged_memory_of_what_was_seen_is_made_again(root: Path, content: str) -> None:
    before = open_data(settings(root)).fingerprint
    (index,) = (root.parent / "cache").rglob("index.json")
    index.write_text(content)
    assert open_data(settings(root)).fingerprint == before


def test_a_clip_that_has_changed_is_decoded_again(root: Path) -> None:
    root = divide(root)
    before = everything(open_data(settings(root)), "train")[0]
    write_video(root / "train" / "rise" / "0.mp4", numbered(24, 36, 48)[::-1])
    after = everything(open_data(settings(root)), "train")[0]
    assert [np.array_equal(*clips) for clips in zip(before, after, strict=True)].count(False) == 1


def test_a_damaged_cache_of_decoded_clips_is_made_again(root: Path) -> None:
    before = everything(open_data(settings(root)), "train")[0]
    (cached,) = (root.parent / "cache").rglob("train-*.npy")
    cached.write_bytes(cached.read_bytes()[:-100])
    assert np.array_equal(everything(open_data(settings(root)), "train")[0], before)
