"""Resolves the exchangeable parts of a study, each given by name, as a class, or as an instance."""

from collections.abc import Mapping
from typing import Any

from gsfnas.component import check_methods, find, is_outside, make, trust, where
from gsfnas.config import CHOICES, StudyConfig
from gsfnas.errors import UserError
from gsfnas.storages import Storage
from gsfnas.study import Parts

# The methods that each part must have, the attributes that it must define, and those that the base classes define already.
METHODS = {
    "sampler": ("propose", "plan", "num_left"),
    "stopper": ("stops",),
    "evaluator": ("evaluate", "check", "take", "prepare_once", "prepare", "close"),
    "executor": ("run",),
    "storage": ("holds", "open", "running", "is_running"),
}
ATTRIBUTES = {"evaluator": ("budget",), "executor": ("workers",)}
INHERITED = {
    "sampler": ("phase", "sees"),
    "evaluator": ("devices", "takes_data", "num_seeds", "identity", "heads", "known_latency"),
}


def part(section: str, given: Any, **options: Any) -> Any:
    """A part, given as a built-in name, ``package.module:object``, a class, or an instance (which takes no options).

    Code named in the call is trusted. Raises UserError for an unknown name or option, and for a part that lacks a method.
    """
    if isinstance(given, str):
        if is_outside(given):
            trust(given)
        given = find(given, CHOICES[section], section)
    made = make(given, options, section) if isinstance(given, type) or options else given
    return _checked(made, section)


def storage(name: str) -> Storage:
    """A storage to read studies from, given as a built-in name or ``package.module:Class``."""
    made: Storage = part("storage", name)
    return made


def parts_of(config: StudyConfig) -> Parts:
    """The parts of a composed study. Raises UserError for code that the user has not named."""
    made = {}
    for section, asked in config.parts.items():
        if section in config.named_by_user:
            trust(asked.name)
        found = find(asked.name, CHOICES[section], section)
        if section == "evaluator" and hasattr(found, "from_settings"):
            made[section] = _from_settings(found, config, asked.options)
        else:
            made[section] = make(found, asked.options, section)
        _checked(made[section], section)
    return Parts(**made)


def _from_settings(found: Any, config: StudyConfig, options: Mapping[str, Any]) -> Any:
    try:
        return found.from_settings(config.train, config.data, options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"evaluator {found.__qualname__!r} cannot be made ({where(error)})") from error


def _checked(made: Any, section: str) -> Any:
    check_methods(made, METHODS[section], section, ATTRIBUTES.get(section, ()), INHERITED.get(section, ()))
    if section == "evaluator" and made.takes_data and not hasattr(made, "data"):
        name = type(made).__qualname__
        raise UserError(f"evaluator {name!r} says `takes_data`, but has no attribute 'data', the settings of a data set")
    return made
