"""The manifest of a data set: its tasks, the clips of each split, and a row for each problem with its annotations.

A data set makes one from its files as they are distributed, and opens no video. Paths are relative to the root, with ``/``.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Seconds, or numbers of frames counted from 0; a window ends before ``stop``.
Unit = Literal["frames", "seconds"]

# What can be wrong with one clip or one class.
MISSING, UNREADABLE, SHORT, MISLABELLED, DUPLICATE, REFUSED, EMPTY, UNSTAMPED = (
    "missing",
    "unreadable",
    "too short",
    "mislabelled",
    "duplicate",
    "refused",
    "empty class",
    "no usable time stamps",
)


@dataclass(frozen=True)
class Entry:
    """One clip: a video or a folder of images at ``path``, all of it or a window, and a class of each task.

    ``spare`` are other files of the same clip, of which the first good one is taken where ``path`` cannot be decoded.
    """

    id: str
    path: str
    labels: tuple[int, ...]
    start: float | None = None
    stop: float | None = None
    unit: Unit = "frames"
    spare: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: ``kind`` is one of those above, ``message`` a sentence with the value and what is right."""

    split: str
    id: str
    path: str
    kind: str
    message: str


@dataclass(frozen=True)
class Manifest:
    """``tasks`` maps task -> class names, in the order of ``Entry.labels``; ``splits`` has ``train`` and maybe others.

    A clip with a problem is not among the entries.
    """

    tasks: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, tuple[Entry, ...]]
    problems: tuple[Problem, ...] = ()


def empty_classes(tasks: Mapping[str, tuple[str, ...]], labels: Sequence[tuple[int, ...]]) -> list[tuple[str, str]]:
    """(task, class) of each class that none of the clips with these labels has."""
    used = [set(column) for column in zip(*labels, strict=True)] or [set[int]() for _ in tasks]
    return [
        (task, name)
        for (task, names), known in zip(tasks.items(), used, strict=True)
        for number, name in enumerate(names)
        if number not in known
    ]


def why_refused(path: str) -> str | None:
    """Why a path or a name from an annotation is refused; None for a relative path without ``..``. Links are not looked at."""
    if not path or "\0" in path or "\\" in path:
        return f"{path!r} is no path"
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        return f"{path!r} is absolute; paths must be relative to the root"
    if ".." in path.split("/"):
        return f"{path!r} leads out of the root with '..'"
    return None


def leads_out(root: Path, path: str, followed: Collection[str] = ()) -> bool:
    """Whether a link takes a path out of the root. Folders in ``followed``, below the root, may be links to elsewhere."""
    place = real(root / path)
    return not any(place.is_relative_to(real(root / name)) for name in ("", *followed))


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; that of a file in another encoding cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def real(path: Path) -> Path:
    """A path with its links resolved; unlike ``Path.resolve``, also for a link that points to itself."""
    return Path(os.path.realpath(path))


def hold_out(entries: Sequence[Entry], share: float, seed: int) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """(train, val): of each class of the first task ``share`` of its clips, rounded, at least one where it has two.

    A hash of the seed and the id decides which clips, so that adding or removing a clip moves few others.
    """
    classes: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        classes[entry.labels[0]].append(entry)
    held: set[str] = set()
    for members in classes.values():
        number = min(max(1, round(len(members) * share)), len(members) - 1)
        order = sorted(members, key=lambda entry: hashlib.sha256(f"{seed}/{entry.id}".encode(errors="surrogatepass")).digest())
        held |= {entry.id for entry in order[:number]}
    train = tuple(entry for entry in entries if entry.id not in held)
    return train, tuple(entry for entry in entries if entry.id in held)
