"""EPIC-KITCHENS-100: actions in long videos, each with a verb and a noun.

Damen et al., "Rescaling egocentric vision: collection, pipeline and challenges for EPIC-KITCHENS-100", IJCV 2022. The labels of
the test set are not public, so ``test`` is the published validation set.
"""

import re
from pathlib import Path

from gsfnas.data._manifest import MISLABELLED, REFUSED, Manifest, Unit, why_refused
from gsfnas.data._settings import DataSettings
from gsfnas.data.sets._annotations import (
    Draft,
    beginning,
    check_classes,
    find_annotation,
    number_of,
    read_rows,
    whole_number_of,
)
from gsfnas.data.sets._files import FileSet
from gsfnas.data.sets._media import Step, find_media, is_video
from gsfnas.errors import UserError

_FILES = {"train": "EPIC_100_train.csv", "test": "EPIC_100_validation.csv"}
_FRAMES = ("start_frame", "stop_frame")
_STAMPS = ("start_timestamp", "stop_timestamp")
_COLUMNS = ("narration_id", "participant_id", "video_id", *_STAMPS, *_FRAMES, "verb_class", "noun_class")
# Folders directly below the root that may be links to another disk.
_FOLDERS = re.compile(r"P\d+|EPIC-KITCHENS|frames_rgb_flow|rgb_frames|videos")


class EpicKitchens100(FileSet):
    """Actions, verbs and nouns. ``test`` is the published validation set; ``val`` is drawn from train."""

    flip = "plain"

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        return read_epic_kitchens_100(root)


def read_epic_kitchens_100(root: Path) -> Manifest:
    """Reads ``EPIC_100_*.csv``, and finds a folder of frames ``P01_01/`` or a video ``P01_01.MP4`` for each recording.

    They may be anywhere below the root. They are distributed as ``P01/rgb_frames/P01_01/`` and ``P01/videos/P01_01.MP4``, the
    first 55 hours also as ``frames_rgb_flow/rgb/train/P01/P01_01/``. The tasks are action, verb and noun; an action is a pair
    of verb and noun that occurs in train or validation.
    """
    verb_names, verbs = _classes(find_annotation(root, ["EPIC_100_verb_classes.csv"]))
    noun_names, nouns = _classes(find_annotation(root, ["EPIC_100_noun_classes.csv"]))
    files = {split: find_annotation(root, [name]) for split, name in _FILES.items()}
    rows = {split: [row for _, row in read_rows(file, _COLUMNS)] for split, file in files.items()}
    labels = [(verbs.get(row["verb_class"]), nouns.get(row["noun_class"])) for part in rows.values() for row in part]
    pairs = sorted({(verb, noun) for verb, noun in labels if verb is not None and noun is not None})
    actions = check_classes(files["train"], [f"{verb_names[verb]} {noun_names[noun]}" for verb, noun in pairs])
    numbers = {pair: number for number, pair in enumerate(pairs)}
    expected = "a folder P01/rgb_frames/P01_01/ with its frames, or a video P01/videos/P01_01.MP4, a recording"
    recordings = {row["video_id"] for part in rows.values() for row in part}
    media = find_media(root, [""], expected, recordings, _at_folder, lambda name: _FOLDERS.fullmatch(name) is not None)
    draft = Draft({"action": actions, "verb": verb_names, "noun": noun_names}, media)
    for split, part in rows.items():
        for row in part:
            clip, video = row["narration_id"], row["video_id"]
            if not draft.admit(split, clip):
                continue
            if reason := why_refused(video) or why_refused(row["participant_id"]):
                draft.reject(split, clip, "", REFUSED, reason)
                continue
            paths, wanted = media.find(video), f"{row['participant_id']}/videos/{video}.MP4"
            verb, noun = verbs.get(row["verb_class"]), nouns.get(row["noun_class"])
            in_frames = bool(paths) and not is_video(paths[0])
            # The window is in frames for images and in seconds for videos, so all files of a clip must be of one kind.
            paths = tuple(path for path in paths if is_video(path) != in_frames)
            first = next(iter(paths), wanted)
            window = _frames(row) if in_frames else _seconds(row)
            if verb is None:
                draft.reject_label(split, clip, first, f"verb_class {row['verb_class']!r}", "verb")
            elif noun is None:
                draft.reject_label(split, clip, first, f"noun_class {row['noun_class']!r}", "noun")
            elif window is None:
                start, stop = _FRAMES if in_frames else _STAMPS
                must = "numbers" if in_frames else "times as HH:MM:SS.ff"
                message = f"{start} {row[start]!r} and {stop} {row[stop]!r} must be {must}"
                draft.reject(split, clip, first, MISLABELLED, message)
            else:
                unit: Unit = "frames" if in_frames else "seconds"
                draft.add(split, clip, (numbers[verb, noun], verb, noun), paths, wanted, window, unit)
    return draft.manifest()


def _classes(file: Path) -> tuple[tuple[str, ...], dict[str, int]]:
    """The class names in the order of their ids, and the map id -> index in this order."""
    found: dict[int, str] = {}
    for line, row in read_rows(file, ("id", "key")):
        number = whole_number_of(row["id"])
        if number is None or number in found:
            got = beginning(row["id"])
            raise UserError(f"{file}, line {line}: each class must have a number of its own, but this one has {got}")
        found[number] = row["key"]
    order = sorted(found)
    return check_classes(file, [found[number] for number in order]), {str(number): at for at, number in enumerate(order)}


def _at_folder(path: str) -> Step:
    """Skips the folders of recordings in no list, since they may hold millions of frames."""
    return "pass" if re.fullmatch(r"P\d+_\d+", path.rpartition("/")[2]) else "enter"


def _frames(row: dict[str, str]) -> tuple[float, float] | None:
    """The window [first, stop) in frames, counted from 0 (the annotations and files count from 1)."""
    start, stop = (number_of(row[name]) for name in _FRAMES)
    if start is None or stop is None:
        return None
    # An action at time 0 has start frame 0 in the annotations, but there is no file for it.
    return max(0, int(start) - 1), int(stop) - 1


def _seconds(row: dict[str, str]) -> tuple[float, float] | None:
    start, stop = (_time(row[name]) for name in _STAMPS)
    return None if start is None or stop is None else (start, stop)


def _time(stamp: str) -> float | None:
    """Seconds of a time stamp HH:MM:SS.ff; None if it is invalid."""
    parts = [number_of(part) for part in stamp.split(":")]
    hours, minutes, seconds = parts if len(parts) == 3 else (None, None, None)
    if hours is None or minutes is None or seconds is None or min(hours, minutes, seconds) < 0:
        return None
    return hours * 3600 + minutes * 60 + seconds
