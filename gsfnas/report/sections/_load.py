"""Loads sections that are given by name, class, instance or function."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gsfnas import component
from gsfnas.errors import UserError, shown
from gsfnas.report.sections import SECTIONS
from gsfnas.report.sections.base import Section, Shown

if TYPE_CHECKING:
    from gsfnas.report._analysis import StudyAnalysis

KIND = "report section"
METHODS = ("applies", "show")
# In a list of sections, stands for all shipped ones.
DEFAULT = "default"

SectionLike = str | type[Section] | Section | Callable[["StudyAnalysis"], Shown | None]


@dataclass(frozen=True)
class FunctionSection(Section):
    """Wraps a function as a section."""

    function: Callable[["StudyAnalysis"], Shown | None]

    def show(self, analysis: "StudyAnalysis") -> Shown | None:
        return self.function(analysis)


def check_sections(given: Sequence[SectionLike] | None, *, is_from_data: bool = False) -> None:
    """Raises UserError if ``load_sections`` would. Quick, as it imports no shipped section: call it before a study runs."""
    for one in _expanded(given):
        if not isinstance(one, str) or one not in SECTIONS:
            _load(one, is_from_data=is_from_data)


def load_sections(given: Sequence[SectionLike] | None = None, *, is_from_data: bool = False) -> dict[str, Section]:
    """Name -> section, in the given order; all shipped sections if ``given`` is None.

    Each entry is a shipped name, ``default`` (stands for all shipped ones), ``package.module:object``, a class, an instance or
    a function. Naming code here means trusting it: pass ``is_from_data=True`` for names that were read from a file. Raises
    UserError for an entry that is not a section, cannot be loaded, is given twice, or is not trusted.
    """
    found: dict[str, Section] = {}
    for one in _expanded(given):
        name, section = _load(one, is_from_data=is_from_data)
        if name in found:
            raise UserError(f"{KIND} {shown(name)} is given twice")
        found[name] = section
    return found


def _expanded(given: Sequence[SectionLike] | None) -> list[SectionLike]:
    if given is None:
        return list(SECTIONS)
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UserError(f"report sections are given as a list, but got {shown(given)}")
    return [name for one in given for name in (SECTIONS if isinstance(one, str) and one == DEFAULT else [one])]


def _load(one: SectionLike, *, is_from_data: bool) -> tuple[str, Section]:
    if not isinstance(one, str):
        return _named(one), _section(_named(one), one)
    if component.is_outside(one) and not is_from_data:
        component.trust(one)
    # `default` is never looked up, but is one of the choices.
    return one, _section(one, component.find(one, SECTIONS | {DEFAULT: ""}, KIND))


def _named(one: Any) -> str:
    """The name of an object's class or function, for errors and for ids on the page."""
    while isinstance(one, functools.partial):
        one = one.func
    named = one if hasattr(one, "__qualname__") else type(one)
    return f"{named.__module__}:{named.__qualname__}"


def _section(name: str, found: Any) -> Section:
    """Instantiates a class, wraps a function, and checks the methods."""
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise UserError(f"{KIND} {shown(name)} cannot be made without arguments ({component.where(error)})") from error
    elif callable(found) and not hasattr(found, "show"):
        return FunctionSection(found)
    missing = [method for method in METHODS if not callable(getattr(found, method, None))]
    if missing:
        methods = " and no ".join(f"method `{method}`" for method in missing)
        raise UserError(f"{KIND} {shown(name)} has no {methods}; it is a function of the analysis, or has applies and show")
    section: Section = found
    return section
