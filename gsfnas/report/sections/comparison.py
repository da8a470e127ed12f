"""Baseline, full and best candidate side by side, and the difference between best and baseline."""

from collections.abc import Sequence

from gsfnas.metrics import METRICS, NOT_RUN
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import spread_text, where_ranked, with_unit
from gsfnas.report._cells import costs_of, key_cell, strip_cell, value_of
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown


class Comparison(Section):
    """The named candidates, one column each."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return bool(comparison(analysis).rows)

    def show(self, analysis: StudyAnalysis) -> Shown:
        title = "Baseline and best" if analysis.is_of_rows else "Baseline, full and best"
        return Shown(title, table=comparison(analysis))


def comparison(analysis: StudyAnalysis) -> Table:
    """One column per named candidate, and best minus baseline. Without rows for a study of rows that has no baseline."""
    named = analysis.named
    baseline, best = named.get("baseline"), named.get("best")
    # A study of rows has no full candidate.
    names = ("baseline", "best") if analysis.is_of_rows else ("baseline", "full", "best")
    if analysis.is_of_rows and baseline is None:
        return Table("comparison", "", (), ())
    rows: list[tuple[Cell, ...]] = [
        (Cell("Candidate"), *(key_cell(named[name]) if name in named else Cell(NOT_RUN) for name in names), Cell("")),
        (
            Cell("Sites"),
            *(strip_cell(analysis, named[name].candidate) if name in named else Cell(NOT_RUN) for name in names),
            Cell(""),
        ),
    ]
    for metric in analysis.accuracies:
        spreads = {name: analysis.spread(named.get(name), metric.key) for name in names}
        first, last = spreads["baseline"], spreads["best"]
        gap = None if first is None or last is None else last.mean - first.mean
        text = NOT_RUN if gap is None else with_unit(metric.difference(gap), metric.difference_unit)
        rows.append((Cell(metric.heading), *(Cell(spread_text(spreads[name], metric)) for name in names), Cell(text)))
    for metric in costs_of(analysis):
        values = {name: value_of(analysis, named.get(name), metric.key) for name in names}
        decimals = metric.decimals(value for value in values.values() if value is not None)
        before, after = value_of(analysis, baseline, metric.key), value_of(analysis, best, metric.key)
        text = NOT_RUN
        if before is not None and after is not None:
            share = f" ({METRICS['val_top1'].difference(after / before - 1)} %)" if before else ""
            text = metric.difference(after - before, decimals) + share
        rows.append((Cell(metric.heading), *(Cell(metric.text(values[name], decimals)) for name in names), Cell(text)))
    return Table(
        name="comparison",
        caption=f"{_listed(names)} {where_ranked(analysis)}. Accuracies: mean ± standard deviation over the seeds in brackets.",
        columns=(
            Column(""),
            *(Column(name.capitalize(), True) for name in names),
            Column("Best − baseline", True),
        ),
        rows=tuple(rows),
        width="middle",
    )


def _listed(names: Sequence[str]) -> str:
    """The columns, for the caption."""
    full = ", full (a module at every site)" if "full" in names else ""
    return f"Baseline (no module){full} and the best"
