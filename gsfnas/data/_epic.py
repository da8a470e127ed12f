"""EPIC-KITCHENS-100: actions in long videos, each a verb and a noun.

Damen et al., "Rescaling egocentric vision: collection, pipeline and challenges for EPIC-KITCHENS-100", IJCV 2022. The labels of
the test set are withheld: ``test`` is the validation set.
"""

from pathlib import Path

from gsfnas.data._annotations import Draft, Step, check_classes, find_annotation, find_media, number_of, read_rows
from gsfnas.data._catalogue import MISLABELLED, REFUSED, Catalogue, Unit, why_refused
from gsfnas.errors import UserError

_FILES = {"train": "EPIC_100_train.csv", "test": "EPIC_100_validation.csv"}
_FRAMES = ("start_frame", "stop_frame")
_STAMPS = ("start_timestamp", "stop_timestamp")
_COLUMNS = ("narration_id", "participant_id", "video_id", *_STAMPS, *_FRAMES, "verb_class", "noun_class")


def read_epic_kitchens_100(root: Path) -> Catalogue:
    """Folders of frames ``P01/rgb_frames/P01_01/`` or videos ``P01/videos/P01_01.MP4``, and ``EPIC_100_*.csv``.

    The tasks are the action, its verb and its noun; an action is a pair of these that occurs in train or validation.
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
    media = find_media(root, [""], expected, _at_folder)
    draft = Draft({"action": actions, "verb": verb_names, "noun": noun_names}, media)
    for split, part in rows.items():
        for row in part:
            clip, video = row["narration_id"], row["video_id"]
            if not draft.admit(split, clip):
                continue
            if reason := why_refused(video) or why_refused(row["participant_id"]):
                draft.reject(split, clip, "", REFUSED, reason)
                continue
            path, wanted = media.find(video), f"{row['participant_id']}/videos/{video}.MP4"
            verb, noun = verbs.get(row["verb_class"]), nouns.get(row["noun_class"])
            in_frames = path is not None and _is_frames(path)
            window = _frames(row) if in_frames else _seconds(row)
            if verb is None:
                draft.reject_label(split, clip, path or wanted, f"verb_class {row['verb_class']!r}", "verb")
            elif noun is None:
                draft.reject_label(split, clip, path or wanted, f"noun_class {row['noun_class']!r}", "noun")
            elif window is None:
                start, stop = _FRAMES if in_frames else _STAMPS
                must = "numbers" if in_frames else "times as HH:MM:SS.ff"
                says = f"{start} {row[start]!r} and {stop} {row[stop]!r} must be {must}"
                draft.reject(split, clip, path or wanted, MISLABELLED, says)
            else:
                unit: Unit = "frames" if in_frames else "seconds"
                draft.add(split, clip, (numbers[verb, noun], verb, noun), path, wanted, window, unit)
    return draft.catalogue()


def _classes(file: Path) -> tuple[tuple[str, ...], dict[str, int]]:
    """The names in the order of their ids, and id -> place in this order."""
    found: dict[int, str] = {}
    for line, row in read_rows(file, ("id", "key")):
        if not row["id"].isdecimal() or int(row["id"]) in found:
            raise UserError(f"{file}, line {line}: each class must have a number of its own, but this one has {row['id']!r}")
        found[int(row["id"])] = row["key"]
    order = sorted(found)
    return check_classes(file, [found[number] for number in order]), {str(number): at for at, number in enumerate(order)}


def _is_frames(path: str) -> bool:
    return path.split("/")[-2:-1] == ["rgb_frames"]


def _at_folder(path: str) -> Step:
    """Frames of a recording are not walked through, there being millions; those of optical flow are of no use."""
    if _is_frames(path):
        return "take"
    return "pass" if path.split("/")[-1] == "flow_frames" else "enter"


def _frames(row: dict[str, str]) -> tuple[float, float] | None:
    """The window in frames from 0; the annotation numbers them from 1, as the files are, up to but without the last."""
    start, stop = (number_of(row[name]) for name in _FRAMES)
    if start is None or stop is None:
        return None
    # An action at time 0 is given the frame 0, which has no file.
    return max(0, int(start) - 1), int(stop) - 1


def _seconds(row: dict[str, str]) -> tuple[float, float] | None:
    start, stop = (_time(row[name]) for name in _STAMPS)
    return None if start is None or stop is None else (start, stop)


def _time(stamp: str) -> float | None:
    """Seconds from HH:MM:SS.ff."""
    parts = [number_of(part) for part in stamp.split(":")]
    hours, minutes, seconds = parts if len(parts) == 3 else (None, None, None)
    if hours is None or minutes is None or seconds is None or min(hours, minutes, seconds) < 0:
        return None
    return hours * 3600 + minutes * 60 + seconds
