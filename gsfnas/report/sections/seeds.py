"""Candidates that ran with several seeds, and the result of each seed."""

from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import spread_text
from gsfnas.report._cells import key_cell
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown


class Seeds(Section):
    """Applies if a candidate ran with several seeds."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return bool(seeds(analysis).rows)

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("Seeds", table=seeds(analysis))


def seeds(analysis: StudyAnalysis) -> Table:
    """One row per candidate that ran with several seeds."""
    again = {record.candidate.key for record in analysis.study.replicates}
    rows = []
    for record in (one for one in analysis.ranked if one.candidate.key in again):
        names = ", ".join(analysis.titles(record))
        cells = [key_cell(record), Cell(names)]
        for metric in analysis.accuracies:
            runs = [record, *(one for one in analysis.study.replicates if one.candidate.key == record.candidate.key)]
            each = ", ".join(metric.text(run.value(metric)) for run in runs)
            cells += [Cell(spread_text(analysis.spread(record, metric.key), metric)), Cell(each)]
        rows.append(tuple(cells))
    columns = [Column("Candidate"), Column("Name")]
    for metric in analysis.accuracies:
        columns += [Column(metric.heading, True), Column("each seed", True)]
    caption = "Candidates that ran with several seeds: mean ± standard deviation (number of seeds)."
    return Table("seeds", caption, tuple(columns), tuple(rows), width="wide")
