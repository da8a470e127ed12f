"""Colours, signs, and strips of sites, for all sections and pages."""

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gsfnas.candidate import Candidate
from gsfnas.modules import ALIASES, label

if TYPE_CHECKING:
    from gsfnas.report._analysis import StudyAnalysis

# Okabe and Ito's palette for any colour vision, in mid tones that are legible on white and on black.
PALETTE = ("#2a83c4", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b5a815")
FRONT_COLOUR = "#d55e00"
# Phase -> label and colour.
PHASES: dict[str, tuple[str, str]] = {
    "anchor": ("anchor", "#7f7f7f"),
    "design": ("balanced design", "#2a83c4"),
    "search": ("sampler", "#e69f00"),
    "row": ("row", "#2a83c4"),
}


def strip_of(candidate: Candidate, sites: Sequence[str]) -> tuple[str, ...]:
    """The label of the module at each site; an empty text at sites without a module."""
    held = dict(candidate.insertions)
    return tuple(label(held[site]) if site in held else "" for site in sites)


def module_of(cell: str) -> str:
    """The module's name in a label: ``gsf`` in ``gsf:16``; all of a label without parameters, as of ``my_file:SPEC``."""
    name, _, rest = cell.rpartition(":")
    return cell if not name or rest.isidentifier() else name


def module_colours(analysis: "StudyAnalysis") -> dict[str, str]:
    """Module -> colour, for the modules of a study; those with a short name come first."""
    cells = {cell for record in analysis.study.records for cell in strip_of(record.candidate, analysis.sites) if cell}
    order = list(ALIASES)
    modules = sorted({module_of(cell) for cell in cells}, key=lambda name: (order.index(name) if name in order else 99, name))
    return {module: PALETTE[index % len(PALETTE)] for index, module in enumerate(modules)}


def module_signs(analysis: "StudyAnalysis") -> dict[str, str]:
    """Module -> character, for pages without colours."""
    modules = list(module_colours(analysis))
    return dict(zip(modules, "■" if len(modules) == 1 else string.ascii_uppercase, strict=False))
