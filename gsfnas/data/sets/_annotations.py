"""Reads annotation files, and sorts their clips into entries and problems.

Errors that make the whole data set unusable are UserErrors of one line, which names the file and, if possible, the line in it.
"""

import csv
import io
import itertools
import json
import math
import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gsfnas.data._manifest import (
    DUPLICATE,
    EMPTY,
    MISLABELLED,
    MISSING,
    REFUSED,
    Entry,
    Manifest,
    Problem,
    Unit,
    is_text,
    real,
    why_refused,
)
from gsfnas.data.sets._media import ANNOTATIONS, Media, is_folder, scan
from gsfnas.errors import UserError
from gsfnas.files import read_text

# Maximum size of an annotation file: annotations of a million clips take a tenth of this.
_MAX_BYTES = 2**30
# Formats the beginning of a value only, since it may be a whole annotation file.
_BEGINNING = reprlib.Repr()
_BEGINNING.maxlist = _BEGINNING.maxdict = 20
_BEGINNING.maxstring = _BEGINNING.maxother = _BEGINNING.maxlong = 80
# The maximum number of folders that are searched for a hint about the right root.
_HINT_LIMIT = 200
# Larger numbers of frames or seconds are not exact in floating point.
MAX_NUMBER = 2**53


def find_annotation(root: Path, names: Sequence[str]) -> Path:
    """Finds the first of ``names`` under ``root``.

    Raises UserError if there is none, suggesting a folder near the root that has one.
    """
    check_root(root)
    if found := _holds(root, names):
        return found
    listed = " or ".join(names)
    if folder := next((folder for folder in near(root) if _holds(folder, names)), None):
        where = "above" if folder in real(root).parents else "below"
        raise UserError(f"{root} has no {listed}, but {folder} {where} it has; set data.root={folder}")
    raise UserError(f"{root} has no {listed}, neither in itself nor in {', '.join(f'{name}/' for name in ANNOTATIONS)}")


def check_root(root: Path) -> None:
    """Raises UserError if the root is not a folder."""
    try:
        wrong = "" if root.is_dir() else "is a file" if root.exists() else "does not exist"
    except OSError as error:
        raise UserError(f"cannot read {root}: {error.strerror}") from None
    if wrong:
        raise UserError(f"`data.root` must be a folder, but {root} {wrong}")


def near(root: Path) -> Iterator[Path]:
    """Folders that may be the right root: up to two levels above, and one or two levels below, up to a limit."""
    yield from itertools.islice(real(root).parents, 2)
    yield from itertools.islice(_folders_below(root), _HINT_LIMIT)


def _holds(folder: Path, names: Sequence[str]) -> Path | None:
    files = (folder / below / name for below in ("", *ANNOTATIONS) for name in names)
    # Pipes are included, so that reading them raises an error that explains it.
    return next((file for file in files if file.exists() and not file.is_dir()), None)


