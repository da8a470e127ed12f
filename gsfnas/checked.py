"""Plain values as a file gives them: taken where they are what they must be, otherwise refused in one line.

``what`` names the value in that line. All of these raise UserError.
"""

import reprlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gsfnas.errors import UserError

# What a 64-bit integer holds: more is no count, and no name of a file either.
_MOST = 2**63 - 1
# Beyond what 32 bits hold, in which losses are computed.
LARGEST = 1e50

_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxstring, _short.maxlong, _short.maxother = 2, 2, 3, 60, 40, 60


def field(values: Mapping[str, Any], name: str) -> Any:
    """The value of that name, which must be there."""
    if name not in values:
        raise UserError(f"`{name}` is missing")
    return values[name]


def fields(values: Mapping[str, Any], read: Callable[[Any, str], Any], *names: str) -> dict[str, Any]:
    """The values of these names, each read by ``read(value, what)``."""
    return {name: read(field(values, name), name) for name in names}


def integer(value: Any, what: str, least: int = 0) -> int:
    """An integer from ``least`` to 2^63 - 1; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise refused(what, f"an integer of at least {least}", value)
    if value > _MOST:
        raise refused(what, "an integer below 2^63", value)
    return value


def number(value: Any, what: str) -> float:
    """An integer or a float that is not NaN, up to ``LARGEST`` in size: sums and squares of it stay finite."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return value
    raise refused(what, f"a finite number up to {LARGEST:.0e}", value)


def text(value: Any, what: str) -> str:
    """A string that can be written as UTF-8."""
    if not isinstance(value, str) or not is_unicode(value):
        raise refused(what, "a text", value)
    return value


def is_unicode(value: str) -> bool:
    """Whether a string holds whole characters; Python keeps a byte of a file's name that is not UTF-8 as half of one."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def one_of(value: Any, what: str, choices: Collection[str]) -> Any:
    """One of some strings."""
    if not isinstance(value, str) or value not in choices:
        raise refused(what, f"one of {', '.join(choices)}", value)
    return value


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object; its names are strings."""
    if not isinstance(value, dict):
        raise refused(what, "an object", value)
    return value


def items(value: Any, what: str) -> list[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        raise refused(what, "a list", value)
    return value


def refused(what: str, wanted: str, value: Any) -> UserError:
    """The line for another value than what is wanted; a long one is cut."""
    return UserError(f"`{what}` must be {wanted}, but got {_short.repr(value)}")
