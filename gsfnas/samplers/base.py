"""What a study asks of whoever proposes: which candidate is evaluated next, once more, and for how many epochs."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from gsfnas.candidate import Candidate
from gsfnas.record import Phase, Record
from gsfnas.space import BoundSpace

Point = tuple[int, ...]
# What must have ended before a sampler is asked: the runs before the study's lag, all runs, or none.
Sees = Literal["lagged", "ended", "now"]


class Proposal(NamedTuple):
    """A run to make: replicate 0 is a candidate's first run, 1 the next seed; ``budget`` is in epochs."""

    candidate: Candidate
    replicate: int
    budget: int


@dataclass(frozen=True)
class History:
    """What a proposal may depend on.

    ``records`` are the first runs of all candidates and ``replicates`` the others, each in the order in which they began. For a
    sampler that sees ``lagged``, those of ``records`` within the lag are shown as running, whatever is known of them.
    ``trials`` is how many candidates are asked for, ``num_seeds`` with how many seeds those runs are made that are repeated,
    ``budget`` the epochs of a run, ``points`` what ``Sampler.plan`` has laid down: indices into ``space.options``.
    """

    space: BoundSpace
    seed: int
    trials: int
    num_seeds: int
    budget: int
    records: Sequence[Record] = ()
    replicates: Sequence[Record] = ()
    points: Sequence[Point] = ()

    @property
    def wants_candidates(self) -> bool:
        """Whether fewer candidates have begun than are asked for."""
        return len(self.records) < self.trials


class Sampler(Protocol):
    """Proposes runs: a pure function of the history, which holds the study's seed.

    A subclass may choose ``phase``, under which its runs are recorded, and ``sees``, what must have ended before it is asked.
    """

    phase: Phase = "search"
    sees: Sees = "lagged"

    @abstractmethod
    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        """The next run, which is none of ``asked``; None passes on to the next sampler of the study."""
        ...

    def plan(self, history: History) -> Sequence[Point]:
        """Points that are laid down before the search begins and kept in the study; as they are, unless overridden."""
        return history.points

    def num_left(self, history: History) -> int:
        """About how many replicates it will still propose, for the estimate of the time that is left."""
        return 0
