"""What one trial says, as a value, and the one place that maps it to a storage's attributes and back."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gsfnas.candidate import Candidate, Site

# How a candidate came to be evaluated: one of the two anchors (empty, full), the balanced design, the sampler, a row of a space
# of rows, or once more with another seed.
Phase = Literal["anchor", "design", "search", "row", "replicate"]
Outcome = Literal["complete", "failed", "running"]


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
    ``metrics``: the final ``val_top1``, ``test_top1`` (fractions) and what else was measured; empty unless complete.
    ``error`` is one line where the outcome is ``failed``. ``source`` names the study that made this run, where it was another.
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

    @property
    def top1(self) -> float:
        """Validation top-1, what the search maximises."""
        return self.metrics["val_top1"]

    @property
    def gmacs(self) -> float:
        """fvcore's MACs for one clip, in units of 10^9: what the search minimises."""
        return self.cost["macs_fvcore"] / 1e9


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one clip's forward on one device: quantiles over repeated runs, and the conditions."""

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
    """One run's weights under a protocol of testing: ``clips`` x ``crops`` views of each video of a split.

    ``metrics``: ``<split>_top1``, ``_top5``, ``_mean_class``, as fractions. ``macs_fvcore`` is for one video, all views;
    ``data`` the fingerprint of the clips as they were cut.
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
        """What is measured: two scores that agree in it are one measurement made twice."""
        return self.key, self.seed, self.protocol, self.clips, self.crops, self.split, self.data


@dataclass(frozen=True)
class StudyRecord:
    """All that a report needs to know of a study: its records, and how they came about.

    ``records`` holds one record a distinct candidate, ``replicates`` the same candidates under other seeds. ``environments``
    and ``configurations`` map a hash, which each record carries, to what it stands for; ``study_yaml`` is the resolved study.
    ``rows`` are (name, candidate's key) where the space is one of rows, as the study began with them.
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


def best(records: Iterable[Record]) -> Record | None:
    """The complete record with the highest validation top-1; the cheaper one of equals. None where none is complete."""
    complete = [record for record in records if record.outcome == "complete"]
    return min(complete, key=lambda record: (-record.top1, record.gmacs, record.candidate.key), default=None)


def pareto_front(records: Iterable[Record]) -> tuple[Record, ...]:
    """The complete records that none dominates in validation top-1 and GMACs, cheapest first; equals are all kept."""
    complete = sorted(
        (record for record in records if record.outcome == "complete"), key=lambda record: (record.gmacs, -record.top1)
    )
    front: list[Record] = []
    for record in complete:
        ties = bool(front) and (record.gmacs, record.top1) == (front[-1].gmacs, front[-1].top1)
        if not front or record.top1 > front[-1].top1 or ties:
            front.append(record)
    return tuple(front)


# The attributes of a trial. What is known when a run starts is written with it, at once; an epoch adds one attribute; the
# rest follows when the run ends. The outcome is the trial's state.
_AT_START = ("number", "phase", "seed", "replicate", "run_id", "environment", "configuration")
_AT_END = ("device", "seconds", "error", "source")
_EPOCH = "epoch:"


def start_attributes(record: Record) -> dict[str, Any]:
    """What a trial says from its first moment on: all but curve, metrics and end."""
    attributes: dict[str, Any] = {name: getattr(record, name) for name in _AT_START}
    return attributes | {"key": record.candidate.key, "candidate": record.candidate.to_dict(), "cost": dict(record.cost)}


def epoch_attribute(epoch: Epoch) -> tuple[str, dict[str, Any]]:
    """Name and value of one epoch's attribute."""
    return f"{_EPOCH}{epoch.epoch:03d}", {"metrics": dict(epoch.metrics), "checkpoint": epoch.checkpoint}


def end_attributes(record: Record) -> dict[str, Any]:
    """What is added when the run ends: device, seconds, and the metrics or the error."""
    attributes: dict[str, Any] = {name: getattr(record, name) for name in _AT_END if getattr(record, name) is not None}
    return attributes | ({"metrics": dict(record.metrics)} if record.metrics else {})


def to_attributes(record: Record) -> dict[str, Any]:
    """All attributes of a record, as a storage keeps them: JSON values only."""
    return start_attributes(record) | dict(map(epoch_attribute, record.curve)) | end_attributes(record)


def from_attributes(attributes: Mapping[str, Any], outcome: Outcome) -> Record:
    """The record that ``to_attributes`` wrote. Raises KeyError where the attributes are of something else."""
    curve = [
        Epoch(int(name.removeprefix(_EPOCH)), value["metrics"], value["checkpoint"])
        for name, value in attributes.items()
        if name.startswith(_EPOCH)
    ]
    return Record(
        candidate=Candidate.from_dict(attributes["candidate"]),
        outcome=outcome,
        cost=attributes["cost"],
        metrics=attributes.get("metrics", {}),
        curve=tuple(sorted(curve, key=lambda epoch: epoch.epoch)),
        **{name: attributes[name] for name in _AT_START},
        **{name: attributes[name] for name in _AT_END if name in attributes},
    )


def latency_to_attributes(latency: Latency) -> dict[str, Any]:
    return asdict(latency)


def latency_from_attributes(attributes: Mapping[str, Any]) -> Latency:
    return Latency(**attributes)


def protocol_to_attributes(score: ProtocolScore) -> dict[str, Any]:
    return asdict(score)


def protocol_from_attributes(attributes: Mapping[str, Any]) -> ProtocolScore:
    return ProtocolScore(**attributes)
