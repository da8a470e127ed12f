"""Reads YAML from any source: its size is checked before it is loaded, so that a small file cannot fill the memory.

A few lines of aliases that refer to aliases can expand to billions of values, and a merge key copies them while it is loaded.
So the parser's events are counted first, each alias with the size of the value that it refers to. YAML that passes has plain
values only, and no duplicate keys.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from gsfnas import files
from gsfnas.errors import UserError, shown

# The shipped files take 2 KB; a space of 500 rows some 100 KB.
MAX_BYTES = 2**18
MAX_DEPTH = 20
# A value's size is its number of characters plus _VALUE. Text with an interpolation (${name}) counts _INTERPOLATION times,
# since it takes that much longer to parse. The sum, with aliases expanded, is at most _MAX_SIZE.
_VALUE = 8
_INTERPOLATION = 64
_MAX_SIZE = 2**19
# The tags of plain values; any other tag names a class.
_TAGS = {None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq"))}


def read(path: Path) -> str:
    """The text of a YAML file, checked. Raises UserError as ``check`` does, and for a path that is not a text file."""
    text = files.read_text(path, MAX_BYTES)
    check(text, str(path))
    return text


def load(text: str, name: str) -> Any:
    """The values of a YAML text; ``name`` names its source in errors. Raises UserError as ``check`` does."""
    check(text, name)
    try:
        return yaml.safe_load(text)
    except Exception as error:
        # Not only YAMLError: a month 13 or an integer of 5,000 digits raises ValueError.
        raise UserError(f"{name} cannot be read: {explain(error)}") from None


def check(text: str, name: str) -> None:
    """Raises UserError, quickly and without loading it, for text that is not YAML of plain values.

    Refused are more than ``MAX_DEPTH`` levels, an alias within its own value, the tag of a class, a duplicate key, and aliases
    that expand to more than a file could hold.
    """
    try:
        _Counter(name).count(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise UserError(f"{name} cannot be read: {explain(error)}") from None


def explain(error: Exception) -> str:
    """The problem that the YAML parser reports and its line, without the kind of the exception."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is not None and problem:
        return f"{' '.join(str(problem).split())} on line {mark.line + 1}"
    return " ".join(str(error).split()) or type(error).__name__


class _Open:
    """A mapping or a list that is being counted."""

    def __init__(self, event: yaml.CollectionStartEvent) -> None:
        self.anchor = event.anchor
        self.size = _VALUE
        self.height = 1
        self.keys: set[str] | None = set() if isinstance(event, yaml.MappingStartEvent) else None
        self.is_at_key = True


class _Counter:
    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[_Open] = []
        # Size and height of what each anchor names.
        self._anchors: dict[str, tuple[int, int]] = {}
        self._size = 0

    def count(self, events: Iterable[yaml.Event]) -> None:
        for event in events:
            self._line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                self._alias(str(event.anchor))
            elif isinstance(event, yaml.ScalarEvent):
                self._check_tag(event.tag)
                self._check_key(event.value)
                length = len(event.value) * (_INTERPOLATION if "${" in event.value else 1)
                self._add(_VALUE + length, 0, event.anchor)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._check_tag(event.tag)
                self._check_key(None)
                self._open.append(_Open(event))
                self._grow(_VALUE, 0)
            elif isinstance(event, yaml.CollectionEndEvent):
                ended = self._open.pop()
                # Its parts were already counted, one by one.
                self._size -= ended.size
                self._add(ended.size, ended.height, ended.anchor)

    def _alias(self, anchor: str) -> None:
        self._check_key(None)
        if anchor in (one.anchor for one in self._open):
            raise self._error(f"&{anchor} holds itself")
        if anchor not in self._anchors:
            raise self._error(f"*{anchor} names nothing")
        self._add(*self._anchors[anchor])

    def _add(self, size: int, height: int, anchor: str | None = None) -> None:
        """Adds a complete value to the open collection, and remembers its size under its anchor."""
        self._grow(size, height)
        if anchor is not None:
            self._anchors[anchor] = size, height
        if self._open:
            parent = self._open[-1]
            parent.size += size
            parent.height = max(parent.height, height + 1)
            parent.is_at_key = not parent.is_at_key

    def _grow(self, size: int, height: int) -> None:
        self._size += size
        if self._size > _MAX_SIZE:
            raise self._error("aliases and long interpolations expand to too much")
        if len(self._open) + height > MAX_DEPTH:
            raise self._error(f"it is nested deeper than {MAX_DEPTH} levels")

    def _check_key(self, key: str | None) -> None:
        """A key must be plain text and unique in its mapping; only the merge key ``<<`` may repeat."""
        parent = self._open[-1] if self._open else None
        if parent is None or parent.keys is None or not parent.is_at_key:
            return
        if key is None:
            raise self._error("a key must be plain text")
        if key in parent.keys and key != "<<":
            raise self._error(f"{shown(key)} is there twice")
        parent.keys.add(key)

    def _check_tag(self, tag: str | None) -> None:
        if tag not in _TAGS:
            raise self._error(f"the tag {shown(tag)} is none of plain values")

    def _error(self, what: str) -> UserError:
        return UserError(f"{self._name} cannot be read: {what} on line {self._line}")
