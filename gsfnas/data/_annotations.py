"""What the readers share: opening annotations, finding the clips that they speak of, sorting these into entries and problems.

Whatever makes a whole set unusable is a UserError of one line that names the file, and the line in it where there is one.
"""

import csv
import io
import itertools
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gsfnas.data._catalogue import (
    DUPLICATE,
    EMPTY,
    MISLABELLED,
    MISSING,
    REFUSED,
    Catalogue,
    Entry,
    Problem,
    Unit,
    leads_out,
    why_refused,
)
from gsfnas.data._decode import VIDEOS
from gsfnas.errors import UserError

# Where below the root annotations may lie.
_FOLDERS = ("", "annotations", "labels", "epic-kitchens-100-annotations", "kinetics400")
# So many folders are looked into for a hint where the right root is; a wrong one may hold any number.
_HINT_LIMIT = 200

# What a walk does at a folder: take it as a clip, go into it, or pass it by.
Step = Literal["take", "enter", "pass"]


def find_annotation(root: Path, names: Sequence[str]) -> Path:
    """The first of ``names`` under ``root``. Raises UserError where there is none, naming the level near it that has one."""
    check_root(root)
    if found := _holds(root, names):
        return found
    listed = " or ".join(names)
    if folder := next((folder for folder in near(root) if _holds(folder, names)), None):
        where = "above" if folder in root.resolve().parents else "below"
        raise UserError(f"{root} has no {listed}, but {folder} {where} it has; set data.root={folder}")
    raise UserError(f"{root} has no {listed}, neither in itself nor in {', '.join(f'{name}/' for name in _FOLDERS[1:])}")


def check_root(root: Path) -> None:
    if not root.is_dir():
        raise UserError(f"`data.root` must be a folder, but {root} {'is a file' if root.exists() else 'does not exist'}")


def near(root: Path) -> Iterator[Path]:
    """Where the root may be in truth: two levels up, and the folders one and two levels down, up to a limit."""
    yield from itertools.islice(root.resolve().parents, 2)
    yield from itertools.islice(_folders_below(root), _HINT_LIMIT)


def _holds(folder: Path, names: Sequence[str]) -> Path | None:
    files = (folder / below / name for below in _FOLDERS for name in names)
    return next((file for file in files if file.is_file()), None)


def _folders_below(root: Path) -> Iterator[Path]:
    first = [Path(entry.path) for entry in scan(root) if entry.is_dir()]
    yield from first
    for folder in first:
        # What cannot be read cannot be hinted at.
        if os.access(folder, os.R_OK | os.X_OK):
            yield from (Path(entry.path) for entry in scan(folder) if entry.is_dir())


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from None


def read_text(file: Path) -> str:
    """A file of UTF-8, with or without a byte order mark."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}, line {line}: it is not UTF-8 text") from None


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of every line that is not blank."""
    for number, line in enumerate(io.StringIO(read_text(file), newline=None), 1):
        if text := line.strip():
            yield number, text


