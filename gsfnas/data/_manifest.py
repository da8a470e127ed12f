"""The manifest of a data set: its tasks, the clips of each split, and the problems found in its annotations.

A data set creates it from the files as they are distributed, without opening a video. Paths are relative to the root and use
``/``.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# The unit of ``start`` and ``stop``: seconds, or frame numbers from 0. The window excludes ``stop``.
Unit = Literal["frames", "seconds"]

# Kinds of problems of a clip or a class.
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
    """One clip: a video or a folder of images at ``path``, or a window of it, and one class index per task.

    ``spare`` lists other files of the same clip. If ``path`` cannot be decoded, the first of them that can is used.
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
    """A problem of a clip or a class: ``kind`` is one of the constants above, ``message`` states the value and the rule."""

    split: str
    id: str
    path: str
    kind: str
    message: str


@dataclass(frozen=True)
class Manifest:
    """``tasks`` maps task -> class names, in the order of ``Entry.labels``; ``splits`` has ``train`` and possibly others.

    Clips with a problem are left out of ``splits``.
    """

    tasks: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, tuple[Entry, ...]]
    problems: tuple[Problem, ...] = ()


def empty_classes(tasks: Mapping[str, tuple[str, ...]], labels: Sequence[tuple[int, ...]]) -> list[tuple[str, str]]:
    """(task, class) of each class without a clip, given the ``labels`` of all clips."""
    used = [set(column) for column in zip(*labels, strict=True)] or [set[int]() for _ in tasks]
    return [
        (task, name)
        for (task, names), known in zip(tasks.items(), used, strict=True)
        for number, name in enumerate(names)
        if number not in known
    ]


def why_refused(path: str) -> str | None:
    """Why a path or name in an annotation is refused; None for a relative path without ``..``. Links are not resolved."""
    if not path or "\0" in path or "\\" in path:
        return f"{path!r} is no path"
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        return f"{path!r} is absolute; paths must be relative to the root"
    if ".." in path.split("/"):
        return f"{path!r} leads out of the root with '..'"
    return None


def leads_out(root: Path, path: str, followed: Collection[str] = ()) -> bool:
    """Whether a path leaves the root through a link. The folders in ``followed``, below the root, may be links out of it."""
    place = real(root / path)
    return not any(place.is_relative_to(real(root / name)) for name in ("", *followed))


def is_text(name: str) -> bool:
    """Whether a name can be encoded as UTF-8; file names in another encoding cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def real(path: Path) -> Path:
    """Resolves the links in a path; unlike ``Path.resolve``, does not fail for a link that points to itself."""
    return Path(os.path.realpath(path))


def hold_out(entries: Sequence[Entry], share: float, seed: int) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Divides clips into (rest, held out): of each class of the first task, ``share`` of the clips is held out.

    The number is rounded, and at least one for a class with two or more clips. A hash of the seed and the id selects the clips,
    so that adding or removing a clip moves few others.
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
