"""What a study asks of whoever keeps it: runs as records, what it says of itself, and who evaluates which run."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from gsfnas.record import Epoch, Latency, ProtocolScore, Record
from gsfnas.samplers.base import Point
from gsfnas.space import BoundSpace
from gsfnas.storages._attributes import Asked, Header

# First runs of candidates, and what is measured of a candidate later: other seeds, latency, other protocols.
Part = Literal["main", "measurements"]
Access = Literal["read", "write", "create"]


@dataclass(frozen=True)
class Run:
    """A run as a storage knows it: its trial there, its part of the study, its record, how often its process died."""

    trial: int
    part: Part
    record: Record
    num_crashes: int = 0

    @property
    def folder_name(self) -> str:
        """Where its evaluator writes, below the checkpoints' folder. A record's key and seed are checked where it is read."""
        return f"{self.record.candidate.key}-{self.record.seed}"


class Claim(Protocol):
    """The right to evaluate a run, held until it is released, or its holder dies. ``left`` is what its last holder noted."""

    left: str

    def note(self, text: str) -> None:
        """Writes who holds it, for those who find it taken."""

    def release(self) -> None:
        """Gives it back."""

    def remove(self) -> None:
        """Gives it back for good: the run has ended."""


class StudyStorage(Protocol):
    """One study. Every value read from it is checked; UserError, naming the place, for what is damaged."""

    folder: Path
    name: str

    @property
    def header(self) -> Header | None:
        """What the study is about, written once when it begins; None before."""
        ...

    @property
    def asked(self) -> Asked | None:
        """What the latest call asked for; None before the first."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether all that was asked last has ended."""
        ...

    @property
    def design(self) -> list[Point]:
        """The points that samplers have laid down so far."""
        ...

    @property
    def environments(self) -> dict[str, dict[str, Any]]:
        """By their hash."""
        ...

    @property
    def configurations(self) -> dict[str, dict[str, Any]]:
        """By their hash."""
        ...

    def set_attribute(self, name: str, value: Any) -> None:
        """Writes an attribute of the study unless it stands there already."""

    def write_header(self, space: BoundSpace, classes: int, identity: Mapping[str, Any]) -> None:
        """Says what the study is about."""

    def claiming(self) -> AbstractContextManager[None]:
        """The short lock under which workers decide who does what."""
        ...

    def claim(self, folder_name: str) -> Claim | None:
        """The right to evaluate a run, by its ``folder_name``; None where another holds it."""
        ...

    def sweep(self, running: Collection[str]) -> None:
        """Removes claims that a kill has left, but for those of the runs that still run."""

    def runs(self) -> list[Run]:
        """All runs: the candidates in the order in which they began, then the replicates."""
        ...

    def latencies(self) -> tuple[Latency, ...]: ...

    def protocols(self) -> tuple[ProtocolScore, ...]: ...

    def last_change(self) -> float:
        """When it was last written, in seconds since the epoch."""
        ...

    def start(self, record: Record, space: BoundSpace) -> Run:
        """A new running trial, written at one instant."""
        ...

    def add_epoch(self, run: Run, epoch: Epoch) -> None: ...

    def add_crash(self, run: Run) -> Run:
        """One more process died while it evaluated this run."""
        ...

    def finish(self, run: Run, record: Record) -> None:
        """Ends a trial; ``record`` carries the outcome."""

    def add_latency(self, latency: Latency) -> None: ...

    def add_protocol(self, score: ProtocolScore) -> None: ...


class Storage(Protocol):
    """Where studies are kept: each below a folder of its own, which names it."""

    def holds(self, folder: Path) -> bool:
        """Whether a study of this kind is, or may be, kept in a folder."""
        ...

    def open(self, folder: Path, name: str, access: Access = "read") -> StudyStorage:
        """A study: to be read, which takes no lock and no right to write; to be written too; or made where there is none.

        Raises UserError for what is no study of that name, and for one that is damaged.
        """
        ...

    def running(self, folder: Path, name: str) -> AbstractContextManager[None]:
        """Held by the one process that runs the study. Raises UserError where another does."""
        ...

    def is_running(self, folder: Path) -> bool:
        """Whether a process runs the study now, as far as one may see."""
        ...
