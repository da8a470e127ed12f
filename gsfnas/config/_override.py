"""Overrides as a user types them, checked and rewritten into the form in which Hydra means the same.

``space=NAME`` and ``backbone=NETWORK`` would replace a whole node by a string, and a setting that a study leaves to its default
could not be set at all; both are rewritten here. Every mistake is found before Hydra sees it.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from gsfnas.component import how_to_name, is_outside
from gsfnas.config._roots import ConfigRoots
from gsfnas.errors import UserError, shortened, shown, unknown
from gsfnas.study._configuration import RENAMED

# Other names of settings: short forms of those that are typed often, and how they were spelled before.
SHORT: Mapping[str, str] = {"workers": "executor.workers", **RENAMED}

# The exchangeable parts of a study, each a group with the part's options beneath.
PARTS = ("sampler", "stopper", "evaluator", "executor", "storage")

# What the options of a group are called.
NAMED: Mapping[str, str] = {
    "space": "space",
    "backbone": "backbone",
    "data": "data set",
    "train": "recipe",
    "protocol": "protocol",
    **{part: part for part in PARTS},
}

# Groups whose option may have a file of its own for a data set, beside it: paper and paper_diving48.
BY_DATA = ("train", "protocol")

# Hydra's grammar takes a second for 8,000 characters, and the square of that for more.
_MAX_LENGTH = 8000
_MAX_DEPTH = 20

# Sections whose settings are free: those whose owners check them.
FREE = ("backbone", "space", "report", *PARTS)


class Rewriter:
    """Rewrites the overrides of one study.

    ``fields`` are the settings by their full names (``train.epochs``); ``chosen`` maps the groups that the study's file chooses
    from, as its defaults list names them (``data``, ``spaces@space``), to the option: choosing from another one adds it.

    Where an option of BY_DATA has a file for the data set, ``NAME_DATA``, that one is meant by ``NAME``.
    """

    def __init__(self, roots: ConfigRoots, fields: Collection[str], chosen: Mapping[str, str], groups: Collection[str]) -> None:
        self._roots = roots
        self._fields = fields
        self._chosen = chosen
        self._groups = groups

    def __call__(self, overrides: Collection[str]) -> list[str]:
        """Hydra's overrides, in order. Raises UserError for one that cannot be read or names nothing."""
        named = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
        self._data = named.get("data", self._chosen.get("data", "twins"))
        kept = [
            f"{group}={self._for_data(group, option)}"
            for group, option in self._chosen.items()
            if group in BY_DATA and group not in named and self._for_data(group, option) != option
        ]
        return kept + [line for override in overrides for line in self._rewrite(override)]

    def _for_data(self, group: str, option: str) -> str:
        own = f"{option}_{self._data}"
        return own if group in BY_DATA and own in self._roots.files(group) else option

    def _rewrite(self, text: str) -> list[str]:
        key, equals, value = text.partition("=")
        name = key.lstrip("+~")
        if not name or (not equals and not key.startswith("~")):
            raise UserError(f"an override is written key=value, but got {shown(text)}")
        if len(text) > _MAX_LENGTH:
            raise UserError(f"an override has at most {_MAX_LENGTH:,} characters, but {shown(text)} has {len(text):,}")
        if name in self._groups and equals:
            return self._choose(name, value.strip("'\""))
        name = SHORT.get(name, name)
        section, _, field = name.partition(".")
        if section in PARTS and field == "name" and equals:
            return self._choose(section, value.strip("'\""))
        if (section in FREE or name.startswith("data.options.")) and field:
            prefix = "~" if key.startswith("~") else "++"
            _check(f"{prefix}{name}{equals}{value}", text)
            return [f"{prefix}{name}{equals}{value}"]
        if name not in self._fields:
            if section in {known.partition(".")[0] for known in self._fields} and not field:
                raise UserError(
                    f"`{section}` is a section; set one of its settings, such as {sorted(self._fields_of(section))[0]}"
                )
            raise unknown("override", name, [*self._fields, *self._groups, *SHORT])
        if not equals:
            raise UserError(f"`{name}` cannot be taken away, only set: {name}=VALUE")
        return [f"++{name}={value if _is_one_value(value) else quoted(value)}"]

    def _choose(self, group: str, value: str) -> list[str]:
        """An option of a group. Without a file of its own a backbone is a network of timm or a factory, a part the user's."""
        folder, key = ("spaces", "spaces@space") if group == "space" else (group, group)
        prefix = "" if key in self._chosen else "+"
        options = self._roots.files(folder)
        value = self._for_data(group, value)
        if value in options:
            return [f"{prefix}{key}={value}"]
        if (group in PARTS or group == "data") and is_outside(value):
            # In place of the data that a study has chosen, whose other settings may be of no use to it.
            others = ["data=folder"] if group == "data" and not prefix else []
            return [*others, f"++{group}.name={quoted(value)}"]
        if group != "backbone" or not value or value[0] in "{[":
            own = f"; {how_to_name(value)}" if group in PARTS or group == "data" else ""
            raise UserError(f"{unknown(NAMED[group], value, options)}{own}")
        return [f"{prefix}backbone=timm", f"++backbone.name={quoted(value)}"]

    def _fields_of(self, section: str) -> list[str]:
        return [field for field in self._fields if field.startswith(f"{section}.")]


