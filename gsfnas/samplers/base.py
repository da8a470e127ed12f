"""The interface of samplers: they propose which candidate is evaluated next, with which seed, for how many epochs."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from gsfnas.candidate import Candidate
from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric
from gsfnas.record import Phase, Record
from gsfnas.space import BoundSpace

Point = tuple[int, ...]
# The first runs that must have ended before a sampler is asked: all but the latest `lag`, all, or none.
Sees = Literal["lagged", "ended", "now"]


class Proposal(NamedTuple):
    """A proposed run: replicate 0 is a candidate's first run, 1 the next seed, and so on; ``budget`` is in epochs."""

    candidate: Candidate
    replicate: int
    budget: int


@dataclass(frozen=True)
class History:
    """Everything that a proposal may depend on.

    ``records`` are the first runs of all candidates and ``replicates`` the other runs, each in the order in which they began.
    For a sampler with ``sees = "lagged"``, the latest ``lag`` of ``records`` are shown as running even if they have ended.
    ``trials`` is the number of candidates requested, ``num_seeds`` the number of seeds of a replicated candidate, ``budget``
    the epochs of a run. ``points`` are those planned by ``Sampler.plan``, as indices into ``space.options``. ``objectives`` are
    one to four metrics, each better ``higher`` or ``lower``; ``record.value(metric)`` is the value of a run.
    """

    space: BoundSpace
    seed: int
    trials: int
    num_seeds: int
    budget: int
    records: Sequence[Record] = ()
    replicates: Sequence[Record] = ()
    points: Sequence[Point] = ()
    objectives: Sequence[Metric] = DEFAULT_OBJECTIVES

    @property
    def wants_candidates(self) -> bool:
        """Whether fewer candidates have begun than were requested."""
        return len(self.records) < self.trials


class Sampler(Protocol):
    """Proposes runs. Proposals must be a pure function of the history, which contains the study's seed.

    A subclass may set ``phase``, which is recorded with its runs, and ``sees``: which runs must end before it is asked.
    """

    phase: Phase = "search"
    sees: Sees = "lagged"

    @abstractmethod
    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        """The next run, which must not be in ``asked``; None if it has none, and the study's next sampler is asked."""
        ...

    def plan(self, history: History) -> Sequence[Point]:
        """Points to evaluate, planned before the search and stored in the study. By default, the history's points unchanged."""
        return history.points

    def num_left(self, history: History) -> int:
        """About how many replicates it will still propose; used to estimate the remaining time."""
        return 0
