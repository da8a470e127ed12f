"""A table of all candidates, ranked by accuracy."""

from collections.abc import Mapping

from gsfnas.metrics import METRICS
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._cells import costs_of, key_cell, strip_cell, value_of
from gsfnas.report._style import module_signs
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown

COPY_NOTE = (
    "Sort by a heading. “copy” copies a candidate as one line of JSON, which `gsfnas cost` and `gsfnas.build_model` accept "
    "(`Candidate.from_json` reads it). Costs are for one clip."
)


class Candidates(Section):
    """All candidates, to be sorted and copied."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        legend = _legend(module_signs(analysis))
        return Shown("Every candidate", COPY_NOTE, printed_sentence=legend, table=candidates(analysis))


def candidates(analysis: StudyAnalysis) -> Table:
    """One row per candidate, ranked by accuracy; candidates without a result come last."""
    records = [*analysis.ranked, *(one for one in analysis.unfinished if one.phase != "replicate")]
    front = {record.candidate.key for record in analysis.front}
    metrics = [*analysis.accuracies, *costs_of(analysis)]
    values = {metric.key: [value_of(analysis, record, metric.key) for record in records] for metric in metrics}
    decimals = {metric.key: metric.decimals(v for v in values[metric.key] if v is not None) for metric in metrics}
    rows, marked = [], set()
    for index, record in enumerate(records):
        done = index < len(analysis.ranked)
        if record.candidate.key in front:
            marked.add(index)
        measured = [
            Cell(metric.text(values[metric.key][index], decimals[metric.key]), values[metric.key][index]) for metric in metrics
        ]
        rows.append(
            (
                Cell(str(index + 1) if done else "", float(index)),
                key_cell(record, " ◆" if index in marked else ""),
                Cell("copy", copy=record.candidate.to_json()),
                strip_cell(analysis, record.candidate),
                Cell(", ".join(analysis.titles(record)) if analysis.is_of_rows else record.phase),
                *measured,
                Cell(str(len(record.curve)), float(len(record.curve))),
                Cell(f"{record.seconds:,.0f}", record.seconds),
                Cell(str(record.seed), float(record.seed)),
                Cell(record.outcome, record.outcome),
            )
        )
    return Table(
        name="candidates",
        caption=f"Every candidate, ranked by the {analysis.accuracy.noun} of its first seed. ◆ marks the Pareto front.",
        columns=(
            Column("#", True),
            Column("Candidate"),
            Column("JSON", is_copy=True),
            Column("Sites"),
            Column("Row" if analysis.is_of_rows else "Phase"),
            *(Column(metric.short_heading, True) for metric in metrics),
            Column(METRICS["epochs"].heading, True),
            Column(METRICS["seconds"].heading, True),
            Column("Seed", True),
            Column("Outcome"),
        ),
        rows=tuple(rows),
        marked=frozenset(marked),
        is_sortable=True,
        width="wide",
    )


def _legend(signs: Mapping[str, str]) -> str:
    """Explains the signs of the strips, for pages without colours."""
    if not signs:
        return ""
    meaning = ", ".join(f"{sign} {module}" for module, sign in signs.items())
    return f"Sites from the input to the head: · nothing, {meaning}. `trials.csv` holds each candidate's JSON."
