"""Interpolations (``${data.root}``) resolved one after the other, so that two things can be told which OmegaConf does not tell:
which values come from the environment, and that the whole grows without end.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from omegaconf import Container, OmegaConf
from omegaconf.resolvers import oc

from gsfnas.errors import UserError, shortened, shown

# Where a value is: the keys that lead to it.
Place = tuple[Any, ...]

_MAX_COUNT = 300
# Of all texts together: the grammar takes seconds for more.
_MAX_LENGTH = 8192
# Characters of all values that come out; each value counts some more.
_MAX_SIZE = 2**17
_WAITING = "gsfnas.waiting"


@dataclass(frozen=True)
class Resolved:
    """What the interpolations come to; in ``written``, which is for files, those of the environment stay as they are.

    ``from_environment`` are the places of these.
    """

    values: dict[str, Any]
    written: dict[str, Any]
    from_environment: frozenset[Place]


def resolve(raw: dict[str, Any], path: str) -> Resolved:
    """Every interpolation of plain values; ``path`` is the file to name in an error.

    A value that refers to one of the environment is itself one of the environment. Raises UserError for an interpolation that
    leads nowhere, to itself, to a variable that is not set, or to too much.
    """
    texts = {place: text for place, text in _strings(raw) if "${" in text}
    if len(texts) > _MAX_COUNT or sum(map(len, texts.values())) > _MAX_LENGTH:
        raise UserError(f"{path} has more than {_MAX_COUNT} interpolations, or more than {_MAX_LENGTH:,} characters of them")
    found: dict[Place, Any] = {}
    if texts:
        waiting = dict(texts)
        config = OmegaConf.create(_replaced(raw, dict.fromkeys(waiting, f"${{{_WAITING}:}}")))
        # First without the environment: what is left then, depends on it.
        with _Resolvers(config, path, is_closed=True) as resolvers:
            resolvers.go_through(waiting, found)
        texts = dict(waiting)
        with _Resolvers(config, path, is_closed=False) as resolvers:
            resolvers.go_through(waiting, found)
        if waiting:
            raise UserError(f"{path}: the interpolation of `{_dotted(next(iter(waiting)))}` leads back to itself")
    written = {place: texts.get(place, escaped(value)) for place, value in found.items()}
    return Resolved(_replaced(raw, found), _replaced(raw, written), frozenset(texts))


def escaped(value: Any) -> Any:
    """Plain values as a file says them: text that looks like an interpolation, and is none, is marked as such."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {name: escaped(item) for name, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value


class _Resolvers:
    """OmegaConf's resolvers, where that of the environment tells when it is asked, and does not answer while it is closed."""

    def __init__(self, config: Any, path: str, *, is_closed: bool) -> None:
        self._config = config
        self._path = path
        self._is_closed = is_closed
        self._is_waiting = False
        self._missing: str | None = None
        self._size = 0

    def __enter__(self) -> Self:
        OmegaConf.register_new_resolver("oc.env", self._environment, replace=True)
        OmegaConf.register_new_resolver(_WAITING, self._wait, replace=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        OmegaConf.clear_resolver(_WAITING)

    def go_through(self, waiting: dict[Place, str], found: dict[Place, Any]) -> None:
        """Moves what can be resolved from ``waiting`` to ``found``, in as many rounds as it takes."""
        is_going_on = True
        while is_going_on:
            is_going_on = False
            for place, text in list(waiting.items()):
                value = self._value(place, text)
                if not self._is_waiting:
                    found[place] = value
                    del waiting[place]
                    is_going_on = True

    def _value(self, place: Place, text: str) -> Any:
        """What one comes to where all that it refers to is resolved; otherwise it waits on."""
        parent = self._config
        for key in place[:-1]:
            parent = parent[key]
        self._is_waiting, self._missing = False, None
        try:
            parent[place[-1]] = text
            value = parent[place[-1]]
            value = OmegaConf.to_container(value, resolve=True) if isinstance(value, Container) else value
            self._size += _size(value)
            if self._size > _MAX_SIZE:
                raise UserError(f"the interpolations of {self._path} come to too much; the last is `{_dotted(place)}`")
            # For those that refer to it.
            parent[place[-1]] = escaped(value)
        except UserError:
            raise
        except Exception as error:
            if self._missing is not None:
                said = f"the environment variable {shown(self._missing)}, which is not set"
                raise UserError(f"{self._path}: `{_dotted(place)}` asks for {said}") from None
            if not self._is_waiting:
                said = shortened(str(error))
                raise UserError(f"{self._path} cannot be composed: `{_dotted(place)}` is {shown(text)}: {said}") from None
            value = None
        if self._is_waiting:
            parent[place[-1]] = f"${{{_WAITING}:}}"
        return value

    def _environment(self, *arguments: Any) -> Any:
        if self._is_closed:
            self._wait()
        if len(arguments) == 1 and arguments[0] not in os.environ:
            self._missing = str(arguments[0])
        return oc.env(*arguments)

    def _wait(self) -> None:
        self._is_waiting = True
        raise LookupError("it refers to what is not resolved yet")


def _strings(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    for key, item in _items(value):
        yield from _strings(item, (*place, key))


def _items(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()


def _replaced(value: Any, found: Mapping[Place, Any], place: Place = ()) -> Any:
    """A copy with other values at some places."""
    if place in found:
        return found[place]
    if isinstance(value, Mapping):
        return {key: _replaced(item, found, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, found, (*place, index)) for index, item in enumerate(value)]
    return value


def _size(value: Any) -> int:
    return 8 + (len(value) if isinstance(value, str) else sum(_size(item) for _, item in _items(value)))


def _dotted(place: Place) -> str:
    return ".".join(str(key) for key in place)
