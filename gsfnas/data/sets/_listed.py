"""A list of labelled clips made a manifest: each is there, once, below the root, in a known split and class."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gsfnas.data._manifest import MISLABELLED, REFUSED, SHORT, UNREADABLE, Manifest, leads_out, why_refused
from gsfnas.data._settings import SPLITS
from gsfnas.data.sets._annotations import MAX_NUMBER, Draft, check_classes, near
from gsfnas.data.sets._media import Media, is_folder, is_video, scan
from gsfnas.data.sets.base import LabelledClip
from gsfnas.data.video._decode import VIDEOS
from gsfnas.errors import UserError

MAX_FPS = 1000
# A number that is rounded, such as 0.033 for frame 1 at 30 a second, still names its frame.
_SLACK_S = 0.0005


@dataclass(frozen=True)
class Row:
    """A clip of the list; what is wrong with its window or its frame rate where they could not be read."""

    clip: LabelledClip
    bad_window: str = ""
    bad_fps: str = ""


def manifest_of(root: Path, source: str, rows: Sequence[Row], no_fps: str, classes: Sequence[str] | None = None) -> Manifest:
    """The clips of ``rows``; ``source`` is what lists them, and ``no_fps`` says what it lacks where frames have no rate.

    Without ``classes`` those of train, sorted. Splits that no row has are not there. Raises UserError where there is no clip.
    """
    clips = [row.clip for row in rows]
    given = {clip.split for clip in clips}
    splits = [split for split in SPLITS if split == "train" or split in given]
    if classes is None:
        classes = sorted({clip.label for clip in clips if clip.split == "train"} - {""})
    names = check_classes(source, classes)
    numbers = {name: number for number, name in enumerate(names)}
    plain = {path: None if why_refused(path) else _plain(path) for path in {clip.path for clip in clips}}
    media, folders, others = _find(root, source, {path for path in plain.values() if path is not None})
    draft = Draft({"class": names}, media, splits)
    for row in rows:
        split, label, path = row.clip.split, row.clip.label, plain[row.clip.path]
        if path is None:
            draft.reject(split, row.clip.path, "", REFUSED, why_refused(row.clip.path) or "")
            continue
        start, stop = row.clip.start_s, row.clip.stop_s
        clip = path if start is None else f"{path}@{start:.10g}" + ("" if stop is None else f"-{stop:.10g}")
        if split not in SPLITS:
            draft.reject(split, clip, path, MISLABELLED, f"the split {split!r} is none of {', '.join(SPLITS)}")
        elif not draft.admit(split, clip):
            continue
        elif label not in numbers:
            draft.reject_label(split, clip, path, repr(label), "class")
        elif row.bad_window:
            draft.reject(split, clip, path, MISLABELLED, row.bad_window)
        elif path in others:
            message = f"{path} is neither a video ({', '.join(suffix[1:] for suffix in VIDEOS)}) nor a folder of images"
            draft.reject(split, clip, path, UNREADABLE, message)
        elif start is None or stop is None:
            draft.add(split, clip, (numbers[label],), media.find(path), path)
        elif path not in folders or not 0 <= start < stop <= MAX_NUMBER:
            draft.add(split, clip, (numbers[label],), media.find(path), path, (start, stop), "seconds")
        elif (fps := row.clip.fps) is None or not 0 < fps <= MAX_FPS:
            message = f"{path} is a folder of images, which have no seconds: {row.bad_fps or no_fps}"
            draft.reject(split, clip, path, MISLABELLED, message)
        elif (window := _frames(start, stop, fps)) is None:
            message = f"no frame lies in {start:g} to {stop:g} seconds at {fps:g} frames a second"
            draft.reject(split, clip, path, SHORT, message)
        else:
            draft.add(split, clip, (numbers[label],), media.find(path), path, window)
    return draft.manifest()


def _frames(start_s: float, stop_s: float, fps: float) -> tuple[float, float] | None:
    """Numbers [first, stop), from 0, of the frames that are shown in the seconds [start, stop); None where there is none."""
    first, stop = (max(0, math.ceil((seconds - _SLACK_S) * fps)) for seconds in (start_s, stop_s))
    return (first, stop) if first < stop else None


def _plain(path: str) -> str:
    """A path in one spelling, without ``./`` and ``//``."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _find(root: Path, source: str, paths: Iterable[str]) -> tuple[Media, set[str], set[str]]:
    """The clips among ``paths`` that exist, which of them are folders, and what exists but is neither video nor folder.

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
        raise UserError(f"no clip of {source} is under {root}{hint}")
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
