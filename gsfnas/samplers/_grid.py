"""Proposes every candidate of a space, in the space's own order, instead of a search."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

from gsfnas.errors import UserError, shown
from gsfnas.samplers._anchors import distinct_candidates
from gsfnas.samplers.base import History, Proposal, Sampler


@dataclass(frozen=True)
class Grid(Sampler):
    """Proposes each candidate of a space once, those within its bounds.

    With ``replicate_all`` every candidate is evaluated with all the seeds of the study (``study.replicates``), each seed's runs
    before the next one's.
    """

    replicate_all: bool = False
    sees = "now"

    def __post_init__(self) -> None:
        if not isinstance(self.replicate_all, bool):
            raise UserError(f"`sampler.replicate_all` must be true or false, but got {shown(self.replicate_all)}")

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        if history.wants_candidates:
            begun = {proposal.candidate for proposal in asked}
            fresh = next((candidate for candidate in history.space if candidate not in begun), None)
            if fresh is not None:
                return Proposal(fresh, 0, history.budget)
        if not self.replicate_all:
            return None
        complete = [record.candidate for record in history.records if record.outcome == "complete"]
        wanted = itertools.product(range(1, history.num_seeds), complete)
        proposals = (Proposal(candidate, replicate, history.budget) for replicate, candidate in wanted)
        return next((proposal for proposal in proposals if proposal not in asked), None)

    def num_left(self, history: History) -> int:
        if not self.replicate_all:
            return 0
        candidates = min(history.trials, distinct_candidates(history.space))
        return max(0, candidates * (history.num_seeds - 1) - len(history.replicates))
