"""Each kind of data set passes the suite that strangers inherit, and a set that breaks a rule does not."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsfnas.data import ClipSplit, DataSettings, FileSet, LabelledClip, VideoData, export, open_data
from gsfnas.testing.data_set import DataSetConformance

from .media import numbered, write_images, write_video

SIZES: Mapping[str, Any] = {"frames": 4, "resolution": 16}
TWINS: Mapping[str, Any] = {**SIZES, "train_clips": 48, "val_clips": 24, "test_clips": 24}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips each of falling and rising brightness, one of them a folder of images, and a list of them."""
    root = tmp_path_factory.mktemp("library")
    rows = []
    for name in ("fall", "rise"):
        frames = numbered(12)[:: -1 if name == "fall" else 1]
        for number in range(4):
            write_video(root / name / f"{number}.mp4", frames + np.uint8(number))
            rows.append((f"{name}/{number}.mp4", name))
        write_images(root / name / "images", list(frames))
        rows.append((f"{name}/images", name))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


@pytest.fixture(scope="module")
def epic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twins in long videos, several clips each."""
    folder = tmp_path_factory.mktemp("epic")
    export(DataSettings(**TWINS, cache=str(folder / "cache")), folder / "set", "epic_kitchens_100")
    return folder / "set"


class Brightness(FileSet):
    """What a user writes: a list of clips."""

    flip = "plain"

    def clips(self, root: Path) -> Iterator[LabelledClip]:
        with (root / "labels.csv").open(newline="") as file:
            for path, label in csv.reader(file):
                yield LabelledClip(path, label)


@dataclass(frozen=True)
class Ramps:
    """Clips that are computed: each frame a little brighter, or darker."""

    step: int = 8

    def tasks(self, settings: DataSettings) -> Mapping[str, tuple[str, ...]]:
        return {"direction": ("down", "up")}

    def open(self, settings: DataSettings, on_progress: Callable[[int, int], None]) -> VideoData:
        splits = {
            split: ClipSplit({"direction": np.arange(6) % 2}, RampReader(settings.frames, settings.resolution, self.step, base))
            for base, split in enumerate(("train", "val", "test"))
        }
        name = f"ramps-{settings.frames}-{settings.resolution}-{self.step}"
        return VideoData("ramps", self.tasks(settings), splits, name)


@dataclass(frozen=True)
class RampReader:
    frames: int
    side: int
    step: int
    base: int

    def __call__(self, indices: np.ndarray, generator: np.random.Generator | None, part: slice = slice(None)) -> np.ndarray:
        starts = self.base * 40 + indices[part]
        signs = np.where(indices[part] % 2, 1, -1)
        levels = 100 + starts[:, None] + signs[:, None] * self.step * np.arange(self.frames)
        shape = (*levels.shape, 3, self.side, self.side)
        return np.ascontiguousarray(np.broadcast_to(levels[..., None, None, None], shape)).astype(np.uint8)


class TestTwins(DataSetConformance):
    @pytest.fixture
    def settings(self, tmp_path: Path) -> DataSettings:
        return DataSettings(**TWINS, cache=str(tmp_path))


class TestTwinsAugmentedAsInThePaper(DataSetConformance):
    @pytest.fixture
    def settings(self, tmp_path: Path) -> DataSettings:
        return DataSettings(**TWINS, augment="paper", policy="randaugment", cache=str(tmp_path))


class TestFolder(DataSetConformance):
    @pytest.fixture
    def settings(self, library: Path, tmp_path: Path) -> DataSettings:
        return DataSettings(name="folder", root=str(library), **SIZES, cache=str(tmp_path))


class TestFolderDecodedInEachEpoch(DataSetConformance):
    @pytest.fixture
    def settings(self, library: Path, tmp_path: Path) -> DataSettings:
        return DataSettings(name="folder", root=str(library), **SIZES, augment="paper", cache_gb=0.0, cache=str(tmp_path))


class TestEpicKitchens(DataSetConformance):
    @pytest.fixture
    def settings(self, epic: Path, tmp_path: Path) -> DataSettings:
        return DataSettings(name="epic_kitchens_100", root=str(epic), **SIZES, cache=str(tmp_path))


class TestFilesOfAUser(DataSetConformance):
    @pytest.fixture
    def settings(self, library: Path, tmp_path: Path) -> DataSettings:
        return DataSettings(name=Brightness, root=str(library), **SIZES, cache=str(tmp_path))


class TestClipsThatAUserComputes(DataSetConformance):
    @pytest.fixture
    def settings(self) -> DataSettings:
        return DataSettings(name=Ramps, options={"step": 6}, **SIZES)


SUITE = DataSetConformance()
RAMPS = DataSettings(name=Ramps, **SIZES)


def broken(**parts: Any) -> VideoData:
    """The ramps, with something wrong in train."""
    data = open_data(RAMPS)
    return replace(data, splits={**data.splits, "train": replace(data.splits["train"], **parts)})


@dataclass(frozen=True)
class Forgetful:
    """Reads what it was asked for, but ignores the order, the part, or the seed."""

    read: RampReader
    fault: str

    def __call__(self, indices: np.ndarray, generator: np.random.Generator | None, part: slice = slice(None)) -> np.ndarray:
        if self.fault == "order":
            return self.read(np.sort(indices), generator, part)
        if self.fault == "part":
            return self.read(indices, generator)
        clips = self.read(indices, generator, part)
        if self.fault == "seed":
            return clips + np.random.default_rng().integers(50, size=clips.shape, dtype=np.uint8)
        return clips.astype(np.float32) if self.fault == "type" else clips[:, 1:]


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("order", SUITE.test_a_clip_is_the_same_alone_and_in_a_batch),
        ("part", SUITE.test_a_generator_determines_what_training_draws),
        ("seed", SUITE.test_a_generator_determines_what_training_draws),
        ("seed", SUITE.test_a_seed_determines_an_epoch),
        ("seed", SUITE.test_a_clip_is_the_same_alone_and_in_a_batch),
    ],
)
def test_a_reader_with_a_fault_fails(fault: str, test: Callable[[VideoData], None]) -> None:
    read = open_data(RAMPS).splits["train"].read
    with pytest.raises(AssertionError):
        test(broken(read=Forgetful(read, fault)))


@pytest.mark.parametrize("fault", ["type", "frames"])
def test_clips_of_another_kind_fail(fault: str) -> None:
    read = open_data(RAMPS).splits["train"].read
    with pytest.raises(AssertionError):
        SUITE.test_clips_have_the_requested_shape(RAMPS, broken(read=Forgetful(read, fault)))


def test_labels_that_are_none_fail() -> None:
    for labels in (np.arange(6) % 3, np.arange(6) % 2 - 1, np.array([0.0, 1.0]), np.zeros((6, 1), np.int64)):
        with pytest.raises(AssertionError):
            SUITE.test_each_split_has_clips_with_labels_in_range(broken(labels={"direction": labels}))


def test_a_reader_that_cannot_leave_its_process_fails() -> None:
    with pytest.raises(Exception, match="pickle"):
        SUITE.test_readers_can_be_pickled(broken(read=lambda indices, generator, part=slice(None): None))


def test_splits_that_share_clips_fail() -> None:
    data = open_data(RAMPS)
    with pytest.raises(AssertionError, match="train and val share clips"):
        SUITE.test_no_clip_is_in_two_splits(RAMPS, replace(data, splits={**data.splits, "val": data.splits["train"]}))


def test_a_mirror_that_does_not_swap_fails() -> None:
    with pytest.raises(AssertionError):
        SUITE.test_a_mirrored_class_is_mirrored_back(broken(mirror={"direction": np.array([1, 1])}))


def test_a_fingerprint_that_never_changes_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Ramps.open
    monkeypatch.setattr(Ramps, "open", lambda *given: replace(opened(*given), fingerprint="ramps"))
    with pytest.raises(AssertionError, match="another fingerprint"):
        SUITE.test_the_fingerprint_tells_clips_apart(RAMPS, open_data(RAMPS))


def test_other_classes_than_those_that_were_promised_fail() -> None:
    data = open_data(RAMPS)
    with pytest.raises(AssertionError):
        SUITE.test_tasks_have_named_classes(RAMPS, replace(data, tasks={"direction": ("up", "down")}))
