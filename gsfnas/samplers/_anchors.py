"""The anchors of a space, which are evaluated first: the network without modules, and the one with a module at every site."""

from collections.abc import Collection
from dataclasses import dataclass

from gsfnas.candidate import Candidate
from gsfnas.samplers.base import History, Proposal, Sampler
from gsfnas.space import BoundRows, BoundSpace


def anchors(space: BoundSpace) -> tuple[Candidate, ...]:
    """The empty and the full candidate, or one if they are the same. A list of named candidates has no anchors."""
    return () if isinstance(space, BoundRows) else tuple(dict.fromkeys([space.empty, space.full]))


def distinct_candidates(space: BoundSpace) -> int:
    """The number of candidates that a study can evaluate: those of the space, and the empty one even if it is not in it."""
    return space.size + sum(candidate not in space for candidate in anchors(space))


@dataclass(frozen=True)
class Anchors(Sampler):
    """Proposes the anchors."""

    phase = "anchor"
    sees = "now"

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return first_new(anchors(history.space), history, asked)


def first_new(candidates: Collection[Candidate], history: History, asked: Collection[Proposal]) -> Proposal | None:
    """Proposes the first of ``candidates`` that is not in ``asked``; None once enough candidates have begun."""
    if not history.wants_candidates:
        return None
    seen = {proposal.candidate for proposal in asked}
    fresh = next((candidate for candidate in candidates if candidate not in seen), None)
    return None if fresh is None else Proposal(fresh, 0, history.budget)
