"""Runs without a result, and the reasons."""

from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._cells import key_cell, strip_cell
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown


class Failures(Section):
    """Applies if a run failed or did not end."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return bool(failures(analysis).rows)

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("Runs without a result", table=failures(analysis))


def failures(analysis: StudyAnalysis) -> Table:
    """One row per run without a result, with its error."""
    rows = [
        (
            Cell(str(record.number)),
            key_cell(record),
            strip_cell(analysis, record.candidate),
            Cell(record.phase),
            Cell(str(record.seed)),
            Cell(record.outcome),
            Cell(record.error or ("still running, or stopped" if record.outcome == "running" else "no accuracy was recorded")),
        )
        for record in analysis.unfinished
    ]
    columns = ("Number", "Candidate", "Sites", "Phase", "Seed", "Outcome", "Error")
    caption = "What each of them said; none of them enters a figure."
    return Table("failures", caption, tuple(map(Column, columns)), tuple(rows), width="wide")
