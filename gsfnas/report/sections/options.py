"""The effect of each option of an insertion: gate, fusion, share of the channels."""

from collections.abc import Iterable, Sequence

from gsfnas.metrics import Metric
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import in_difference_unit, in_points
from gsfnas.report._cells import effect_cell
from gsfnas.report._effects import Factor
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown

OPTIONS_NOTE = (
    "For each option by itself: least squares on the number of insertions and on how many of them are at each level, over the "
    "balanced design and the anchors, or all runs if these are too few. It does not tell at which sites they stand."
)


class Options(Section):
    """Applies if an option varies at one site, except in studies of named rows, which have no design."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return not analysis.is_of_rows and bool(options(analysis).rows)

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("What each option is worth", OPTIONS_NOTE, table=options(analysis))


def options(analysis: StudyAnalysis) -> Table:
    """One row per level of each option, compared with the reference level; without rows if no option varies."""
    groups = zip(*(analysis.factors[metric.key] for metric in analysis.accuracies), strict=False)
    rows = [row for factors in groups for row in _option_rows(factors, analysis.accuracies)]
    columns = (
        Column("Option"),
        Column("Level"),
        Column("Compared with"),
        Column("Held by", True),
        *(Column(f"{metric.label}{in_difference_unit(metric)}", True) for metric in analysis.accuracies),
    )
    caption = f"One insertion at this level rather than at the other, in {in_points(analysis)}, with the 95 % interval."
    return Table("options", caption, columns, tuple(rows), width="middle")


def _option_rows(factors: Sequence[Factor], metrics: Sequence[Metric]) -> Iterable[tuple[Cell, ...]]:
    for effects in zip(*(factor.effects for factor in factors), strict=True):
        first = effects[0]
        held = Cell(f"{first.held} of {first.runs}")
        cells = [effect_cell(effect, metric) for effect, metric in zip(effects, metrics, strict=True)]
        yield (Cell(factors[0].name), Cell(first.name), Cell(factors[0].reference), held, *cells)
