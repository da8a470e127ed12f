"""All measured latencies, if they were measured under different conditions."""

from gsfnas.metrics import METRICS
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown


class Latencies(Section):
    """Applies if there is more than one set of conditions."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return bool(latencies(analysis).rows)

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("Latency under other conditions", table=latencies(analysis))


def latencies(analysis: StudyAnalysis) -> Table:
    """One row per latency; without rows if all were measured under the same conditions."""
    metric = METRICS["latency_median_ms"]
    rows = [
        (
            Cell(one.key, is_code=True),
            Cell(metric.text(one.median_ms)),
            Cell(f"{metric.text(one.low_ms)} to {metric.text(one.high_ms)}"),
            Cell(one.device),
            Cell(str(one.threads)),
            Cell(one.precision),
            Cell(str(one.batch)),
        )
        for one in analysis.study.latencies
        if len(analysis.latency_conditions) > 1
    ]
    labels = ("Candidate", metric.heading, "Range (ms)", "Device", "Threads", "Precision", "Batch")
    numeric = (metric.heading, "Range (ms)", "Threads", "Batch")
    columns = tuple(Column(label, label in numeric) for label in labels)
    return Table("latencies", "Latency of one clip under all conditions measured.", columns, tuple(rows), width="wide")
