"""Tests that every data set must pass. Inherit ``DataSetConformance`` and provide the settings:

    class TestGestures(DataSetConformance):
        @pytest.fixture
        def settings(self, tmp_path):
            return DataSettings(name=Gestures, root="a/few/clips", frames=4, resolution=32, cache=str(tmp_path))

A few clips per class are enough, since the tests read every clip.
"""

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gsfnas.data import ClipSplit, DataSettings, FileSet, VideoData, check, open_data, preview, tasks_of
from gsfnas.data._open import data_set_of
from gsfnas.data._settings import SPLITS
from gsfnas.data.sets._files import read_manifest

Batch = tuple[npt.NDArray[np.uint8], Mapping[str, npt.NDArray[np.int64]]]


class DataSetConformance:
    """The suite. ``settings`` returns the settings of the data set."""

    @pytest.fixture
    def settings(self) -> DataSettings:
        """The settings of the data set to test; ``cache`` should be a temporary folder."""
        raise NotImplementedError("a conformance test needs a fixture `settings` that returns DataSettings")

    @pytest.fixture
    def data(self, settings: DataSettings) -> VideoData:
        return open_data(settings)

    def test_tasks_have_named_classes(self, settings: DataSettings, data: VideoData) -> None:
        tasks = tasks_of(settings)
        assert tasks, "there must be at least one task"
        for task, names in tasks.items():
            assert isinstance(task, str)
            assert len(names) >= 2, f"task {task!r} needs at least two classes, but has {names}"
            assert len(set(names)) == len(names), f"classes of task {task!r} have the same name"
            assert all(isinstance(name, str) and name for name in names), f"classes of {task!r} need names, but got {names}"
        assert {task: tuple(names) for task, names in data.tasks.items()} == {
            task: tuple(names) for task, names in tasks.items()
        }

    def test_each_split_has_clips_with_labels_in_range(self, data: VideoData) -> None:
        for split in SPLITS:
            assert split in data.splits, f"there must be the splits {', '.join(SPLITS)}, but {split} is missing"
            found = data.splits[split]
            assert len(found) > 0, f"{split} has no clip"
            assert set(found.labels) == set(data.tasks)
            for task, labels in found.labels.items():
                assert labels.dtype == np.int64, f"labels must be int64, but those of {task} in {split} are {labels.dtype}"
                assert labels.shape == (len(found),), f"{task} in {split} must have one label a clip"
                assert labels.min() >= 0, f"{task} in {split} has the label {labels.min()}"
                assert labels.max() < len(data.tasks[task]), f"{task} in {split} has the label {labels.max()}"

    def test_no_clip_is_in_two_splits(self, settings: DataSettings, data: VideoData) -> None:
        data_set = data_set_of(settings)
        if isinstance(data_set, FileSet):
            clips = {
                split: {(entry.path, entry.start, entry.stop) for entry in entries}
                for split, entries in read_manifest(data_set, settings).splits.items()
            }
        else:
            clips = {split: {(clip.tobytes(), None, None) for clip in _read(data, split)} for split in SPLITS}
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            assert not clips[one] & clips[other], f"{one} and {other} share clips"

    def test_clips_have_the_requested_shape(self, settings: DataSettings, data: VideoData) -> None:
        shape = (settings.frames, 3, settings.resolution, settings.resolution)
        for split in SPLITS:
            clips = _read(data, split)
            assert clips.dtype == np.uint8, f"clips must be uint8, but those of {split} are {clips.dtype}"
            assert clips.shape == (len(data.splits[split]), *shape)
        drawn = data.splits["train"].read(np.array([0]), np.random.default_rng(0))
        assert drawn.dtype == np.uint8
        assert drawn.shape == (1, *shape)

    def test_opening_again_gives_the_same(self, settings: DataSettings, data: VideoData) -> None:
        again = open_data(settings)
        assert again.fingerprint == data.fingerprint, "the fingerprint must be the same each time"
        for split in SPLITS:
            assert np.array_equal(_read(again, split), _read(data, split)), f"clips of {split} differ when opened again"
            for task, labels in data.splits[split].labels.items():
                assert np.array_equal(labels, again.splits[split].labels[task]), f"labels of {split} differ"

    def test_another_cache_gives_the_same(self, settings: DataSettings, data: VideoData, tmp_path: Path) -> None:
        again = open_data(replace(settings, cache=str(tmp_path / "another cache")))
        assert again.fingerprint == data.fingerprint, "the fingerprint must not depend on the cache"
        for split in SPLITS:
            assert np.array_equal(_read(again, split), _read(data, split)), f"clips of {split} depend on the cache"

    def test_the_fingerprint_tells_clips_apart(self, settings: DataSettings, data: VideoData) -> None:
        assert data.fingerprint
        assert data.fingerprint.isprintable()
        for changed in (replace(settings, frames=settings.frames + 1), replace(settings, resolution=settings.resolution + 8)):
            assert open_data(changed).fingerprint != data.fingerprint, "clips of another shape need another fingerprint"

    def test_a_clip_is_the_same_alone_and_in_a_batch(self, data: VideoData) -> None:
        for split in SPLITS:
            read, clips = data.splits[split].read, _read(data, split)
            last = len(clips) - 1
            assert np.array_equal(read(np.array([last]), None)[0], clips[last]), f"a clip of {split} depends on its batch"
            order = np.array([last, 0, last])
            assert np.array_equal(read(order, None), clips[order]), f"clips of {split} must be in the requested order"

    def test_a_generator_determines_what_training_draws(self, data: VideoData) -> None:
        split = data.splits["train"]
        indices = np.arange(min(len(split), 4))
        whole = split.read(indices, np.random.default_rng(3))
        assert np.array_equal(split.read(indices, np.random.default_rng(3)), whole), "the same seed must draw the same clips"
        for part in (slice(0, 1), slice(1, None)):
            found = split.read(indices, np.random.default_rng(3), part)
            assert np.array_equal(found, whole[part]), "with `part`, clips must equal those of the whole batch"

    def test_a_seed_determines_an_epoch(self, data: VideoData) -> None:
        split = data.splits["train"]
        first, second = (_epoch(split) for _ in range(2))
        for (clips, labels), (others, their_labels) in zip(first, second, strict=True):
            assert np.array_equal(clips, others), "two epochs with the same seeds differ"
            assert all(np.array_equal(labels[task], their_labels[task]) for task in labels)
        assert sum(len(clips) for clips, _ in first) == len(split)

    def test_readers_can_be_pickled(self, data: VideoData) -> None:
        for split in SPLITS:
            read = data.splits[split].read
            again = pickle.loads(pickle.dumps(read))
            assert np.array_equal(again(np.array([0]), None), read(np.array([0]), None))

    def test_a_mirrored_class_is_mirrored_back(self, data: VideoData) -> None:
        for split in SPLITS:
            for task, mirror in (data.splits[split].mirror or {}).items():
                assert mirror.shape == (len(data.tasks[task]),)
                has_one = mirror >= 0
                assert np.array_equal(mirror[mirror[has_one]], np.arange(len(mirror))[has_one]), f"{task}: {mirror.tolist()}"

    def test_a_check_and_a_preview_work(self, settings: DataSettings, data: VideoData, tmp_path: Path) -> None:
        if isinstance(data_set_of(settings), FileSet):
            found = check(settings)
            assert found.clips == {split: len(data.splits[split]) for split in SPLITS}, [row.message for row in found.rows]
        assert preview(settings, tmp_path / "preview.png").stat().st_size > 0


def _read(data: VideoData, split: str) -> npt.NDArray[np.uint8]:
    """All clips of a split without augmentation: (clips, T, 3, R, R)."""
    return data.splits[split].read(np.arange(len(data.splits[split])), None)


def _epoch(split: ClipSplit) -> list[Batch]:
    return [
        (clips.numpy(), {task: values.numpy() for task, values in labels.items()})
        for clips, labels in split.batches(3, shuffle_seed=5, augment_seed=6)
    ]
