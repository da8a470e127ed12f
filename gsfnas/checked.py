"""Checks plain values read from a file: each function returns the value, or raises UserError if it is invalid.

``what`` is the name of the value in the message.
"""

import reprlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gsfnas.errors import UserError

# The largest signed 64-bit integer. No count is larger.
_MOST = 2**63 - 1
# Larger than any 32-bit float, and losses are computed in 32 bits.
LARGEST = 1e50

_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxstring, _short.maxlong, _short.maxother = 2, 2, 3, 60, 40, 60


def field(values: Mapping[str, Any], name: str) -> Any:
    """The value called ``name``, which must exist."""
    if name not in values:
        raise UserError(f"`{name}` is missing")
    return values[name]


def fields(values: Mapping[str, Any], read: Callable[[Any, str], Any], *names: str) -> dict[str, Any]:
    """Name -> value for these names; each is checked by ``read(value, what)``."""
    return {name: read(field(values, name), name) for name in names}


def integer(value: Any, what: str, least: int = 0) -> int:
    """An integer from ``least`` to 2^63 - 1, and not a boolean."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise refused(what, f"an integer of at least {least}", value)
    if value > _MOST:
        raise refused(what, "an integer below 2^63", value)
    return value


def number(value: Any, what: str) -> float:
    """An integer or a float that is not NaN, with a magnitude up to ``LARGEST``, so that its sums and squares are finite."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return value
    raise refused(what, f"a finite number up to {LARGEST:.0e}", value)


def text(value: Any, what: str) -> str:
    """A string that can be written as UTF-8."""
    if not isinstance(value, str) or not is_unicode(value):
        raise refused(what, "a text", value)
    return value


def is_unicode(value: str) -> bool:
    """Whether a string can be encoded as UTF-8. It cannot if it has surrogates, as Python uses for invalid file name bytes."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def one_of(value: Any, what: str, choices: Collection[str]) -> Any:
    """One of the strings in ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise refused(what, f"one of {', '.join(choices)}", value)
    return value


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object, as a dict with string keys."""
    if not isinstance(value, dict):
        raise refused(what, "an object", value)
    return value


def items(value: Any, what: str) -> list[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        raise refused(what, "a list", value)
    return value


def refused(what: str, wanted: str, value: Any) -> UserError:
    """The error for an invalid value; a long value is shortened."""
    return UserError(f"`{what}` must be {wanted}, but got {_short.repr(value)}")
