"""Builds a manifest from a list of clips: checks that each exists once below the root, with a known split and class."""

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
# Tolerance in seconds for rounded times: 0.033 still means frame 1 at 30 frames per second.
_SLACK_S = 0.0005


@dataclass(frozen=True)
class Row:
    """A listed clip, with messages about its window and its frame rate if they could not be parsed."""

    clip: LabelledClip
    bad_window: str = ""
    bad_fps: str = ""


def manifest_of(root: Path, source: str, rows: Sequence[Row], no_fps: str, classes: Sequence[str] | None = None) -> Manifest:
    """Builds the manifest of ``rows``.

    ``source`` names the origin of the list in messages, and ``no_fps`` is the message for a missing frame rate. ``classes``
    defaults to the sorted classes of train. Splits without a row are left out. Raises UserError if there is no clip.
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
    """Frame numbers [first, stop), from 0, of the frames shown in [start_s, stop_s) seconds; None if there is none."""
    first, stop = (max(0, math.ceil((seconds - _SLACK_S) * fps)) for seconds in (start_s, stop_s))
    return (first, stop) if first < stop else None


def _plain(path: str) -> str:
    """Normalizes a path by removing ``./`` and ``//``."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _find(root: Path, source: str, paths: Iterable[str]) -> tuple[Media, set[str], set[str]]:
    """Returns the existing clips among ``paths``, which of them are folders, and the paths that are neither video nor folder.

    Every folder is listed only once. Raises UserError if no clip exists.
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
    """Like ``Path.is_dir``, but False for a path that the system rejects, such as one that is too long."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
