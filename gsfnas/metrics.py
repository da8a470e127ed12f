"""The table of metrics: labels, units and directions for all tables, figures and sentences; and objectives, which are metrics.

A metric is known *before* a candidate is evaluated (its cost, from the candidate alone), or only *after*, from the evaluator.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from gsfnas.errors import UserError, shown, unknown

# The text of a cell without a measurement.
NOT_RUN = "not run"
# The latency of a candidate as predicted from a table of measured parts.
LATENCY_ESTIMATE = "latency_estimate_ms"


@dataclass(frozen=True)
class Metric:
    """A number of a run: its column in trials.csv, its label, and how it is formatted.

    A value is shown as ``scale`` * value, in ``unit``; a difference is shown in ``difference_unit`` (points for percentages).
    ``better`` is the direction of improvement. ``known`` is when the value is known: before a candidate is evaluated, or after.
    ``digits`` is the number of decimals; if None, there are as many as give four significant digits.

    ``short`` is the heading of a narrow column, ``noun`` the name within a sentence, ``less`` the word for a lower value there.
    ``brief`` is the name beside a value on one line (``val 81.2%``, ``0.05 GMACs``), ``axis`` the label of an axis, and
    ``counted`` a clause that says how the metric is counted. Those not given follow from the label.
    """

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    known: Literal["before", "after"]
    scale: float = 1.0
    digits: int | None = None
    difference_unit: str = ""
    short: str = ""
    noun: str = ""
    less: Literal["fewer", "less"] = "less"
    brief: str = ""
    axis: str = ""
    counted: str = ""

    def __post_init__(self) -> None:
        defaults = {"noun": self.noun or self.label, "axis": self.axis or self.heading}
        for name, text in (defaults | {"brief": self.brief or defaults["noun"]}).items():
            object.__setattr__(self, name, text)

    @property
    def heading(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def is_fraction(self) -> bool:
        """Whether values are fractions, from 0 to 1, that are shown as percentages."""
        return self.unit == "%" and self.scale == 100

    @property
    def short_heading(self) -> str:
        return self.short or self.heading

    @property
    def objective(self) -> str:
        """The metric as an entry of ``study.objectives``: its key, or ``max:key`` where the table has no direction for it."""
        is_known = _known(self.key) is not None and metric_of(self.key).better == self.better
        return self.key if is_known else f"{'max' if self.better == 'higher' else 'min'}:{self.key}"

    def loss(self, value: float | None) -> float:
        """A number that is lower the better ``value`` is; infinite if there is no value."""
        return math.inf if value is None else -value if self.better == "higher" else value

    def shown(self, value: float) -> float:
        """``value`` in ``unit``."""
        return value * self.scale

    def exact(self, value: float) -> float:
        """``value`` in ``unit``, for figures and other programs: divided rather than multiplied by a power of ten below one.

        The quotient is the nearest float to the true value, where the product may be one beside it.
        """
        return value * self.scale if self.scale >= 1 else value / round(1 / self.scale)

    def said(self, value: float | None, width: int = 0) -> str:
        """``value`` with a short name, for a line on the terminal: ``val 81.2%``, ``0.05268 GMACs``.

        A percentage takes at least ``width`` characters.
        """
        if self.known == "before":
            number = NOT_RUN if value is None else f"{self.exact(value):.4g}"
            return f"{number} {self.brief}"
        number = NOT_RUN if value is None else f"{value:{width}.1%}" if self.unit == "%" else f"{self.shown(value):.4g}"
        return f"{self.brief} {number}"

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


def _percent(split: str, quantity: str) -> Metric:
    part = {"val": "Validation", "test": "Test"}[split]
    brief = split if quantity == "top-1" else f"{split} {quantity}"
    short = f"{split.capitalize()}. (%)" if split == "val" else f"{split.capitalize()} (%)"
    return Metric(
        key=f"{split}_{quantity.replace('-', '')}",
        label=f"{part} {quantity}",
        unit="%",
        better="higher",
        known="after",
        scale=100.0,
        digits=1,
        difference_unit="points",
        short=short if quantity == "top-1" else f"{brief.capitalize()} (%)",
        noun=f"{part.lower()} {quantity}",
        less="less",
        brief=brief,
        axis=f"{quantity.capitalize()} (%)",
    )


def _loss(split: str, part: str) -> Metric:
    return Metric(
        key=f"{split}_loss",
        label=f"{part} loss",
        unit="nats",
        better="lower",
        known="after",
        digits=3,
        difference_unit="nats",
        noun=f"{part.lower()} loss",
        brief=f"{split} loss",
    )


def _operations(counter: str) -> Metric:
    return Metric(
        key=f"macs_{counter}",
        label=f"GMACs, {counter}",
        unit="",
        better="lower",
        known="before",
        scale=1e-9,
        short=f"GMACs {counter}",
        noun="MACs" if counter == "fvcore" else f"MACs ({counter})",
        less="fewer",
        brief="GMACs" if counter == "fvcore" else f"GMACs ({counter})",
        axis=f"GMACs a clip ({counter})",
        counted=f"MACs are for one clip, counted as {counter} does",
    )


def _amount(key: str, label: str, unit: str, short: str, **more: Any) -> Metric:
    """A cost of one clip that is no count of operations."""
    noun = label.lower()
    return Metric(
        key=key,
        label=label,
        unit=unit,
        better="lower",
        known="before",
        short=short,
        noun=noun,
        brief=f"{unit} of {noun}" if more.get("less", "less") == "less" else f"{unit} {noun}",
        axis=f"{label} ({unit})",
        **more,
    )


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        _percent("val", "top-1"),
        _percent("test", "top-1"),
        _percent("val", "top-5"),
        _percent("test", "top-5"),
        _loss("val", "Validation"),
        _loss("test", "Test"),
        _loss("train", "Training"),
        _operations("fvcore"),
        _operations("ptflops"),
        _amount("params", "Parameters", "M", "Params (M)", scale=1e-6, less="fewer"),
        _amount("activations", "Activations", "M", "Activ. (M)", scale=1e-6, less="fewer"),
        _amount("saved_bytes", "Activation memory", "MB", "Memory (MB)", scale=1e-6),
        _amount(
            LATENCY_ESTIMATE,
            "Estimated latency",
            "ms",
            "Latency, est. (ms)",
            digits=2,
            counted="Latency is estimated for one clip, on the device named below",
        ),
        Metric("latency_median_ms", "Latency, median", "ms", "lower", "after", digits=2, short="Latency (ms)"),
        Metric("epochs", "Epochs", "", "neither", "after", digits=0),
        Metric("seconds", "Time", "s", "lower", "after", digits=0),
    )
}

# What a study searches for unless it says otherwise.
DEFAULT_OBJECTIVES: tuple[Metric, ...] = (METRICS["val_top1"], METRICS["macs_fvcore"])
_MAX_OBJECTIVES = 4
_DIRECTIONS: Mapping[str, Literal["higher", "lower"]] = {"max": "higher", "min": "lower"}


def metric_of(key: str) -> Metric:
    """The metric with this key; one that the table lacks, since only a user's evaluator measures it, is labelled by its key.

    ``val_top1.verb``, of one task of several, is like ``val_top1``.
    """
    return _known(key) or Metric(key, key, "", "neither", "after")


def counterpart(metric: Metric) -> Metric | None:
    """The metric of the test split beside one of the validation split: ``test_x`` beside ``val_x``; None beside others."""
    split, _, rest = metric.key.partition("_")
    return replace(metric_of(f"test_{rest}"), better=metric.better) if split == "val" and rest else None


def objectives_of(names: Sequence[str], what: str = "`study.objectives`") -> tuple[Metric, ...]:
    """The metrics that these names stand for, each with a direction; ``what`` is the name of the list in messages.

    A name is a key of the table, or ``max:key`` or ``min:key`` for a metric that only the evaluator knows. Raises UserError for
    a list that is empty or longer than four, and a name that is unknown, given twice, or has no direction.
    """
    if not isinstance(names, Sequence) or isinstance(names, str) or not 1 <= len(names) <= _MAX_OBJECTIVES:
        raise UserError(f"{what} must be a list of 1 to {_MAX_OBJECTIVES} metrics, but got {shown(names)}")
    found = tuple(_objective(name, what) for name in names)
    keys = [metric.key for metric in found]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise UserError(f"{what} must name a metric once, but got {twice[0]} twice")
    return found


def accuracy_of(objectives: Sequence[Metric]) -> Metric:
    """The objective that a study is about: the first one that is known after a run only, or else the first one."""
    return next((metric for metric in objectives if metric.known == "after"), objectives[0])


def cost_of(objectives: Sequence[Metric]) -> Metric:
    """The cost that a study is about: the first objective that is known before a run, or else the MACs."""
    return next((metric for metric in objectives if metric.known == "before"), METRICS["macs_fvcore"])


def _known(key: str) -> Metric | None:
    name, _, task = key.partition(".")
    metric = METRICS.get(key) or (METRICS.get(name) if task else None)
    if metric is None or metric.key == key or metric.known == "before":
        return metric if metric is not None and metric.key == key else None
    label, noun, brief = f"{metric.label}, {task}", f"{metric.noun}, {task}", f"{metric.brief} {task}"
    return replace(metric, key=key, label=label, short="", noun=noun, brief=brief, axis="")


def _objective(name: object, what: str) -> Metric:
    if not isinstance(name, str):
        raise UserError(f"{what} must name metrics, but got {shown(name)}")
    direction, colon, rest = name.partition(":")
    key = rest if colon else name
    if colon and (direction not in _DIRECTIONS or not key or not key.isprintable()):
        raise UserError(f"{what}: a metric with its direction is max:NAME or min:NAME, but got {shown(name)}")
    metric = metric_of(key)
    if colon and metric.better in ("neither", _DIRECTIONS[direction]):
        return replace(metric, better=_DIRECTIONS[direction])
    if colon:
        raise UserError(f"{what}: {key} is better the {metric.better} it is, so write {key} instead of {name}")
    if _known(key) is None:
        raise UserError(
            f"{unknown('metric', key, METRICS)}; one that only your evaluator knows is written max:NAME or min:NAME"
        )
    if metric.better == "neither":
        raise UserError(f"{what}: {key} has no direction, so write max:{key} or min:{key}")
    return metric


def duration(seconds: float) -> str:
    """A time span as text, in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
