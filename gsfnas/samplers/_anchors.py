"""The two ends of a space, evaluated first: the network without modules, and the one with a module at every site."""

from collections.abc import Collection
from dataclasses import dataclass

from gsfnas.candidate import Candidate
from gsfnas.samplers.base import History, Proposal, Sampler
from gsfnas.space import BoundRows, BoundSpace


def anchors(space: BoundSpace) -> tuple[Candidate, ...]:
    """The empty and the full candidate; one where they are the same. A list of named candidates has none."""
    return () if isinstance(space, BoundRows) else tuple(dict.fromkeys([space.empty, space.full]))


def distinct_candidates(space: BoundSpace) -> int:
    """How many candidates a study of ``space`` can evaluate: the space, and the empty candidate where it is outside."""
    return space.size + sum(candidate not in space for candidate in anchors(space))


@dataclass(frozen=True)
class Anchors(Sampler):
    """Proposes the anchors."""

    phase = "anchor"
    sees = "now"

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return first_new(anchors(history.space), history, asked)


def first_new(candidates: Collection[Candidate], history: History, asked: Collection[Proposal]) -> Proposal | None:
    """The first of these candidates that was not asked for, as long as candidates are wanted."""
    if not history.wants_candidates:
        return None
    seen = {proposal.candidate for proposal in asked}
    fresh = next((candidate for candidate in candidates if candidate not in seen), None)
    return None if fresh is None else Proposal(fresh, 0, history.budget)
