"""Records of runs as values, and their conversion to and from the attributes of a storage."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import le
from typing import Any, Literal, get_args

from gsfnas import checked
from gsfnas.candidate import Candidate, Site
from gsfnas.errors import UserError
from gsfnas.escape import printable
from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric, accuracy_of, cost_of

# Why a run was made: for an anchor (empty, full), the balanced design, the search, a row of a space of rows, or as a replicate
# with another seed.
Phase = Literal["anchor", "design", "search", "row", "replicate"]
Outcome = Literal["complete", "failed", "running", "stopped"]


@dataclass(frozen=True)
class Epoch:
    """One epoch of a curve: the epoch (1, 2, ...) and its metrics; ``checkpoint`` is relative to the study's folder."""

    epoch: int
    metrics: Mapping[str, float]
    checkpoint: str | None = None


@dataclass(frozen=True)
class Record:
    """One run of one candidate.

    ``cost``: ``params``, ``macs_fvcore``, ``macs_ptflops``, ``activations``, ``saved_bytes``, integers for one clip.
    ``estimates``: costs that are predicted from measurements, such as ``latency_estimate_ms``; only where the study needs them.
    ``metrics``: the final ``val_top1``, ``test_top1`` (fractions) and any others that were measured; empty unless complete.
    ``error``: one line if the outcome is ``failed``, or ``stopped`` before the last epoch.
    ``source``: the study from which the run was reused; None for a run of this study.
    """

    number: int
    candidate: Candidate
    phase: Phase
    outcome: Outcome
    seed: int
    replicate: int
    cost: Mapping[str, int]
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Epoch, ...] = ()
    error: str | None = None
    run_id: str = ""
    device: str = ""
    seconds: float = 0.0
    environment: str = ""
    configuration: str = ""
    source: str | None = None
    estimates: Mapping[str, float] = field(default_factory=dict)

    def value(self, metric: Metric | str) -> float | None:
        """The value of a metric, as it is stored: a cost, an estimate, or a final metric; None if the run does not have it."""
        key = metric if isinstance(metric, str) else metric.key
        return next((values[key] for values in (self.cost, self.estimates, self.metrics) if key in values), None)


@dataclass(frozen=True)
class Latency:
    """Milliseconds for the forward pass of one clip on one device: quantiles over repeated runs, and the conditions."""

    key: str
    median_ms: float
    low_ms: float
    high_ms: float
    device: str
    threads: int
    precision: str
    batch: int = 1


@dataclass(frozen=True)
class ProtocolScore:
    """Scores of one run's weights under a test protocol: ``clips`` x ``crops`` views of each video of a split.

    ``metrics``: ``<split>_top1``, ``_top5``, ``_mean_class``, as fractions. ``macs_fvcore`` is for all views of one video.
    ``data`` is the fingerprint of the data, including how clips are cut.
    """

    key: str
    seed: int
    protocol: str
    clips: int
    crops: int
    split: str
    videos: int
    macs_fvcore: int
    metrics: Mapping[str, float]
    data: str = ""
    device: str = ""

    @property
    def identity(self) -> tuple[str, int, str, int, int, str, str]:
        """Identifies the measurement: scores with equal identities are repetitions of the same one."""
        return self.key, self.seed, self.protocol, self.clips, self.crops, self.split, self.data


@dataclass(frozen=True, repr=False)
class StudyRecord:
    """Everything that a report needs from a study: its records, environments and configurations.

    ``records`` has one record per distinct candidate, ``replicates`` the same candidates with other seeds. ``environments`` and
    ``configurations`` are keyed by hash; each record has the hashes of its own. ``study_yaml`` is the resolved configuration.
    ``rows`` are the (name, candidate key) pairs of a space of rows, as of the start of the study. ``space_size`` counts the
    candidates within ``bounds``; ``space_interval`` is its 95 % interval if it is an estimate. ``objectives`` are the metrics
    that the study searches for.
    """

    name: str
    space: str
    space_size: int
    sites: tuple[Site, ...]
    classes: int
    records: tuple[Record, ...]
    replicates: tuple[Record, ...] = ()
    latencies: tuple[Latency, ...] = ()
    protocols: tuple[ProtocolScore, ...] = ()
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    study_yaml: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    space_interval: tuple[int, int] | None = None
    bounds: tuple[str, ...] = ()
    objectives: tuple[Metric, ...] = DEFAULT_OBJECTIVES

    def __repr__(self) -> str:
        found, metric = best(self.records, self.objectives), accuracy_of(self.objectives)
        said = ""
        if found is not None:
            value = f"{metric.text(found.value(metric))} {metric.unit}".strip()
            said = f", best {metric.noun} {value} of {found.candidate.key}"
        return f"<study {self.name!r}: {len(self.records)} candidates of space {self.space!r}{said}>"


