"""The members of a restricted space: the points that keep its rules, within its bounds.

Each bound is an intersection of diagrams as long as that stays small, so that size, enumeration and sampling are exact. If the
diagram would be too large, the bound is applied with its costs rounded down, which leaves some points too many, and tested on
these: points are drawn until one is within the bound, which is still uniform, and the size is estimated from the share that is.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from gsfnas.errors import UserError
from gsfnas.space._bounds import Limit, limits_text
from gsfnas.space._diagram import MAX_ENTRIES, Diagram, Point

# Draws for an estimated size; its 95 % interval is at most 2 percentage points wide.
DRAWS = 10_000


@dataclass(frozen=True)
class Members:
    """The points of ``diagram`` that are within the limits of ``tested``.

    ``order`` has the position of a site for each level of the diagram; a point has an option for each position.
    """

    order: Point
    diagram: Diagram
    tested: tuple[Limit, ...] = ()

    @classmethod
    def of(cls, name: str, order: Point, diagram: Diagram, limits: Sequence[Limit]) -> "Members":
        """The points of a diagram within limits. Raises UserError, naming the nearest feasible value, if there are none."""
        alone = {limit: _narrowed(order, diagram, limit) for limit in limits}
        found, tested = diagram, []
        for limit in sorted(limits, key=lambda limit: alone[limit][0].size):
            found, is_exact = alone[limit] if found is diagram else _narrowed(order, found, limit)
            if not is_exact:
                tested.append(limit)
        members = cls(order, found, tuple(tested))
        if not found.size or (tested and not members._hits):
            raise _infeasible(name, order, diagram, limits)
        return members

    @property
    def is_exact(self) -> bool:
        """Whether the size is exact."""
        return not self.tested

    @cached_property
    def size(self) -> int:
        """The number of points, or an estimate of it."""
        return self.diagram.size if self.is_exact else round(self.diagram.size * Fraction(self._hits, DRAWS))

    @cached_property
    def interval(self) -> tuple[int, int]:
        """The size twice if it is exact, else its 95 % interval after Clopper and Pearson (1934)."""
        if self.is_exact:
            return self.size, self.size
        from scipy.stats import beta

        hits = self._hits
        low = Fraction(float(beta.ppf(0.025, hits, DRAWS - hits + 1)))
        high = Fraction(float(beta.ppf(0.975, hits + 1, DRAWS - hits))) if hits < DRAWS else Fraction(1)
        return round(self.diagram.size * low), round(self.diagram.size * high)

    def __iter__(self) -> Iterator[Point]:
        """All points lazily, in lexicographic order of the diagram's levels."""
        points = (self._ordered(point) for point in self.diagram)
        return (point for point in points if self._passes(point))

    def sample(self, generator: random.Random) -> Point:
        """A random point, uniform."""
        while True:
            point = self._ordered(self.diagram.point(generator.randrange(self.diagram.size)))
            if self._passes(point):
                return point

    @cached_property
    def _hits(self) -> int:
        """How many of ``DRAWS`` random points of the diagram are within the limits; the same in every process."""
        generator = random.Random(0)
        ranks = (generator.randrange(self.diagram.size) for _ in range(DRAWS))
        return sum(self._passes(self._ordered(self.diagram.point(rank))) for rank in ranks)

    def _ordered(self, point: Point) -> Point:
        """A point by positions of sites, from one by levels."""
        return tuple(option for _, option in sorted(zip(self.order, point, strict=True)))

    def _passes(self, point: Point) -> bool:
        return all(
            sum(costs[option] for costs, option in zip(limit.by_site, point, strict=True)) <= limit.budget
            for limit in self.tested
        )


def _costs(order: Point, limit: Limit) -> list[tuple[int, ...]]:
    return [limit.by_site[position] for position in order]


def _narrowed(order: Point, diagram: Diagram, limit: Limit) -> tuple[Diagram, bool]:
    """The points within a limit, and true; if that diagram would be too large, a superset that is small, and false.

    The superset has costs rounded down to a multiple of some step, so that there are few different sums. It is the diagram
    itself if that is too large already.
    """
    costs = _costs(order, limit)
    exact = diagram.within(costs, limit.budget)
    if exact is not None:
        return exact, True
    # Costs from zero on: a node is then visited at most once for each sum on the grid.
    least = [min(level) for level in costs]
    num_steps = MAX_ENTRIES // diagram.num_entries
    if num_steps < 2:
        return diagram, False
    step = -(-sum(max(level) - low for level, low in zip(costs, least, strict=True)) // num_steps)
    coarse = [[(cost - low) // step for cost in level] for level, low in zip(costs, least, strict=True)]
    rounded = diagram.within(coarse, (limit.budget - sum(least)) // step, 2 * MAX_ENTRIES)
    return (diagram if rounded is None else rounded), False


def _infeasible(name: str, order: Point, diagram: Diagram, limits: Sequence[Limit]) -> UserError:
    """The error for bounds without candidates: the first that the bounds before it make impossible, and what is possible."""
    met: list[Limit] = []
    for limit in limits:
        costs = _costs(order, limit)
        cheapest = diagram.extreme([[(cost,) for cost in level] for level in costs])
        least = sum(level[option] for level, option in zip(costs, cheapest, strict=True))
        if least > limit.budget:
            other = f" within {limits_text([one.bound for one in met])}" if met else ""
            value = limit.value(least)
            nearest = f"{limit.bound.metric}={f'{value:.12g}' if isinstance(value, float) else value}"
            return UserError(
                f"no candidate of space {name!r}{other} has {limit.bound}; the nearest that is possible is {nearest}"
            )
        diagram, _ = _narrowed(order, diagram, limit)
        met.append(limit)
    bounds = limits_text([limit.bound for limit in limits])
    said = f"none of {DRAWS:,} random candidates within the tightest of them is"
    return UserError(f"no candidate of space {name!r} within {bounds} was found: {said}; loosen them")
