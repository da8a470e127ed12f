"""The anchors of a space, which are evaluated first: the network without modules, and the one with a module at every site."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gsfnas.candidate import Candidate
from gsfnas.samplers.base import History, Proposal, Sampler
from gsfnas.space import BoundRows, BoundSpace


def anchors(space: BoundSpace) -> tuple[Candidate, ...]:
    """The empty and the full candidate, or one if they are the same, as far as they are within the space's bounds.

    A list of named candidates has no anchors.
    """
    if isinstance(space, BoundRows):
        return ()
    return tuple(candidate for candidate in dict.fromkeys([space.empty, space.full]) if space.is_within(candidate))


def distinct_candidates(space: BoundSpace) -> int:
    """The number of candidates that a study can evaluate: those of the space, and the empty one even if it is not in it.

    At most that many if the size of the space is an estimate.
    """
    size = space.size if space.size_interval is None else space.size_interval[1]
    return size + sum(candidate not in space for candidate in anchors(space))


@dataclass(frozen=True)
class Anchors(Sampler):
    """Proposes the anchors."""

    phase = "anchor"
    sees = "now"

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return first_new(anchors(history.space), history, asked)


def first_new(candidates: Iterable[Candidate], history: History, asked: Collection[Proposal]) -> Proposal | None:
    """Proposes the first of ``candidates`` that is not in ``asked``; None once enough candidates have begun."""
    if not history.wants_candidates:
        return None
    seen = {proposal.candidate for proposal in asked}
    fresh = next((candidate for candidate in candidates if candidate not in seen), None)
    return None if fresh is None else Proposal(fresh, 0, history.budget)
