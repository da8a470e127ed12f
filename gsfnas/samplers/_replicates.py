"""Replicates: more seeds of complete candidates, to measure how much results vary by chance."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gsfnas.candidate import Candidate
from gsfnas.record import best
from gsfnas.samplers._anchors import anchors, distinct_candidates
from gsfnas.samplers.base import History, Proposal, Sampler


@dataclass(frozen=True)
class Replicates(Sampler):
    """Replicates the anchors and the best candidate, once the search has ended."""

    phase = "replicate"
    sees = "ended"

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return next(self._missing(history, asked), None)

    def num_left(self, history: History) -> int:
        """Exact once the search has ended; before, it assumes that the best candidate will not be an anchor."""
        if not history.wants_candidates and all(record.outcome != "running" for record in history.records):
            return sum(1 for _ in self._missing(history, _begun(history)))
        named = min(len(anchors(history.space)) + 1, distinct_candidates(history.space))
        return max(0, named * (history.num_seeds - 1) - len(history.replicates))

    def _missing(self, history: History, asked: Collection[Proposal]) -> Iterator[Proposal]:
        top = best(history.records, history.objectives)
        named = dict.fromkeys([*anchors(history.space), *([top.candidate] if top else [])])
        return _proposals(list(named), history, asked)


@dataclass(frozen=True)
class ReplicatesOfAll(Sampler):
    """Replicates every candidate, each as soon as its first run is complete."""

    phase = "replicate"
    sees = "now"

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return next(self._missing(history, asked), None)

    def num_left(self, history: History) -> int:
        if not history.wants_candidates and all(record.outcome != "running" for record in history.records):
            return sum(1 for _ in self._missing(history, _begun(history)))
        return max(0, min(history.trials, history.space.size) * (history.num_seeds - 1) - len(history.replicates))

    def _missing(self, history: History, asked: Collection[Proposal]) -> Iterator[Proposal]:
        return _proposals([record.candidate for record in history.records], history, asked)


def _proposals(named: Collection[Candidate], history: History, asked: Collection[Proposal]) -> Iterator[Proposal]:
    """The replicates of complete candidates that have not begun: all of one seed, then all of the next."""
    complete = {record.candidate for record in history.records if record.outcome == "complete"}
    wanted = (Proposal(one, number, history.budget) for number in range(1, history.num_seeds) for one in named)
    return (proposal for proposal in wanted if proposal.candidate in complete and proposal not in asked)


def _begun(history: History) -> set[Proposal]:
    records = (*history.records, *history.replicates)
    return {Proposal(record.candidate, record.replicate, history.budget) for record in records}
