"""A user's own table of clips: a line each, with its path and its class, maybe its split and a window in seconds."""

import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from gsfnas.data._manifest import MISLABELLED, REFUSED, SHORT, UNREADABLE, Manifest, leads_out, why_refused
from gsfnas.data._settings import SPLITS
from gsfnas.data.sets._annotations import (
    MAX_NUMBER,
    Draft,
    check_classes,
    check_root,
    near,
    number_of,
    read_lines,
    read_rows,
    shown,
)
from gsfnas.data.sets._media import Media, is_folder, is_video, scan
from gsfnas.data.video._decode import VIDEOS
from gsfnas.errors import UserError

_DELIMITERS = (",", ";", "\t")
_MAX_FPS = 1000
_NO_FPS = "the table needs a column `fps`, their frames a second"
# A number that is rounded, such as 0.033 for frame 1 at 30 a second, still names its frame.
_SLACK_S = 0.0005


def read_table(root: Path, csv: Path) -> Manifest:
    """Clips of ``csv``: ``path,label``, and maybe ``start,stop`` (seconds), ``fps`` and ``split`` (train, val or test).

    Paths are relative to ``root``; a clip is a video or a folder of images, in which seconds are found by ``fps``, frames a
    second. Without ``split`` all are in train; splits that no line has are not there.
    """
    check_root(root)
    rows = [row for _, row in read_rows(csv, ("path", "label"), _delimiter(csv))]
    if not rows:
        raise UserError(f"{csv} has a header, but no clip")
    has_window = "start" in rows[0]
    if has_window != ("stop" in rows[0]):
        raise UserError(f"{csv}, line 1: of the columns start and stop there must be both or none")
    given = {row.get("split", "train") for row in rows}
    splits = [split for split in SPLITS if split == "train" or split in given]
    classes = check_classes(csv, sorted({row["label"] for row in rows if row.get("split", "train") == "train"} - {""}))
    numbers = {name: number for number, name in enumerate(classes)}
    plain = {path: None if why_refused(path) else _plain(path) for path in {row["path"] for row in rows}}
    media, folders, others = _find(root, csv, {path for path in plain.values() if path is not None})
    draft = Draft({"class": classes}, media, splits)
    for row in rows:
        split, path = row.get("split", "train"), plain[row["path"]]
        if path is None:
            draft.reject(split, row["path"], "", REFUSED, why_refused(row["path"]) or "")
            continue
        start, stop = (number_of(row[name]) for name in ("start", "stop")) if has_window else (None, None)
        clip = path if start is None else f"{path}@{start:.10g}" + ("" if stop is None else f"-{stop:.10g}")
        if split not in SPLITS:
            draft.reject(split, clip, path, MISLABELLED, f"the split {split!r} is none of {', '.join(SPLITS)}")
        elif not draft.admit(split, clip):
            continue
        elif row["label"] not in numbers:
            draft.reject_label(split, clip, path, repr(row["label"]), "class")
        elif has_window and (row["start"] or row["stop"]) and (start is None or stop is None):
            message = f"start {row['start']!r} and stop {row['stop']!r} must both be seconds, or both be empty"
            draft.reject(split, clip, path, MISLABELLED, message)
        elif path in others:
            message = f"{path} is neither a video ({', '.join(suffix[1:] for suffix in VIDEOS)}) nor a folder of images"
            draft.reject(split, clip, path, UNREADABLE, message)
        elif start is None or stop is None:
            draft.add(split, clip, (numbers[row["label"]],), media.find(path), path)
        elif path not in folders or not 0 <= start < stop <= MAX_NUMBER:
            draft.add(split, clip, (numbers[row["label"]],), media.find(path), path, (start, stop), "seconds")
        elif (fps := number_of(row.get("fps", ""))) is None or not 0 < fps <= _MAX_FPS:
            message = f"`fps` must be a number from above 0 to {_MAX_FPS}, but is {row['fps']!r}" if row.get("fps") else _NO_FPS
            draft.reject(split, clip, path, MISLABELLED, f"{path} is a folder of images, which have no seconds: {message}")
        elif (window := _frames(start, stop, fps)) is None:
            message = f"no frame lies in {start:g} to {stop:g} seconds at {fps:g} frames a second"
            draft.reject(split, clip, path, SHORT, message)
        else:
            draft.add(split, clip, (numbers[row["label"]],), media.find(path), path, window)
    return draft.manifest()


def _frames(start_s: float, stop_s: float, fps: float) -> tuple[float, float] | None:
    """Numbers [first, stop), from 0, of the frames that are shown in the seconds [start, stop); None where there is none."""
    first, stop = (max(0, math.ceil((seconds - _SLACK_S) * fps)) for seconds in (start_s, stop_s))
    return (first, stop) if first < stop else None


def _delimiter(csv: Path) -> str:
    """What separates path and label in the header."""
    _, header = next(read_lines(csv), (1, ""))
    for delimiter in _DELIMITERS:
        if {"path", "label"} <= {name.strip().strip('"').lower() for name in header.split(delimiter)}:
            return delimiter
    raise UserError(f"{csv}, line 1: it must be a header with path,label (maybe start,stop,split), but is {shown(header)}")


def _plain(path: str) -> str:
    """A path in one spelling, without ``./`` and ``//``."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _find(root: Path, csv: Path, paths: Iterable[str]) -> tuple[Media, set[str], set[str]]:
    """The clips among ``paths`` that exist, which of them are folders, and what exists but is none.

    Every folder is listed once.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        wanted[folder].add(name)
    clips: set[str] = set()
    images: set[str] = set()
    links: set[str] = set()
    others: set[str] = set()
    for folder, names in wanted.items():
        if not _is_folder(root / folder):
            continue
        is_outside = leads_out(root, folder)
        for entry in scan(root / folder):
            if entry.name in names:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if is_folder(entry):
                    images.add(path)
                (clips if path in images or is_video(path) else others).add(path)
                if is_outside or entry.is_symlink():
                    links.add(path)
    if not clips:
        first = min(paths, default="")
        folder = next((str(folder) for folder in near(root) if first and _exists(folder / first)), "")
        hint = f"; {first} is under {folder}: set data.root={folder}" if folder else ""
        raise UserError(f"no clip of {csv} is under {root}{hint}")
    return Media(root, {path: (path,) for path in clips}, frozenset(links)), images, others


def _is_folder(path: Path) -> bool:
    """Also of a path that is too long for a path."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
