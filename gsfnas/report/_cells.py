"""Cells that occur in several tables."""

from gsfnas.candidate import Candidate
from gsfnas.metrics import METRICS, Metric
from gsfnas.record import Record
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import effect_text
from gsfnas.report._effects import Effect
from gsfnas.report._style import strip_of
from gsfnas.report._table import Cell

PER_RUN = ("params", "macs_fvcore", "macs_ptflops", "activations", "latency_median_ms")


def costs_of(analysis: StudyAnalysis) -> tuple[Metric, ...]:
    """The metrics that tables show beside the accuracy: the usual costs, then the other objectives."""
    shown = [*(METRICS[key] for key in PER_RUN), *analysis.objectives]
    accuracies = {metric.key for metric in analysis.accuracies}
    return tuple({metric.key: metric for metric in shown if metric.key not in accuracies}.values())


def effect_cell(effect: Effect, metric: Metric) -> Cell:
    return Cell(effect_text(effect, metric), effect.value)


def key_cell(record: Record, mark: str = "") -> Cell:
    return Cell(record.candidate.key + mark, record.candidate.key, is_code=True)


def strip_cell(analysis: StudyAnalysis, candidate: Candidate) -> Cell:
    """A candidate as a strip of sites; the text lists each module and its site."""
    strip = strip_of(candidate, analysis.sites)
    held = ", ".join(f"{label} at {site}" for site, label in zip(analysis.sites, strip, strict=True) if label)
    return Cell(held or "no module", float(len(candidate.insertions)), strip=strip)


def value_of(analysis: StudyAnalysis, record: Record | None, key: str) -> float | None:
    """A cost, a metric or the latency of a candidate; None if it was not measured."""
    if record is None:
        return None
    if key == "latency_median_ms":
        latency = analysis.latencies.get(record.candidate.key)
        return None if latency is None else latency.median_ms
    return record.value(key)
