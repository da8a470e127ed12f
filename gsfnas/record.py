"""What one trial says, as a value, and the one place that maps it to a storage's attributes and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gsfnas.candidate import Candidate, Site

# How a candidate came to be evaluated: one of the two anchors (empty, full), the balanced design, the sampler, or once more
# with another seed.
Phase = Literal["anchor", "design", "search", "replicate"]
Outcome = Literal["complete", "failed", "running"]


@dataclass(frozen=True)
class Epoch:
    """One epoch of a curve: the epoch (1, 2, ...) and its metrics."""

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """One run of one candidate.

    ``cost``: ``params``, ``macs_fvcore``, ``macs_ptflops``, ``activations``, ``saved_bytes``, integers for one clip. ``metrics``: the
    final ``val_top1``, ``test_top1`` (fractions) and what else was measured; empty unless complete. ``error`` is one line where
    the outcome is ``failed``.
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
class StudyRecord:
    """All that a report needs to know of a study: its records, and how they came about.

    ``records`` holds one record a distinct candidate, ``replicates`` the same candidates under other seeds. ``environments`` and
    ``configurations`` map a hash, which each record carries, to what it stands for; ``study_yaml`` is the resolved study.
    """

    name: str
    space: str
    space_size: int
    sites: tuple[Site, ...]
    classes: int
    records: tuple[Record, ...]
    replicates: tuple[Record, ...] = ()
    latencies: tuple[Latency, ...] = ()
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    study_yaml: str = ""
