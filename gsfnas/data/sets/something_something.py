"""Something-Something V1 (folders of frames, tables) and V2 (videos or folders of frames extracted from them, JSON).

Goyal et al., "The 'something something' video database for learning and evaluating visual common sense", ICCV 2017. The labels
of the test sets are not public, so ``test`` is the published validation set.
"""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

from gsfnas.data._manifest import Manifest
from gsfnas.data._settings import DataSettings
from gsfnas.data.sets._annotations import (
    Draft,
    beginning,
    check_classes,
    find_annotation,
    read_json,
    read_lines,
    read_objects,
    whole_number_of,
)
from gsfnas.data.sets._files import FileSet
from gsfnas.data.sets._media import Media, find_media, holds_other, is_folder, scan, videos_first
from gsfnas.data.video._frames import RGB
from gsfnas.errors import UserError

_V1 = "20bn-something-something-v1"
_V2 = "20bn-something-something-v2"
_FILES = {"train": "train", "test": "validation"}
# Usual names of the folder with extracted frames.
_FRAMES = ("rawframes", "frames")


class SomethingV1(FileSet):
    """``test`` is the published validation set; ``val`` is drawn from train."""

    flip = "left_right"
    # File names may consist of the frame number only.
    frame_names = ("*", *RGB)

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        return read_something_v1(root)


class SomethingV2(FileSet):
    """``test`` is the published validation set; ``val`` is drawn from train."""

    flip = "left_right"
    # File names may consist of the frame number only.
    frame_names = ("*", *RGB)

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        return read_something_v2(root)


def read_something_v1(root: Path) -> Manifest:
    """Reads ``something-something-v1-*.csv``; the frames are in ``20bn-something-something-v1/ID/`` or a similar folder."""
    labels = find_annotation(root, ["something-something-v1-labels.csv"])
    classes = check_classes(labels, [name for _, name in read_lines(labels)])
    files = {split: find_annotation(root, [f"something-something-v1-{name}.csv"]) for split, name in _FILES.items()}
    clips = {split: list(_pairs(file)) for split, file in files.items()}
    frames = _frames_folder(root)
    expected = f"a folder of frames a clip, named by its number, in {_V1}/"
    media = find_media(root, [frames], expected, _ids(clips))
    return _manifest(classes, clips, media, f"{frames}/" if frames else "")


def read_something_v2(root: Path) -> Manifest:
    """Reads ``something-something-v2-*.json``, and finds a video or a folder of frames for each clip.

    Videos are in ``20bn-something-something-v2/``, in ``videos/`` or beside the annotations; frames are in one of these, in
    ``20bn-something-something-v2-frames/``, ``rawframes/`` or ``frames/``, or in another folder of numbered folders if there is
    only one. Videos are preferred.
    """
    classes = _numbered_classes(find_annotation(root, _names_v2("labels")))
    files = {split: find_annotation(root, _names_v2(name)) for split, name in _FILES.items()}
    clips = {split: _templates(file) for split, file in files.items()}
    expected = f"a video ID.webm or a folder of frames ID/ a clip in {_V2}/, {_V2}-frames/, videos/ or beside the annotations"
    starts = [_V2, "videos", "", f"{_V2}-frames", *_FRAMES]
    others = [name for name in _holders(root) if name not in starts]
    media = find_media(root, starts + others[: len(others) == 1], expected, _ids(clips))
    return _manifest(classes, clips, media, f"{_V2}/", ".webm")


def _manifest(
    classes: tuple[str, ...], clips: Mapping[str, Iterable[tuple[str, str]]], media: Media, before: str, after: str = ""
) -> Manifest:
    """Builds the manifest of (id, class name) pairs; a missing clip is reported as ``before`` + id + ``after``."""
    numbers = {name: number for number, name in enumerate(classes)}
    draft = Draft({"class": classes}, media)
    for split, pairs in clips.items():
        for clip, name in pairs:
            if not draft.admit(split, clip):
                continue
            paths, wanted = videos_first(media.find(clip)), f"{before}{clip}{after}"
            if name in numbers:
                draft.add(split, clip, (numbers[name],), paths, wanted)
            else:
                draft.reject_label(split, clip, next(iter(paths), wanted), repr(name), "class")
    return draft.manifest()


def _ids(clips: Mapping[str, Iterable[tuple[str, str]]]) -> set[str]:
    return {clip for pairs in clips.values() for clip, _ in pairs}


def _pairs(file: Path) -> Iterable[tuple[str, str]]:
    for number, line in read_lines(file):
        clip, semicolon, name = line.partition(";")
        if not semicolon:
            raise UserError(f"{file}, line {number}: it must be a number and a class, as ID;CLASS, but is {beginning(line)}")
        yield clip.strip(), name.strip()


def _frames_folder(root: Path) -> str:
    """The folder with the clips' numbered folders: one with a usual name, the root itself, or the only other one.

    Raises UserError if there are several others.
    """
    if usual := next((name for name in (_V1, *_FRAMES) if (root / name).is_dir()), None):
        return usual
    if _holds_numbered(root):
        return ""
    holders = _holders(root)
    if len(holders) > 1:
        raise UserError(f"{root} has several folders with numbered folders, {' and '.join(holders)}; name the one to use {_V1}")
    return holders[0] if holders else _V1


def _holders(root: Path) -> list[str]:
    """The folders directly below the root that contain numbered folders. Links are not followed."""
    folders = [entry for entry in scan(root) if is_folder(entry) and not entry.is_symlink() and not holds_other(entry.name)]
    return [folder.name for folder in folders if _holds_numbered(Path(folder.path))]


def _holds_numbered(folder: Path) -> bool:
    return any(entry.name.isdigit() and is_folder(entry) for entry in scan(folder))


def _names_v2(name: str) -> list[str]:
    return [f"something-something-v2-{name}.json", f"{name}.json"]


def _numbered_classes(file: Path) -> tuple[str, ...]:
    """The class names in the order of their numbers, from a JSON object that maps name -> number."""
    numbers = read_json(file)
    known: dict[str, int] = {}
    for name, text in numbers.items() if isinstance(numbers, dict) else [("", "")]:
        number = whole_number_of(str(text))
        if number is None:
            raise UserError(f"{file} must be an object that maps each class to its number, but is {beginning(numbers)}")
        known[name] = number
    order = sorted(known, key=lambda name: known[name])
    for first, second in itertools.pairwise(order):
        if known[first] == known[second]:
            raise UserError(f"{file} gives {first!r} and {second!r} the same number {known[first]}")
    return check_classes(file, order)


def _templates(file: Path) -> list[tuple[str, str]]:
    """(id, class name) of each clip; a ``template`` is the class name with placeholders in brackets."""
    items = read_objects(file, {"id": (str, int), "template": (str,)})
    return [(str(item["id"]), item["template"].replace("[", "").replace("]", "")) for item in items]
