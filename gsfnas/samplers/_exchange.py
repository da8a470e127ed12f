"""An initial design within the rules and bounds of a space, where the levels of a column cannot be permuted freely.

Points are chosen from random members of the space by exchange (Fedorov 1972, "Theory of Optimal Experiments"): a chosen point
is replaced by the one that makes the design best, as long as that improves it. The design with the smallest discrepancy is best
(Hickernell and Liu 2002, "Uniform designs limit aliasing"): the sum of exp(k / sqrt(columns)) over all pairs of points, where k
is the inner product of their centred indicators. Its first order is small where levels are equally frequent, its second where
columns are uncorrelated. The exponential in place of their kernel is ours.
"""

import itertools
import random
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from gsfnas.samplers.base import Point
from gsfnas.space import RestrictedSpace

# Random members that a design is chosen from; a smaller space is listed completely.
_POOL = 2000
_ROUNDS = 20
# Only points that are nearly equal are more alike.
_MAX_EXPONENT = 500


def exchange_design(
    space: RestrictedSpace, size: int, *, seed: int, fixed: Sequence[Point] = (), taken: Collection[Point] = ()
) -> list[Point]:
    """``size`` more points of the space, chosen together with ``fixed``; a point has the index of an option for each site.

    No point is in ``fixed`` or ``taken``; if fewer than ``size`` are found, these are returned. Deterministic in ``seed``.
    """
    generator = random.Random(seed)
    if space.size_interval is None and space.size <= _POOL:
        members = list(space)
        generator.shuffle(members)
    else:
        members = [space.sample(generator) for _ in range(_POOL + size)]
    without = {*taken, *fixed}
    codes = (space.encode(candidate) for candidate in members)
    points = (tuple(code[site.name] for site in space.sites) for code in codes)
    pool = [point for point in dict.fromkeys(points) if point not in without]
    if len(pool) <= size:
        return pool
    embedded, offset = _embedding([*fixed, *pool], [len(options) for options in space.options])
    num_columns = sum(len(options) > 1 for options in space.options)
    known, others = embedded[: len(fixed)], embedded[len(fixed) :]
    chosen = list(range(size))
    for _, row in itertools.product(range(_ROUNDS), range(size)):
        rest = chosen[:row] + chosen[row + 1 :]
        likeness = others @ np.concatenate([known, others[rest]]).T - offset
        costs = np.exp(np.minimum(likeness / np.sqrt(num_columns), _MAX_EXPONENT)).sum(axis=1)
        costs[rest] = np.inf
        best = int(np.argmin(costs))
        if costs[best] < costs[chosen[row]] - 1e-9:
            chosen[row] = best
    return [pool[index] for index in chosen]


def _embedding(points: Sequence[Point], num_levels: Sequence[int]) -> tuple[NDArray[np.float64], float]:
    """Vectors, and an offset, whose inner products minus that are those of the points' centred indicators.

    A column's indicators are scaled as in the balanced design, so that all columns count the same.
    """
    table = np.array(points, dtype=np.int64)
    columns = [column for column, count in enumerate(num_levels) if count > 1]
    scales = {column: 1 / np.sqrt(num_levels[column] - 1) for column in columns}
    vectors = [
        (table[:, column, None] == np.arange(num_levels[column])) * np.sqrt(num_levels[column] * scales[column])
        for column in columns
    ]
    return np.concatenate(vectors, axis=1), float(sum(scales.values()))
