"""Converts a mapping of plain values to a frozen dataclass, checking each value against the type of its field."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from gsfnas.errors import UserError, shown, unknown_setting

Settings = TypeVar("Settings")

_SAID: Mapping[type, str] = {int: "an integer", float: "a number", str: "a string", bool: "true or false", type(None): "null"}

# No setting is larger, and integers that are much larger cannot be converted to floats.
_LARGE = 10**18


def to_settings(cls: type[Settings], values: Mapping[str, Any], section: str) -> Settings:
    """Creates an instance of a dataclass of integers, numbers, strings and booleans; fields not given have their defaults.

    Raises UserError for an unknown field, a field without value or default, and a value of the wrong type. Errors of the class
    itself are passed on.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise unknown_setting(section, name, fields)
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not has_default:
            raise UserError(f"`{section}.{name}` has no default, so it must be given")
    return cls(**{name: checked(value, hints[name], f"{section}.{name}") for name, value in values.items()})


def field_names(cls: type[Any], section: str) -> list[str]:
    """The settings of a section under their names in overrides, such as ``train.epochs``."""
    return [f"{section}.{field.name}" for field in dataclasses.fields(cls)]


def checked(value: Any, hint: Any, name: str) -> Any:
    """The value of a setting whose type is ``hint``. Raises UserError for a value of another type.

    An integer is converted to a float, or to a string, if that is the type.
    """
    wanted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if not all(kind in _SAID for kind in wanted):
        # A user's part may have options of any type, which are not checked.
        return value
    if type(value) is str and str in wanted and "\0" in value:
        raise UserError(f"`{name}` must not hold the character NUL, but got {shown(value)}")
    if type(value) in wanted:
        return value
    if type(value) is int and abs(value) < _LARGE:
        if float in wanted:
            return float(value)
        if str in wanted:
            # The name of a study may be 2026, which YAML reads as an integer.
            return str(value)
    raise UserError(f"`{name}` must be {' or '.join(_SAID[kind] for kind in wanted)}, but got {shown(value)}")
