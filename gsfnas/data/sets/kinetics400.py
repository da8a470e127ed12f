"""Kinetics-400: tables of YouTube clips of ten seconds, of which only those still available are on disk.

Carreira and Zisserman, "Quo vadis, action recognition? A new model and the Kinetics dataset", CVPR 2017. ``test`` is the
published validation set.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from gsfnas.data._manifest import MISLABELLED, Manifest
from gsfnas.data._settings import DataSettings
from gsfnas.data.sets._annotations import Draft, check_classes, find_annotation, number_of, read_rows
from gsfnas.data.sets._files import FileSet
from gsfnas.data.sets._media import Media, Step, find_media, videos_first

_FILES = {"train": ("train",), "test": ("val", "validate", "validation")}
_PREFIXES = ("", "kinetics400_", "kinetics_400_", "kinetics-400_", "k400_", "kinetics_")
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
# The folder of a clip. Those of clips in no list are not searched, since they may hold thousands of frames.
_CLIP = re.compile(r".{11}_\d{6}_\d{6}")
# Words in the usual folder names: train, val_256, rawframes_train, replacement.
_FOLDERS = {"train", "val", "validate", "validation", "test", "videos", "rawframes", "frames", "replacement"}


class Kinetics400(FileSet):
    """``test`` is the published validation set; ``val`` is drawn from train."""

    flip = "plain"

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        return read_kinetics400(root)


def read_kinetics400(root: Path) -> Manifest:
    """Reads ``train.csv`` and ``val.csv``, and finds the clips ``YOUTUBEID_START_END`` anywhere below the root.

    A clip is a video or a folder of frames. If several have the same name, those in a folder ``replacement`` are preferred,
    since they replace damaged ones; then videos, then frames.
    """
    files = {
        split: find_annotation(root, [f"{prefix}{name}.csv" for prefix in _PREFIXES for name in names])
        for split, names in _FILES.items()
    }
    rows = {split: [row for _, row in read_rows(file, _COLUMNS)] for split, file in files.items()}
    classes = check_classes(files["train"], sorted({row["label"] for row in rows["train"]} - {""}))
    numbers = {name: number for number, name in enumerate(classes)}
    media = _find(root, rows)
    draft = Draft({"class": classes}, media)
    for split in _FILES:
        for row in rows[split]:
            clip, youtube = _name(row), row["youtube_id"]
            if clip is None:
                message = (
                    f"time_start {row['time_start']!r} and time_end {row['time_end']!r} must be seconds, one before the other"
                )
                draft.reject(split, youtube, "", MISLABELLED, message)
                continue
            if not draft.admit(split, clip):
                continue
            # In some copies of the data set the file names have no times.
            paths = _in_order(media.find(clip, youtube))
            if row["label"] in numbers:
                draft.add(split, clip, (numbers[row["label"]],), paths, f"{clip}.mp4")
            else:
                draft.reject_label(split, clip, next(iter(paths), f"{clip}.mp4"), repr(row["label"]), "class")
    return draft.manifest()


def _name(row: dict[str, str]) -> str | None:
    start, stop = number_of(row["time_start"]), number_of(row["time_end"])
    if start is None or stop is None or not 0 <= start < stop:
        return None
    return f"{row['youtube_id']}_{int(start):06d}_{int(stop):06d}"


def _find(root: Path, rows: dict[str, list[dict[str, str]]]) -> Media:
    names = [name for part in rows.values() for row in part for name in (_name(row), row["youtube_id"])]
    wanted = {name for name in names if name is not None}
    expected = "a video YOUTUBEID_START_END.mp4 or a folder of frames of this name a clip, in any folder"
    return find_media(root, [""], expected, wanted, _at_folder, lambda name: not _FOLDERS.isdisjoint(_words(name)))


def _at_folder(path: str) -> Step:
    return "pass" if _CLIP.fullmatch(path.rpartition("/")[2]) else "enter"


def _in_order(paths: Sequence[str]) -> Sequence[str]:
    if len(paths) < 2:
        return paths
    return sorted(videos_first(paths), key=lambda path: "replacement" not in _words(path))


def _words(path: str) -> list[str]:
    return re.split(r"[^a-z]+", path.lower())
