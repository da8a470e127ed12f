"""A set of candidates as a decision diagram: exact size, enumeration, uniform sampling, extremes, and bounds on a sum.

A level decides one site. A node is a sum over the options of its site, and each option leads to a node of the next level, which
stands for what the sites after it may hold. Sites that do not influence each other share one node a level, so a product of
choices costs as much as the list of its choices; rules between sites split nodes only where a choice changes what is allowed
later. Equal nodes are merged (Bryant 1986, "Graph-based algorithms for Boolean function manipulation", with many options
instead of two).

A bound on a sum of costs is an intersection with another diagram, built after Behle (2007), "On threshold BDDs and the optimal
variable ordering problem": each node is visited once for each interval of the remaining budget in which it allows the same
completions. This is a table over the sites of the distinct sums of costs, without the sums that make no difference.
"""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

# The largest diagram, in options of all nodes. Building one takes some 3 microseconds per option.
MAX_ENTRIES = 1_000_000
_NONE = -1

Point = tuple[int, ...]


@dataclass(frozen=True)
class Diagram:
    """A set of points, each the index of an option per level.

    ``levels[i][n][j]`` is the node of level i + 1 that option j of node n leads to, -1 if it leads nowhere; level 0 has the
    root alone, and after the last level there is one node, 0. Every node can be reached, and every node leads to a point. The
    empty set has no nodes.
    """

    levels: tuple[tuple[tuple[int, ...], ...], ...]

    @classmethod
    def build(
        cls,
        num_options: Sequence[int],
        start: Hashable,
        step: Callable[[int, Any, int], Hashable | None],
        most: int = MAX_ENTRIES,
    ) -> "Diagram | None":
        """The points whose options ``step`` allows; None if the diagram would have more than ``most`` entries.

        ``step(level, state, option)`` is the state after that option, or None if it is not allowed. A state is all that later
        levels depend on.
        """
        levels: list[list[tuple[int, ...]]] = []
        states: dict[Hashable, int] = {start: 0}
        entries = 0
        for level, count in enumerate(num_options):
            following: dict[Hashable, int] = {}
            nodes = []
            entries += len(states) * count
            if entries > most:
                return None
            for state in states:
                after = [step(level, state, option) for option in range(count)]
                nodes.append(tuple(_NONE if one is None else following.setdefault(one, len(following)) for one in after))
            levels.append(nodes)
            states = following
        # Whatever the last state is, the point is complete.
        levels[-1] = [tuple(min(child, 0) for child in node) for node in levels[-1]]
        return cls(_reduced(levels))

    @cached_property
    def _counts(self) -> list[list[int]]:
        """The number of points below each node."""
        counts = [[1]]
        for level in reversed(self.levels):
            below = counts[-1]
            counts.append([sum(below[child] for child in node if child >= 0) for node in level])
        return counts[::-1]

    @cached_property
    def size(self) -> int:
        """The number of points."""
        return sum(self._counts[0])

    @property
    def num_entries(self) -> int:
        """The number of options of all nodes, on which time and memory depend."""
        return sum(len(node) for level in self.levels for node in level)

    def __iter__(self) -> Iterator[Point]:
        """All points lazily, in lexicographic order."""
        if not self.size:
            return
        nodes, point = [0], [-1]
        while point:
            level, option = len(point) - 1, point[-1] + 1
            children = self.levels[level][nodes[-1]]
            while option < len(children) and children[option] < 0:
                option += 1
            if option == len(children):
                nodes.pop()
                point.pop()
                continue
            point[-1] = option
            if len(point) == len(self.levels):
                yield tuple(point)
            else:
                nodes.append(children[option])
                point.append(-1)

    def point(self, rank: int) -> Point:
        """The point at position ``rank`` in the order of iteration, without the points before it."""
        assert 0 <= rank < self.size
        found, node = [], 0
        for level, below in zip(self.levels, self._counts[1:], strict=True):
            for option, child in enumerate(level[node]):
                count = below[child] if child >= 0 else 0
                if rank < count:
                    found.append(option)
                    node = child
                    break
                rank -= count
        return tuple(found)

    def extreme(self, weights: Sequence[Sequence[tuple[int, ...]]], choose: Callable[..., Any] = min) -> Point:
        """The point with the smallest sum of ``weights[level][option]``, compared as tuples; the largest with ``choose=max``.

        Of several, the first in the order of iteration. The set must not be empty.
        """
        zero = (0,) * len(weights[0][0])
        totals, choices = [zero], []
        for level, here in zip(reversed(self.levels), reversed(weights), strict=True):
            sums = [
                {
                    option: tuple(map(sum, zip(here[option], totals[child], strict=True)))
                    for option, child in enumerate(node)
                    if child >= 0
                }
                for node in level
            ]
            chosen = [choose(node, key=node.__getitem__) for node in sums]
            totals = [node[option] for node, option in zip(sums, chosen, strict=True)]
            choices.append(chosen)
        point, node = [], 0
        for level, chosen in zip(self.levels, reversed(choices), strict=True):
            point.append(chosen[node])
            node = level[node][chosen[node]]
        return tuple(point)

    def within(self, costs: Sequence[Sequence[int]], budget: int, most: int = MAX_ENTRIES) -> "Diagram | None":
        """The points whose sum of ``costs[level][option]`` is at most ``budget``.

        None if the diagram would take more than ``most`` entries to build.
        """
        if not self.levels or not self.levels[0]:
            return self
        depth, entries = len(self.levels), 0
        # Children -> index of the new node, by level.
        nodes: list[dict[tuple[int, ...], int]] = [{} for _ in self.levels]
        # For each old node: the beginnings of disjoint intervals of the budget, and the end and the new node of each.
        starts: list[list[list[float]]] = [[[] for _ in level] for level in self.levels]
        ends: list[list[list[tuple[float, int]]]] = [[[] for _ in level] for level in self.levels]

        def known(level: int, node: int, left: int) -> tuple[float, float, int] | None:
            if node < 0:
                return -inf, inf, _NONE
            if level == depth:
                return (0, inf, 0) if left >= 0 else (-inf, 0, _NONE)
            at = bisect_right(starts[level][node], left) - 1
            if at >= 0 and left < ends[level][node][at][0]:
                return starts[level][node][at], *ends[level][node][at]
            return None

        # Not recursive: a network may have more sites than Python allows calls in each other.
        stack = [(0, 0, budget)]
        while stack:
            level, node, left = stack[-1]
            if known(level, node, left) is not None:
                stack.pop()
                continue
            pairs = list(zip(costs[level], self.levels[level][node], strict=True))
            below = [known(level + 1, child, left - cost) for cost, child in pairs]
            if None in below:
                waiting = (
                    (level + 1, child, left - cost) for (cost, child), one in zip(pairs, below, strict=True) if one is None
                )
                stack.extend(waiting)
                continue
            stack.pop()
            entries += len(pairs)
            if entries > most:
                return None
            found = [one for one in below if one is not None]
            children = tuple(child for _, _, child in found)
            low = max(low + cost for (cost, _), (low, _, _) in zip(pairs, found, strict=True))
            high = min(high + cost for (cost, _), (_, high, _) in zip(pairs, found, strict=True))
            index = _NONE if max(children) < 0 else nodes[level].setdefault(children, len(nodes[level]))
            at = bisect_right(starts[level][node], low)
            starts[level][node].insert(at, low)
            ends[level][node].insert(at, (high, index))
        return Diagram(tuple(map(tuple, nodes)))


def _reduced(levels: Sequence[Sequence[tuple[int, ...]]]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The same set without nodes that lead nowhere, and with equal nodes merged."""
    found: list[tuple[tuple[int, ...], ...]] = []
    renamed = [0]
    for level in reversed(levels):
        nodes: dict[tuple[int, ...], int] = {}
        names = []
        for node in level:
            children = tuple(renamed[child] if child >= 0 else _NONE for child in node)
            names.append(_NONE if max(children) < 0 else nodes.setdefault(children, len(nodes)))
        found.append(tuple(nodes))
        renamed = names
    return tuple(reversed(found))
