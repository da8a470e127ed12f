"""The exchangeable parts of a study: by name, as a class, or as an instance."""

from typing import Any

from gsfnas.component import check_methods, find, is_outside, make, trust
from gsfnas.config import CHOICES, StudyConfig
from gsfnas.study import Parts

# What each part must be able to do.
METHODS = {
    "sampler": ("propose",),
    "stopper": ("stops",),
    "evaluator": ("evaluate",),
    "executor": ("run",),
    "storage": ("holds", "open", "running", "is_running"),
}


def part(section: str, given: Any, **options: Any) -> Any:
    """A part from a shipped name or ``package.module:object``, a class, or an instance, which takes no options.

    Who calls this names the code, and so trusts it. Raises UserError for a name or an option that is none, and for what lacks a
    method.
    """
    if isinstance(given, str):
        if is_outside(given):
            trust(given)
        given = find(given, CHOICES[section], section)
    made = make(given, options, section) if isinstance(given, type) or options else given
    return check_methods(made, METHODS[section], section)


def parts_of(config: StudyConfig) -> Parts:
    """The parts of a composed study. Code that the user has not named is refused."""
    made = {}
    for section, asked in config.parts.items():
        if section in config.named_by_user:
            trust(asked.name)
        found = find(asked.name, CHOICES[section], section)
        if section == "evaluator" and hasattr(found, "from_settings"):
            made[section] = found.from_settings(config.train, config.data, asked.options)
        else:
            made[section] = make(found, asked.options, section)
        check_methods(made[section], METHODS[section], section)
    return Parts(**made)