def set_field(name: str, value: Any, fields: Collection[str]) -> list[str]:
    """The overrides that set a field to a plain value, or to a mapping of these.

    Raises UserError for a field that is none, a list, and a name in a mapping that is no identifier.
    """
    if name not in fields:
        raise unknown("setting", name, fields)
    if not isinstance(value, Mapping):
        return [_line(name, value)]
    for key in value:
        if not isinstance(key, str) or not key.isidentifier():
            raise UserError(f"`{name}` must have names of letters, digits and '_', but got {shown(key)}")
    return [_line(f"{name}.{key}", each) for key, each in value.items()]


def _line(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float | None) or (isinstance(value, int) and abs(value) > 10**18):
        raise UserError(f"`{name}` must be one value, but got {shown(value)}")
    text = "null" if value is None else quoted(value) if isinstance(value, str) else str(value).lower()
    return f"++{name}={text}"


def names_part(overrides: Collection[str], section: str, name: str) -> bool:
    """Whether one of the overrides, as typed, is the name of this section's part."""
    typed = (override.lstrip("+").partition("=") for override in overrides)
    keys = {section, f"{section}.name", *(old for old, new in RENAMED.items() if new == f"{section}.name")}
    return any(key in keys and value.strip("'\"") == name for key, _, value in typed)


def quoted(value: str) -> str:
    """As a string, whatever it holds: a folder may have brackets and commas in its name."""
    # Hydra takes backslashes for what they are, except before a quote and at the end.
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), value) + "'"


def _check(override: str, typed: str) -> None:
    """Raises UserError for what Hydra's grammar does not read as one value."""
    if _depth(override) > _MAX_DEPTH:
        raise UserError(f"the override {shown(typed)} is nested deeper than {_MAX_DEPTH} levels")
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        said = str(error).strip().splitlines() or [""]
        raise UserError(f"the override {shown(typed)} cannot be read: {shortened(said[0])}") from error
    except Exception as error:
        # An integer of 5,000 digits, a function of the grammar that fails.
        raise UserError(f"the override {shown(typed)} cannot be read: {shortened(str(error))}") from error
    if parsed.is_sweep_override():
        raise UserError(f"an override takes one value, but {shown(typed)} gives several")


def _depth(text: str) -> int:
    depth = most = 0
    for character in text:
        depth += (character in "[{(") - (character in ")}]")
        most = max(most, depth)
    return most


def _is_one_value(value: str) -> bool:
    try:
        _check(f"++key={value}", value)
    except UserError:
        return False
    return True
