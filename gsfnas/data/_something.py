"""Something-Something V1 (folders of frames, tables) and V2 (videos, JSON), as they are distributed.

Goyal et al., "The 'something something' video database for learning and evaluating visual common sense", ICCV 2017. The labels
of the test sets are withheld: ``test`` is the validation set.
"""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

from gsfnas.data._annotations import (
    Draft,
    Media,
    Step,
    check_classes,
    find_annotation,
    find_media,
    read_json,
    read_lines,
    read_objects,
    scan,
    shown,
)
from gsfnas.data._catalogue import Catalogue
from gsfnas.errors import UserError

_V1 = "20bn-something-something-v1"
_V2 = "20bn-something-something-v2"
_FILES = {"train": "train", "test": "validation"}


def read_something_v1(root: Path) -> Catalogue:
    """Frames in ``20bn-something-something-v1/ID/`` or another folder beside ``something-something-v1-*.csv``."""
    labels = find_annotation(root, ["something-something-v1-labels.csv"])
    classes = check_classes(labels, [name for _, name in read_lines(labels)])
    files = {split: find_annotation(root, [f"something-something-v1-{name}.csv"]) for split, name in _FILES.items()}
    clips = {split: list(_pairs(file)) for split, file in files.items()}
    frames = _frames_folder(root)
    media = find_media(root, [frames], f"a folder of frames a clip, named by its number, in {_V1}/", _take_numbered)
    return _catalogue(classes, clips, media, f"{frames}/" if frames else "")


def read_something_v2(root: Path) -> Catalogue:
    """Videos in ``20bn-something-something-v2/``, in ``videos/`` or beside ``something-something-v2-*.json``."""
    classes = _numbered_classes(find_annotation(root, _names_v2("labels")))
    files = {split: find_annotation(root, _names_v2(name)) for split, name in _FILES.items()}
    clips = {split: _templates(file) for split, file in files.items()}
    expected = f"a video ID.webm a clip in {_V2}/, in videos/ or beside the annotations"
    media = find_media(root, [_V2, "videos", ""], expected)
    return _catalogue(classes, clips, media, f"{_V2}/", ".webm")


def _catalogue(
    classes: tuple[str, ...], clips: Mapping[str, Iterable[tuple[str, str]]], media: Media, before: str, after: str = ""
) -> Catalogue:
    """From (id, class name) of each clip; its file should be ``before``, the id, ``after``."""
    numbers = {name: number for number, name in enumerate(classes)}
    draft = Draft({"class": classes}, media)
    for split, pairs in clips.items():
        for clip, name in pairs:
            if not draft.admit(split, clip):
                continue
            path, wanted = media.find(clip), f"{before}{clip}{after}"
            if name in numbers:
                draft.add(split, clip, (numbers[name],), path, wanted)
            else:
                draft.reject_label(split, clip, path or wanted, repr(name), "class")
    return draft.catalogue()


def _pairs(file: Path) -> Iterable[tuple[str, str]]:
    for number, line in read_lines(file):
        clip, semicolon, name = line.partition(";")
        if not semicolon:
            raise UserError(f"{file}, line {number}: it must be a number and a class, as ID;CLASS, but is {shown(line)}")
        yield clip.strip(), name.strip()


def _frames_folder(root: Path) -> str:
    """The folder under the root that holds the numbered folders: the usual one, the root itself, or the only such one."""
    if (root / _V1).is_dir():
        return _V1
    if _holds_numbered(root):
        return ""
    holders = [entry.name for entry in scan(root) if entry.is_dir() and _holds_numbered(Path(entry.path))]
    if len(holders) > 1:
        raise UserError(f"{root} has several folders with numbered folders, {' and '.join(holders)}; name the one to use {_V1}")
    return holders[0] if holders else _V1


def _holds_numbered(folder: Path) -> bool:
    return any(entry.name.isdigit() and entry.is_dir() for entry in scan(folder))


def _take_numbered(path: str) -> Step:
    return "take" if path.rpartition("/")[2].isdigit() else "pass"


def _names_v2(name: str) -> list[str]:
    return [f"something-something-v2-{name}.json", f"{name}.json"]


def _numbered_classes(file: Path) -> tuple[str, ...]:
    """Class names in the order of their numbers, from an object that maps name -> number."""
    numbers = read_json(file)
    if not isinstance(numbers, dict) or not all(str(number).isdecimal() for number in numbers.values()):
        raise UserError(f"{file} must be an object that maps each class to its number, but is {shown(numbers)}")
    order = sorted(numbers, key=lambda name: int(numbers[name]))
    for first, second in itertools.pairwise(order):
        if int(numbers[first]) == int(numbers[second]):
            raise UserError(f"{file} gives {first!r} and {second!r} the same number {numbers[first]}")
    return check_classes(file, order)


def _templates(file: Path) -> list[tuple[str, str]]:
    """(id, class name) of each clip; templates are class names with brackets around what the clip fills in."""
    items = read_objects(file, {"id": (str, int), "template": (str,)})
    return [(str(item["id"]), item["template"].replace("[", "").replace("]", "")) for item in items]
