"""A mapping of plain values into a frozen dataclass, each value checked against its field's type."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from gsfnas.errors import UserError, shown, unknown

Settings = TypeVar("Settings")

_SAID: Mapping[type, str] = {int: "an integer", float: "a number", str: "a string", bool: "true or false", type(None): "null"}

# No setting has more digits, and much larger integers are no numbers.
_LARGE = 10**18


def to_settings(cls: type[Settings], values: Mapping[str, Any], section: str) -> Settings:
    """An instance of a dataclass of integers, numbers, strings and booleans; a field that is not given has its default.

    Raises UserError for a field that is none and a value of another type; what the class itself refuses passes through.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise unknown("setting", f"{section}.{name}", field_names(cls, section))
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not has_default:
            raise UserError(f"`{section}.{name}` has no default, so it must be given")
    return cls(**{name: checked(value, hints[name], f"{section}.{name}") for name, value in values.items()})


def field_names(cls: type[Any], section: str) -> list[str]:
    """The settings of a section as an override names them: ``train.epochs``."""
    return [f"{section}.{field.name}" for field in dataclasses.fields(cls)]


def checked(value: Any, hint: Any, name: str) -> Any:
    """The value of a setting of that type; an integer stands for a number, too. Raises UserError for one of another type."""
    wanted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if not all(kind in _SAID for kind in wanted):
        # A part from outside may take what it likes.
        return value
    if type(value) is str and str in wanted and "\0" in value:
        raise UserError(f"`{name}` must not hold the character NUL, but got {shown(value)}")
    if type(value) in wanted:
        return value
    if type(value) is int and abs(value) < _LARGE:
        if float in wanted:
            return float(value)
        if str in wanted:
            # A study may be called 2026.
            return str(value)
    raise UserError(f"`{name}` must be {' or '.join(_SAID[kind] for kind in wanted)}, but got {shown(value)}")
