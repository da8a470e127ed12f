"""All measured latencies, if they were measured under different conditions; and how far estimates are from them."""

from collections.abc import Sequence
from statistics import median

from gsfnas.metrics import LATENCY_ESTIMATE, METRICS
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import count, joined
from gsfnas.report._cells import value_of
from gsfnas.report._table import Cell, Column, Table
from gsfnas.report.sections.base import Section, Shown

_PERCENT = METRICS["val_top1"]
_FEWEST_FOR_FACTOR = 3


class Latencies(Section):
    """Applies if there is more than one set of conditions, or the study has estimates."""

    def applies(self, analysis: StudyAnalysis) -> bool:
        return bool(latencies(analysis).rows or _has_estimates(analysis))

    def show(self, analysis: StudyAnalysis) -> Shown:
        table = latencies(analysis)
        if not _has_estimates(analysis):
            return Shown("Latency under other conditions", table=table)
        return Shown("Estimated and measured latency", estimates_note(analysis), table=table if table.rows else None)


def estimate_ratios(analysis: StudyAnalysis) -> tuple[float, ...]:
    """Estimated / measured latency of each candidate whose latency was measured, smallest first."""
    ratios = []
    for record in analysis.ranked:
        estimate, measured = record.value(LATENCY_ESTIMATE), value_of(analysis, record, "latency_median_ms")
        if estimate is not None and measured:
            ratios.append(estimate / measured)
    return tuple(sorted(ratios))


def _common_factor(ratios: Sequence[float]) -> str:
    """What is left of the errors without the factor that all estimates share; empty where there is none."""
    if len(ratios) < _FEWEST_FOR_FACTOR or ratios[0] <= 0:
        return ""
    factor = median(ratios)
    middle, largest = _errors([ratio / factor for ratio in ratios])
    return (
        f" The estimates share a factor of {factor:.2f} in the median, which changes no order; without it they differ by "
        f"{middle} % in the median and by at most {largest} %."
    )


def _errors(ratios: Sequence[float]) -> tuple[str, str]:
    """The median and the largest relative error, in percent."""
    errors = [abs(ratio - 1) for ratio in ratios]
    return _PERCENT.text(median(errors)), _PERCENT.text(max(errors))


def estimates_note(analysis: StudyAnalysis) -> str:
    """How estimates come about, and how far they are from the latencies measured after the search."""
    tables = {str(found["latency_table"]) for found in analysis.study.environments.values() if "latency_table" in found}
    where = f" on {joined(sorted(tables))}" if tables else ""
    made = (
        f"The latency of a candidate was estimated before it was evaluated{where}: that of the plain network, plus what each "
        "of its modules adds alone."
    )
    ratios = estimate_ratios(analysis)
    if not ratios:
        return f"{made} No latency was measured after the search, so the error of the estimates is not known."
    device, threads, precision, _ = analysis.latency_conditions[0]
    middle, largest = _errors(ratios)
    return (
        f"{made} Measured after the search on {count(len(ratios), 'built candidate')} ({device}, {count(threads, 'thread')}, "
        f"{precision}), the latency differs from the estimate by {middle} % in the median and by at most {largest} %, relative "
        f"to the measured one.{_common_factor(ratios)}"
    )


def _has_estimates(analysis: StudyAnalysis) -> bool:
    return any(LATENCY_ESTIMATE in record.estimates for record in analysis.study.records)


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
