"""The initial design, evaluated after the anchors: the choices at each site occur about equally often."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gsfnas.candidate import Candidate
from gsfnas.errors import UserError, shown
from gsfnas.samplers._anchors import anchors, distinct_candidates, first_new
from gsfnas.samplers._balanced import balanced_design
from gsfnas.samplers._exchange import exchange_design
from gsfnas.samplers.base import History, Point, Proposal, Sampler
from gsfnas.seeds import derive
from gsfnas.space import BoundSpace, RestrictedSpace


@dataclass(frozen=True)
class Design(Sampler):
    """Proposes the points of a balanced design, which are ``fraction`` of the requested candidates."""

    fraction: float = 0.5

    phase = "design"
    sees = "now"

    def __post_init__(self) -> None:
        if isinstance(self.fraction, bool) or not 0 <= self.fraction <= 1:
            raise UserError(f"`study.initial_fraction` must be in [0, 1], but got {shown(self.fraction)}")

    def num_points(self, space: BoundSpace, trials: int) -> int:
        """The number of points of the design, without the anchors."""
        room = min(trials, distinct_candidates(space)) - len(anchors(space))
        return max(0, min(room, round(trials * self.fraction)))

    def plan(self, history: History) -> Sequence[Point]:
        """The design so far, extended for ``history.trials``.

        New points are balanced together with the known ones, and repeat no anchor and no candidate that has begun.
        """
        space = history.space
        missing = self.num_points(space, history.trials) - len(history.points)
        points = [tuple(point) for point in history.points]
        if missing <= 0:
            return points
        seen = {record.candidate for record in history.records}
        taken = {_point(space, candidate) for candidate in {*seen, *anchors(space)} if candidate in space}
        levels = [len(options) for options in space.options]
        seed = derive("design", history.seed, len(points))
        if isinstance(space, RestrictedSpace):
            return points + exchange_design(space, missing, seed=seed, fixed=points, taken=taken - set(points))
        return points + balanced_design(levels, missing, seed=seed, fixed=points, taken=taken - set(points))

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        return first_new([_decode(history.space, point) for point in history.points], history, asked)


def _point(space: BoundSpace, candidate: Candidate) -> Point:
    indices = space.encode(candidate)
    return tuple(indices[site.name] for site in space.sites)


def _decode(space: BoundSpace, point: Point) -> Candidate:
    return space.decode(dict(zip((site.name for site in space.sites), map(int, point), strict=True)))
