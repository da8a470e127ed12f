"""Kinetics-400: tables of YouTube clips, and whatever of them is still there, cut to its ten seconds.

Carreira and Zisserman, "Quo vadis, action recognition? A new model and the Kinetics dataset", CVPR 2017. ``test`` is the
validation set.
"""

from pathlib import Path

from gsfnas.data._annotations import Draft, Step, check_classes, find_annotation, find_media, number_of, read_rows
from gsfnas.data._catalogue import MISLABELLED, Catalogue

_FILES = {"train": ("train",), "test": ("val", "validate", "validation")}
_PREFIXES = ("", "kinetics400_", "kinetics_400_", "kinetics-400_", "k400_", "kinetics_")
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def read_kinetics400(root: Path) -> Catalogue:
    """Videos ``YOUTUBEID_START_END.mp4`` anywhere below the root, with ``train.csv`` and ``val.csv``."""
    files = {
        split: find_annotation(root, [f"{prefix}{name}.csv" for prefix in _PREFIXES for name in names])
        for split, names in _FILES.items()
    }
    rows = {split: [row for _, row in read_rows(file, _COLUMNS)] for split, file in files.items()}
    classes = check_classes(files["train"], sorted({row["label"] for row in rows["train"]} - {""}))
    numbers = {name: number for number, name in enumerate(classes)}
    media = find_media(root, [""], "a video YOUTUBEID_START_END.mp4 a clip, in any folder", _enter)
    draft = Draft({"class": classes}, media)
    for split in _FILES:
        for row in rows[split]:
            youtube, start, stop = row["youtube_id"], number_of(row["time_start"]), number_of(row["time_end"])
            if start is None or stop is None or not 0 <= start < stop:
                says = (
                    f"time_start {row['time_start']!r} and time_end {row['time_end']!r} must be seconds, one before the other"
                )
                draft.reject(split, youtube, "", MISLABELLED, says)
                continue
            clip = f"{youtube}_{int(start):06d}_{int(stop):06d}"
            if not draft.admit(split, clip):
                continue
            # Some mirrors leave the times out of the names.
            path = media.find(clip, youtube)
            if row["label"] in numbers:
                draft.add(split, clip, (numbers[row["label"]],), path, f"{clip}.mp4")
            else:
                draft.reject_label(split, clip, path or f"{clip}.mp4", repr(row["label"]), "class")
    return draft.catalogue()


def _enter(path: str) -> Step:
    return "enter"