def _folders_below(root: Path) -> Iterator[Path]:
    first = [Path(entry.path) for entry in scan(root) if is_folder(entry)]
    yield from first
    for folder in first:
        # Skip unreadable folders: this only looks for a hint.
        if os.access(folder, os.R_OK | os.X_OK):
            yield from (Path(entry.path) for entry in scan(folder) if is_folder(entry))


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yields (number, text) of every line that is not blank."""
    for number, line in enumerate(io.StringIO(read_text(file, _MAX_BYTES), newline=None), 1):
        if text := line.strip():
            yield number, text


def read_rows(file: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line number, row) of a table whose header has at least ``columns``; blank lines are skipped.

    Raises UserError for a missing or repeated column, and for a malformed line.
    """
    reader = csv.reader(io.StringIO(read_text(file, _MAX_BYTES), newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if lacking := [name for name in columns if name not in header]:
            found = ",".join(header)
            raise UserError(f"{file}, line 1: there is no column {', '.join(lacking)}; the header is {beginning(found)}")
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
    """The value of a JSON file. Raises UserError if it is not JSON, or cannot be parsed within Python's limits."""
    text = read_text(file, _MAX_BYTES)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}, line {error.lineno}: it is not JSON ({error.msg.lower()})") from None
    except (RecursionError, ValueError):
        # Thousands of nested brackets, or a number with thousands of digits.
        raise UserError(
            f"{file} is JSON that is no annotation: it is nested too deeply, or a number in it is too long"
        ) from None


def read_objects(file: Path, fields: Mapping[str, tuple[type, ...]]) -> Iterator[dict[str, Any]]:
    """Yields the objects of a JSON list. Each must have all ``fields`` (name -> allowed types), otherwise raises UserError."""
    items = read_json(file)
    if not isinstance(items, list):
        raise UserError(f"{file} must be a list of objects with {', '.join(fields)}, but is {beginning(items)}")
    for number, item in enumerate(items, 1):
        # Exact types, since True is an int in Python.
        if not isinstance(item, dict) or any(type(item.get(name)) not in types for name, types in fields.items()):
            expected = ", ".join(f"{name} ({' or '.join(kind.__name__ for kind in types)})" for name, types in fields.items())
            raise UserError(f"{file}, item {number}: it must be an object with {expected}, but is {beginning(item)}")
        yield item


def beginning(value: object) -> str:
    """Formats the beginning of a value of any size for a message; ``errors.shown`` would format all of it first."""
    return _cut(_BEGINNING.repr(value), 80)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def number_of(text: str) -> float | None:
    """Parses a finite number; None if it is not one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def whole_number_of(text: str) -> int | None:
    """Parses a non-negative integer of at most 15 digits; None if it is not one."""
    return int(text) if text.isdecimal() and len(text) < 16 else None


def check_classes(file: Path | str, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the class names of a task. Raises UserError unless there are at least two, all different and none blank."""
    if len(names) < 2:
        raise UserError(
            f"{file} has {f'the single class {beginning(names[0])}' if names else 'no class'}; there must be at least two"
        )
    seen: set[str] = set()
    for name in names:
        if not name or name in seen:
            raise UserError(f"{file} has {f'the class {beginning(name)} twice' if name else 'a class without a name'}")
        if not is_text(name):
            raise UserError(f"{file} has the class {beginning(name)}, which is no text")
        seen.add(name)
    return tuple(names)


class Draft:
    """A manifest under construction: each annotated clip becomes an entry or a problem."""

    def __init__(self, tasks: Mapping[str, tuple[str, ...]], media: Media, splits: Sequence[str] = ("train", "test")) -> None:
        self._tasks = tasks
        self._media = media
        self._entries: dict[str, list[Entry]] = {split: [] for split in splits}
        self._problems: list[Problem] = []
        self._seen: dict[str, str] = {}
        self._whole: dict[str, str] = {}

    def admit(self, split: str, clip: str) -> bool:
        """Whether a clip is acceptable: its name is a safe path and not used before. Otherwise adds a problem."""
        if reason := why_refused(clip):
            self.reject(split, clip, "", REFUSED, reason)
        elif clip in self._seen:
            self.reject(split, clip, "", DUPLICATE, f"{clip!r} is in {self._seen[clip]} already; the first one stays")
        else:
            self._seen[clip] = split
            return True
        return False

    def reject(self, split: str, clip: str, path: str, kind: str, message: str) -> None:
        self._problems.append(Problem(split, clip, path, kind, message))

    def reject_label(self, split: str, clip: str, path: str, label: str, task: str) -> None:
        """Adds the problem of an unknown class; ``label`` describes the value in the annotation."""
        self.reject(split, clip, path, MISLABELLED, f"{label} is none of the {len(self._tasks[task])} {task} labels")

    def add(
        self,
        split: str,
        clip: str,
        labels: tuple[int, ...],
        paths: Sequence[str],
        expected: str,
        window: tuple[float, float] | None = None,
        unit: Unit = "frames",
    ) -> None:
        """Adds an admitted clip: an entry if its file exists below the root and its window is valid, otherwise a problem.

        ``paths`` are its files, the preferred one first; ``expected`` is the path to report if there is no file.
        """
        start, stop = window or (None, None)
        inside = tuple(path for path in paths if not self._media.is_refused(path))
        if window and not 0 <= window[0] < window[1] <= MAX_NUMBER:
            message = (
                f"it goes from {beginning(start)} to {beginning(stop)} {unit}; it must start at 0 or later, and stop after that"
            )
            self.reject(split, clip, next(iter(paths), expected), MISLABELLED, message)
        elif not paths:
            self.reject(split, clip, expected, MISSING, f"there is no {expected}{self._media.not_followed}")
        elif not inside:
            self.reject(split, clip, paths[0], REFUSED, f"{paths[0]} leads out of the root through a link")
        elif window is None and self._whole.setdefault(inside[0], clip) != clip:
            message = f"{inside[0]} is the clip {self._whole[inside[0]]!r} already; the first one stays"
            self.reject(split, clip, inside[0], DUPLICATE, message)
        else:
            self._entries[split].append(Entry(clip, inside[0], labels, start, stop, unit, inside[1:]))

    def manifest(self) -> Manifest:
        """Returns the manifest, with a problem for each class without a clip in train. Raises UserError for an empty split."""
        for split, entries in self._entries.items():
            if not entries:
                wrong = [problem for problem in self._problems if problem.split == split]
                why = f"; {len(wrong)} are wrong, the first of them, {wrong[0].id}: {wrong[0].message}" if wrong else ""
                raise UserError(_cut(f"no clip is left in {split}{why}", 500))
        for number, (task, names) in enumerate(self._tasks.items()):
            used = {entry.labels[number] for entry in self._entries["train"]}
            for label, name in enumerate(names):
                if label not in used:
                    self.reject("train", name, "", EMPTY, f"{task} {name!r} has no clip in train")
        splits = {split: tuple(entries) for split, entries in self._entries.items()}
        return Manifest(self._tasks, splits, tuple(self._problems))
