"""Proposes named candidates in the order of their list, instead of a search."""

from collections.abc import Collection
from dataclasses import dataclass

from gsfnas.samplers._anchors import first_new
from gsfnas.samplers.base import History, Proposal, Sampler


@dataclass(frozen=True)
class NamedCandidates(Sampler):
    """Proposes every candidate of a space that is a list of named candidates."""

    phase = "row"
    sees = "now"

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return first_new(tuple(history.space), history, asked)
