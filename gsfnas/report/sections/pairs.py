"""The pairs of sites that depend on each other, as a table. ``_worth`` computes it."""

from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import in_difference_unit, in_points
from gsfnas.report._cells import effect_cell
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown

SHOWN = 8


class Pairs(Section):
    """Applies where the runs are enough to have the model tell pairs, and the model that predicts best has any."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return not analysis.is_of_rows and bool(analysis.worth.pairs) and analysis.worth.model != "additive"

    def show(self, analysis: StudyAnalysis) -> Shown:
        clear = sum(effect.is_clear for effect in analysis.worth.pairs)
        told = (
            f"of {clear} of {len(analysis.worth.pairs)} pairs the interval leaves out zero"
            if clear
            else (f"this study cannot tell it of any of the {len(analysis.worth.pairs)} pairs")
        )
        return Shown(
            title="Which sites depend on each other",
            sentence=(
                "By how much a module at one site is worth more where the other holds one too. Below zero the two stand in for "
                f"each other, above it they need each other; {told}. The surest come first."
            ),
            table=pairs(analysis),
        )


def pairs(analysis: StudyAnalysis) -> Table:
    """The surest interactions, one row each."""
    metric, worth = analysis.told, analysis.worth
    rows = tuple(
        (Cell(effect.name, is_code=True), Cell(f"{effect.held} of {effect.runs}"), effect_cell(effect, metric))
        for effect in worth.pairs[:SHOWN]
    )
    columns = (
        Column("Sites"),
        Column("Both held by", True),
        Column(f"Interaction, {metric.noun}{in_difference_unit(metric)}", True),
    )
    caption = f"Interactions in {in_points(analysis)} with the 95 % interval; * where it leaves out zero."
    return Table("pairs", caption, columns, rows, width="middle")
