"""Proposes every candidate of a space, in the space's own order, instead of a search."""

from collections.abc import Collection
from dataclasses import dataclass

from gsfnas.errors import UserError, shown
from gsfnas.samplers._anchors import first_new
from gsfnas.samplers.base import History, Proposal, Sampler


@dataclass(frozen=True)
class Grid(Sampler):
    """Proposes each candidate of a space once, those within its bounds.

    With ``replicate_all`` a study replicates every candidate afterwards (``study.replicates`` seeds), not only the best.
    """

    replicate_all: bool = False
    sees = "now"

    def __post_init__(self) -> None:
        if not isinstance(self.replicate_all, bool):
            raise UserError(f"`sampler.replicate_all` must be true or false, but got {shown(self.replicate_all)}")

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return first_new(history.space, history, asked)