def best(records: Iterable[Record], objectives: Sequence[Metric] = DEFAULT_OBJECTIVES) -> Record | None:
    """The complete record that is best in the accuracy that the objectives name first; None if there is none.

    Of equal ones, it is the best in the other objectives, in their order, and then the cheapest one.
    """
    complete = [record for record in records if record.outcome == "complete"]
    return min(complete, key=lambda record: rank(record, objectives), default=None)


def best_of(study: StudyRecord) -> Record:
    """The best record of a study. Raises UserError if no candidate is complete."""
    found = best(study.records, study.objectives)
    if found is None:
        raise UserError(f"study {study.name!r} has no complete candidate yet")
    return found


def rank(record: Record, objectives: Sequence[Metric]) -> tuple[tuple[float, ...], str]:
    """The sort key of ``best``: lower is better."""
    metrics = (accuracy_of(objectives), *objectives, cost_of(objectives))
    return tuple(metric.loss(record.value(metric)) for metric in metrics), record.candidate.key


def pareto_front(records: Iterable[Record], objectives: Sequence[Metric] = DEFAULT_OBJECTIVES) -> tuple[Record, ...]:
    """The complete records that no other one dominates: none is as good in all objectives and better in one.

    Cheapest first, by the first objective that is known before a run. Records with equal values are all kept.
    """
    ordered = sorted(objectives, key=lambda metric: metric.known != "before")
    complete = [record for record in records if record.outcome == "complete"]
    losses = [tuple(metric.loss(record.value(metric)) for metric in ordered) for record in complete]
    front: list[int] = []
    # In this order, a record can only be dominated by one before it.
    for index in sorted(range(len(complete)), key=losses.__getitem__):
        mine = losses[index]
        if not any(losses[other] != mine and all(map(le, losses[other], mine)) for other in front):
            front.append(index)
    return tuple(complete[index] for index in front)


def values_for_optuna(record: Record, objectives: Sequence[Metric]) -> list[float]:
    """The values of a complete record's objectives, as its trial has them: costs in their unit (GMACs), others as measured."""
    values = [(metric, record.value(metric)) for metric in objectives]
    missing = [metric.key for metric, value in values if value is None]
    assert not missing, f"a complete record has all objectives, but lacks {missing}"
    return [metric.exact(value) if metric.known == "before" else value for metric, value in values if value is not None]


# The attributes of a trial: those known at the start are written when it is created, each epoch adds one, and the rest follow
# at the end. The outcome is stored as the state of the trial.
_AT_START = ("number", "phase", "seed", "replicate", "run_id", "environment", "configuration")
_AT_END = ("device", "seconds", "error", "source")
_EPOCH = "epoch:"


def start_attributes(record: Record) -> dict[str, Any]:
    """The attributes written when the run starts: all but the curve and those of ``end_attributes``."""
    attributes: dict[str, Any] = {name: getattr(record, name) for name in _AT_START}
    attributes |= {"key": record.candidate.key, "candidate": record.candidate.to_dict(), "cost": dict(record.cost)}
    return attributes | ({"estimates": dict(record.estimates)} if record.estimates else {})


def epoch_attribute(epoch: Epoch) -> tuple[str, dict[str, Any]]:
    """(name, value) of the attribute of one epoch."""
    return f"{_EPOCH}{epoch.epoch:03d}", {"metrics": dict(epoch.metrics), "checkpoint": epoch.checkpoint}


def end_attributes(record: Record) -> dict[str, Any]:
    """The attributes written when the run ends: device, seconds, source, and the metrics or the error."""
    attributes: dict[str, Any] = {name: getattr(record, name) for name in _AT_END if getattr(record, name) is not None}
    return attributes | ({"metrics": dict(record.metrics)} if record.metrics else {})


def to_attributes(record: Record) -> dict[str, Any]:
    """All attributes of a record, as JSON values."""
    return start_attributes(record) | dict(map(epoch_attribute, record.curve)) | end_attributes(record)


