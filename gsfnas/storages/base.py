"""The interface of storages: they keep a study's runs and attributes, and track which worker evaluates which run."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from gsfnas.record import Epoch, Latency, ProtocolScore, Record
from gsfnas.samplers.base import Point
from gsfnas.space import BoundSpace
from gsfnas.storages._attributes import Asked, Header

# The first runs of candidates, and what is measured later: other seeds, latency, other protocols.
Part = Literal["main", "measurements"]
Access = Literal["read", "write", "create"]


@dataclass(frozen=True)
class Run:
    """A run in a storage: its trial number there, its part of the study, its record, and how often its process died."""

    trial: int
    part: Part
    record: Record
    num_crashes: int = 0

    @property
    def folder_name(self) -> str:
        """The run's folder below ``checkpoints``. It is a safe path, since key and seed are checked when a record is read."""
        return f"{self.record.candidate.key}-{self.record.seed}"


class Claim(Protocol):
    """The exclusive right to evaluate a run, held until it is released or its holder dies.

    ``left`` is the note of the last holder; empty if that one released the claim.
    """

    left: str

    def note(self, text: str) -> None:
        """Writes who holds the claim, for processes that find it taken."""

    def release(self) -> None:
        """Releases the claim."""

    def remove(self) -> None:
        """Releases and removes the claim; for a run that has ended."""


class StudyStorage(Protocol):
    """One study. Every value read from it is checked; damaged ones raise UserError, naming the place."""

    folder: Path
    name: str

    @property
    def header(self) -> Header | None:
        """What the study searches, written once when it begins; None before."""
        ...

    @property
    def asked(self) -> Asked | None:
        """What the latest call requested; None before the first call."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether everything that the latest call requested has ended."""
        ...

    @property
    def design(self) -> list[Point]:
        """The points that samplers have planned so far."""
        ...

    @property
    def environments(self) -> dict[str, dict[str, Any]]:
        """Hash -> environment."""
        ...

    @property
    def configurations(self) -> dict[str, dict[str, Any]]:
        """Hash -> configuration."""
        ...

    def set_attribute(self, name: str, value: Any) -> None:
        """Writes an attribute of the study, unless it has this value already."""

    def write_header(self, space: BoundSpace, classes: int, identity: Mapping[str, Any]) -> None:
        """Writes the header, see ``header``."""

    def claiming(self) -> AbstractContextManager[None]:
        """The lock that a worker holds briefly while it is assigned a run or ends one."""
        ...

    def claim(self, folder_name: str) -> Claim | None:
        """Claims the run with this ``folder_name``; None if another worker holds its claim."""
        ...

    def sweep(self, running: Collection[str]) -> None:
        """Removes claims left by killed processes, except for those of ``running`` runs."""

    def runs(self) -> list[Run]:
        """All runs: the first runs of candidates in the order in which they began, then the replicates."""
        ...

    def latencies(self) -> tuple[Latency, ...]: ...

    def protocols(self) -> tuple[ProtocolScore, ...]: ...

    def last_change(self) -> float:
        """The time of the last write, in seconds since the Unix epoch."""
        ...

    def start(self, record: Record, space: BoundSpace) -> Run:
        """Creates a running trial, in one atomic write."""
        ...

    def add_epoch(self, run: Run, epoch: Epoch) -> None: ...

    def add_crash(self, run: Run) -> Run:
        """Counts one more process that died while it evaluated this run."""
        ...

    def finish(self, run: Run, record: Record) -> None:
        """Ends a trial; ``record`` has the outcome."""

    def add_latency(self, latency: Latency) -> None: ...

    def add_protocol(self, score: ProtocolScore) -> None: ...


class Storage(Protocol):
    """Keeps studies, each in a folder of its own that has the study's name."""

    def holds(self, folder: Path) -> bool:
        """Whether this storage keeps a study in ``folder``; True also if that cannot be determined."""
        ...

    def open(self, folder: Path, name: str, access: Access = "read") -> StudyStorage:
        """Opens a study.

        ``read`` takes no lock and needs no write permission; ``write`` is for reading and writing; ``create`` also creates the
        study if there is none. Raises UserError if ``folder`` has no study of that name, or it is damaged.
        """
        ...

    def running(self, folder: Path, name: str) -> AbstractContextManager[None]:
        """Held by the one process that runs the study. Raises UserError if another process is running it."""
        ...

    def is_running(self, folder: Path) -> bool:
        """Whether a process is running the study, as far as permissions allow to see."""
        ...
