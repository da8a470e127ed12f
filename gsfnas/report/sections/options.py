"""The effect of each option of an insertion: gate, fusion, share of the channels."""

from collections.abc import Iterable

from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._cells import effect_cell
from gsfnas.report._effects import Factor
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown

OPTIONS_NOTE = (
    "For each option by itself: least squares on the number of insertions and on how many of them are at each level, over the "
    "same runs as above. It does not tell at which sites they stand."
)


class Options(Section):
    """Applies if an option varies at one site, except in studies of named rows, which have no design."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return not analysis.is_of_rows and bool(options(analysis).rows)

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("What each option is worth", OPTIONS_NOTE, table=options(analysis))


def options(analysis: StudyAnalysis) -> Table:
    """One row per level of each option, compared with the reference level; without rows if no option varies."""
    pairs = zip(analysis.effects["val_top1"].factors, analysis.effects["test_top1"].factors, strict=False)
    rows = [row for val, test in pairs for row in _option_rows(val, test)]
    columns = (
        Column("Option"),
        Column("Level"),
        Column("Compared with"),
        Column("Held by", True),
        Column("Validation top-1 (points)", True),
        Column("Test top-1 (points)", True),
    )
    caption = "One insertion at this level rather than at the other, in points of top-1, with the 95 % interval."
    return Table("options", caption, columns, tuple(rows), width="middle")


def _option_rows(val: Factor, test: Factor) -> Iterable[tuple[Cell, ...]]:
    for first, second in zip(val.effects, test.effects, strict=True):
        held = Cell(f"{first.held} of {first.runs}")
        yield (Cell(val.name), Cell(first.name), Cell(val.reference), held, effect_cell(first), effect_cell(second))
