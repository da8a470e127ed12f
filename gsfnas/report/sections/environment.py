"""Machine, packages, and total time of the runs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gsfnas.metrics import NOT_RUN, duration
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown


class Environment(Section):
    """A table of machine, packages and times."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("How and where it ran", table=environment(analysis))


def environment(analysis: StudyAnalysis) -> Table:
    """Number of runs, times, devices, environments, and where latency was measured."""
    study = analysis.study
    everything = (*study.records, *study.replicates)
    count: dict[str, int] = {}
    for record in everything:
        if record.device:
            count[record.device] = count.get(record.device, 0) + 1
    rows = [
        ("runs", f"{len(everything)}, of which {len(study.replicates)} replicates"),
        ("time of all runs together", duration(analysis.total_seconds)),
        ("runs by device", ", ".join(f"{device} ({number} runs)" for device, number in count.items()) or NOT_RUN),
    ]
    several = len(study.environments) > 1
    for name, found in study.environments.items():
        rows += [(f"{name}: {key}" if several else key, text) for key, text in _flat(found)]
    rows += [
        ("latency measured on", f"{device}, {threads} threads, {precision}, batch {batch}")
        for device, threads, precision, batch in analysis.latency_conditions[:1]
    ]
    cells = tuple((Cell(name), Cell(text)) for name, text in rows)
    return Table("environment", "Runs, machine and packages.", (Column(""), Column("")), cells)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Flattens nested mappings to dotted names and texts."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)
