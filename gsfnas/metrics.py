"""The table of metrics: labels, units and directions for all tables, figures and sentences."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# The text of a cell without a measurement.
NOT_RUN = "not run"


@dataclass(frozen=True)
class Metric:
    """A number of a run: its column in trials.csv, its label, and how it is formatted.

    A value is shown as ``scale`` * value, in ``unit``; a difference is shown in ``difference_unit`` (points for percentages).
    ``better`` is the direction of improvement; ``short`` is the heading of a narrow column. ``digits`` is the number of
    decimals; if None, there are as many as give four significant digits.
    """

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    scale: float = 1.0
    digits: int | None = None
    difference_unit: str = ""
    short: str = ""

    @property
    def heading(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def short_heading(self) -> str:
        return self.short or self.heading

    def shown(self, value: float) -> float:
        """``value`` in ``unit``."""
        return value * self.scale

    def decimals(self, values: Iterable[float]) -> int:
        """The number of decimals for a column with these ``values``."""
        if self.digits is not None:
            return self.digits
        largest = max((abs(self.shown(value)) for value in values if math.isfinite(value)), default=0.0)
        return min(6, max(0, 3 - math.floor(math.log10(largest)))) if largest > 0 else 0

    def text(self, value: float | None, decimals: int | None = None) -> str:
        """``value`` as text, without the unit; ``not run`` if it is None or not finite."""
        if value is None or not math.isfinite(value):
            return NOT_RUN
        return f"{self.shown(value):,.{self.decimals([value]) if decimals is None else decimals}f}"

    def difference(self, value: float | None, decimals: int | None = None) -> str:
        """A signed difference, without the unit."""
        if value is None or not math.isfinite(value):
            return NOT_RUN
        text = f"{self.shown(value):+,.{self.decimals([value]) if decimals is None else decimals}f}"
        return text.replace("-", "−")


def _percent(key: str, label: str, short: str) -> Metric:
    return Metric(key, label, "%", "higher", 100.0, 1, "points", short)


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        _percent("val_top1", "Validation top-1", "Val. (%)"),
        _percent("test_top1", "Test top-1", "Test (%)"),
        Metric("val_loss", "Validation loss", "nats", "lower", digits=3),
        Metric("train_loss", "Training loss", "nats", "lower", digits=3),
        Metric("macs_fvcore", "GMACs, fvcore", "", "lower", 1e-9, short="GMACs fvcore"),
        Metric("macs_ptflops", "GMACs, ptflops", "", "lower", 1e-9, short="GMACs ptflops"),
        Metric("params", "Parameters", "M", "lower", 1e-6, short="Params (M)"),
        Metric("activations", "Activations", "M", "lower", 1e-6, short="Activ. (M)"),
        Metric("latency_median_ms", "Latency, median", "ms", "lower", digits=2, short="Latency (ms)"),
        Metric("epochs", "Epochs", "", "neither", digits=0),
        Metric("seconds", "Time", "s", "lower", digits=0),
    )
}


def duration(seconds: float) -> str:
    """A time span as text, in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