def from_attributes(attributes: Mapping[str, Any], outcome: Outcome) -> Record:
    """The inverse of ``to_attributes``, with the type and range of every value checked.

    Unknown attributes are ignored, since a later version may add some. Raises UserError, naming field and value, for a missing
    value, a wrong type, a number that is not finite, a path outside the study's folder, or a key that is not the candidate's.
    """
    candidate = Candidate.from_dict(checked.field(attributes, "candidate"))
    key = checked.text(checked.field(attributes, "key"), "key")
    if key != candidate.key:
        raise checked.refused("key", f"{candidate.key}, which is that of its candidate", key)
    curve = [epoch_from_attribute(name, value) for name, value in attributes.items() if is_epoch(name)]
    ends = {name: end_attribute(name, attributes[name]) for name in (*_AT_END, "metrics") if name in attributes}
    return Record(
        candidate=candidate,
        outcome=checked.one_of(outcome, "outcome", get_args(Outcome)),
        phase=checked.one_of(checked.field(attributes, "phase"), "phase", get_args(Phase)),
        **checked.fields(attributes, checked.integer, "number", "seed", "replicate"),
        **checked.fields(attributes, checked.text, "run_id", "environment", "configuration"),
        cost={
            name: checked.integer(count, f"cost.{name}")
            for name, count in checked.mapping(checked.field(attributes, "cost"), "cost").items()
        },
        estimates=_numbers(attributes.get("estimates", {}), "estimates"),
        curve=tuple(sorted(curve, key=lambda epoch: epoch.epoch)),
        **ends,
    )


def is_epoch(name: str) -> bool:
    """Whether ``name`` is that of the attribute of an epoch."""
    return name.startswith(_EPOCH)


def epoch_from_attribute(name: str, value: Any) -> Epoch:
    """The inverse of ``epoch_attribute``. Raises UserError for an invalid name or value."""
    digits = name.removeprefix(_EPOCH)
    if not re.fullmatch(r"[0-9]{3,9}", digits) or name != f"{_EPOCH}{int(digits):03d}" or not int(digits):
        raise UserError(f"an epoch is named epoch:001, epoch:002, ..., but got {printable(name)[:60]!r}")
    values = checked.mapping(value, name)
    metrics = _numbers(checked.field(values, "metrics"), f"{name}.metrics")
    return Epoch(int(digits), metrics, _within(checked.field(values, "checkpoint"), f"{name}.checkpoint"))


def end_attribute(name: str, value: Any) -> Any:
    """Checks the value of one attribute of ``end_attributes``. Raises UserError if it is invalid."""
    if name == "metrics":
        return _numbers(value, name)
    if name == "seconds":
        return checked.number(value, name)
    if name == "error" and isinstance(value, str):
        # It may quote a file name with bytes that are not UTF-8.
        return value if checked.is_unicode(value) else printable(value)
    return checked.text(value, name)


def latency_to_attributes(latency: Latency) -> dict[str, Any]:
    return asdict(latency)


def latency_from_attributes(attributes: Any) -> Latency:
    """The inverse of ``latency_to_attributes``. Raises UserError as ``from_attributes`` does."""
    values = checked.mapping(attributes, "latency")
    return Latency(
        **checked.fields(values, checked.text, "key", "device", "precision"),
        **checked.fields(values, checked.number, "median_ms", "low_ms", "high_ms"),
        threads=checked.integer(checked.field(values, "threads"), "threads"),
        batch=checked.integer(values.get("batch", 1), "batch"),
    )


def protocol_to_attributes(score: ProtocolScore) -> dict[str, Any]:
    return asdict(score)


def protocol_from_attributes(attributes: Any) -> ProtocolScore:
    """The inverse of ``protocol_to_attributes``. Raises UserError as ``from_attributes`` does."""
    values = checked.mapping(attributes, "protocol")
    return ProtocolScore(
        **checked.fields(values, checked.text, "key", "protocol", "split"),
        **checked.fields(values, checked.integer, "seed", "clips", "crops", "videos", "macs_fvcore"),
        metrics=_numbers(checked.field(values, "metrics"), "metrics"),
        data=checked.text(values.get("data", ""), "data"),
        device=checked.text(values.get("device", ""), "device"),
    )


def _numbers(value: Any, what: str) -> dict[str, float]:
    values = checked.mapping(value, what)
    for name, one in values.items():
        # Checked inline first, since most values are floats and a study reads its curves often.
        if type(one) is not float or not abs(one) <= checked.LARGEST:
            checked.number(one, f"{what}.{name}")
    return values


def _within(value: Any, what: str) -> str | None:
    """A relative path below the study's folder, or None. Symbolic links are not resolved."""
    if value is None:
        return None
    path = checked.text(value, what)
    if path in ("", ".") or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise checked.refused(what, "a path within the study's folder", value)
    return path