def read_rows(file: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a table with a header that has at least ``columns``; blank lines are passed by."""
    reader = csv.reader(io.StringIO(read_text(file), newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if lacking := [name for name in columns if name not in header]:
            found = ",".join(header)
            raise UserError(f"{file}, line 1: there is no column {', '.join(lacking)}; the header is {shown(found)}")
        if twice := [name for name in header if header.count(name) > 1]:
            raise UserError(f"{file}, line 1: the column {twice[0]} is there twice")
        for row in reader:
            if len(row) < 2 and not "".join(row).strip():
                continue
            if len(row) != len(header):
                raise UserError(f"{file}, line {reader.line_num}: it has {len(row)} fields, but the header has {len(header)}")
            yield reader.line_num, dict(zip(header, map(str.strip, row), strict=True))
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: it cannot be read as a table ({error})") from None


def read_json(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise UserError(f"{file}, line {error.lineno}: it is not JSON ({error.msg.lower()})") from None
    except (RecursionError, ValueError):
        # Brackets without end, or a number of thousands of digits.
        raise UserError(
            f"{file} is JSON that is no annotation: it is nested too deeply, or a number in it is too long"
        ) from None


def read_objects(file: Path, fields: Mapping[str, tuple[type, ...]]) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list, which all have ``fields``, each a value of one of its types."""
    items = read_json(file)
    if not isinstance(items, list):
        raise UserError(f"{file} must be a list of objects with {', '.join(fields)}, but is {shown(items)}")
    for number, item in enumerate(items, 1):
        # The exact type: in Python True is an int.
        if not isinstance(item, dict) or any(type(item.get(name)) not in types for name, types in fields.items()):
            expected = ", ".join(f"{name} ({' or '.join(kind.__name__ for kind in types)})" for name, types in fields.items())
            raise UserError(f"{file}, item {number}: it must be an object with {expected}, but is {shown(item)}")
        yield item


def shown(value: object) -> str:
    """A value in an error: its first characters, on one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def number_of(text: str) -> float | None:
    """A finite number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def check_classes(file: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Class names as a task: at least two, none of them blank or there twice."""
    if len(names) < 2:
        raise UserError(f"{file} has {f'the single class {names[0]!r}' if names else 'no class'}; there must be at least two")
    seen: set[str] = set()
    for name in names:
        if not name or name in seen:
            raise UserError(f"{file} has {f'the class {name!r} twice' if name else 'a class without a name'}")
        seen.add(name)
    return tuple(names)


@dataclass(frozen=True)
class Media:
    """The clips under a root: ``paths`` name without suffix -> path; ``outside`` are folders that links put outside of it."""

    root: Path
    paths: Mapping[str, str]
    links: frozenset[str]
    outside: tuple[str, ...] = ()

    def find(self, *names: str) -> str | None:
        """The path of the first of ``names`` that is there."""
        return next((self.paths[name] for name in names if name in self.paths), None)


def find_media(root: Path, starts: Sequence[str], expected: str, at_folder: Callable[[str], Step] | None = None) -> Media:
    """All videos in the folders ``starts`` that exist; ``at_folder`` says what to do at folders in them, which is to pass.

    The first of a name counts, in the order of ``starts`` and of names. Raises UserError where there is none at all: there
    must be ``expected``.
    """
    paths: dict[str, str] = {}
    links: set[str] = set()
    outside: list[str] = []
    for start in starts:
        for stem, path, is_link in _walk(root, start, at_folder, outside):
            if paths.setdefault(stem, path) == path and is_link:
                links.add(path)
    if not paths:
        hint = f"; did you mean data.root={root.resolve().parent}?" if root.resolve().name in _FOLDERS[1:] else ""
        raise UserError(f"there is no clip under {root}: there must be {expected}{_not_followed(outside)}{hint}")
    return Media(root, paths, frozenset(links), tuple(outside))


def _walk(
    root: Path, start: str, at_folder: Callable[[str], Step] | None, outside: list[str]
) -> Iterator[tuple[str, str, bool]]:
    """(name, path, whether it is a link) of every clip; folders that lead out of the root are added to ``outside``."""
    if (root / start).is_dir() and leads_out(root, start):
        outside.append(start)
        return
    waiting = deque([start] if (root / start).is_dir() else [])
    while waiting:
        folder = waiting.popleft()
        for entry in scan(root / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not entry.is_dir():
                stem, _, suffix = entry.name.rpartition(".")
                if f".{suffix.lower()}" in VIDEOS:
                    yield stem, path, entry.is_symlink()
                continue
            step = at_folder(path) if at_folder else "pass"
            if step == "take":
                yield entry.name, path, entry.is_symlink()
            elif step == "enter" and not entry.is_symlink():
                waiting.append(path)
            elif step == "enter" and leads_out(root, path):
                # A link to a folder below the root would only lead to clips that are found anyway, or in circles.
                outside.append(path)


def _not_followed(outside: Sequence[str]) -> str:
    return f" ({outside[0]} is a link that leads out of the root, and is not followed)" if outside else ""


class Draft:
    """A catalogue in the making: what an annotation says of a clip becomes an entry or a problem."""

    def __init__(self, tasks: Mapping[str, tuple[str, ...]], media: Media, splits: Sequence[str] = ("train", "test")) -> None:
        self._tasks = tasks
        self._media = media
        self._entries: dict[str, list[Entry]] = {split: [] for split in splits}
        self._problems: list[Problem] = []
        self._seen: dict[str, str] = {}
        self._whole: dict[str, str] = {}

    def admit(self, split: str, clip: str) -> bool:
        """Whether a clip is to be looked at: its name leads nowhere else, and it is the first one of this name."""
        if reason := why_refused(clip):
            self.reject(split, clip, "", REFUSED, reason)
        elif clip in self._seen:
            self.reject(split, clip, "", DUPLICATE, f"{clip!r} is in {self._seen[clip]} already; the first one stays")
        else:
            self._seen[clip] = split
            return True
        return False

    def reject(self, split: str, clip: str, path: str, kind: str, says: str) -> None:
        self._problems.append(Problem(split, clip, path, kind, says))

    def reject_label(self, split: str, clip: str, path: str, says: str, task: str) -> None:
        """``says`` is the label in words."""
        self.reject(split, clip, path, MISLABELLED, f"{says} is none of the {len(self._tasks[task])} {task} labels")

    def add(
        self,
        split: str,
        clip: str,
        labels: tuple[int, ...],
        path: str | None,
        expected: str,
        window: tuple[float, float] | None = None,
        unit: Unit = "frames",
    ) -> None:
        """A clip that was admitted and has its classes: an entry where its file is there, below the root, its window one.

        ``path`` is what was found, ``expected`` the path to name where nothing was.
        """
        start, stop = window or (None, None)
        if window and not 0 <= window[0] < window[1]:
            says = f"it goes from {window[0]} to {window[1]} {unit}; it must start at 0 or later, and stop after that"
            self.reject(split, clip, path or expected, MISLABELLED, says)
        elif path is None:
            self.reject(split, clip, expected, MISSING, f"there is no {expected}{_not_followed(self._media.outside)}")
        elif path in self._media.links and leads_out(self._media.root, path):
            self.reject(split, clip, path, REFUSED, f"{path} leads out of the root through a link")
        elif window is None and self._whole.setdefault(path, clip) != clip:
            self.reject(split, clip, path, DUPLICATE, f"{path} is the clip {self._whole[path]!r} already; the first one stays")
        else:
            self._entries[split].append(Entry(clip, path, labels, start, stop, unit))

    def catalogue(self) -> Catalogue:
        """Everything so far, and a problem for each class without a clip in train. Raises UserError where a split is empty."""
        for split, entries in self._entries.items():
            if not entries:
                wrong = [problem for problem in self._problems if problem.split == split]
                why = f"; {len(wrong)} are wrong, the first of them, {wrong[0].id}: {wrong[0].says}" if wrong else ""
                raise UserError(f"no clip is left in {split}{why}")
        for number, (task, names) in enumerate(self._tasks.items()):
            used = {entry.labels[number] for entry in self._entries["train"]}
            for label, name in enumerate(names):
                if label not in used:
                    self.reject("train", name, "", EMPTY, f"{task} {name!r} has no clip in train")
        splits = {split: tuple(entries) for split, entries in self._entries.items()}
        return Catalogue(self._tasks, splits, tuple(self._problems))
