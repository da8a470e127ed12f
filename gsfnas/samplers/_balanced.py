"""A balanced initial design: levels of a column equally frequent, columns nearly uncorrelated, no point repeated.

A point is a row, a site is a column, and the choices at a site are its levels. Each column starts balanced and is then only
permuted, so it stays balanced. Values of a column are exchanged between rows as long as that lowers the sum of squared
correlations between columns. These are computed from indicators of the levels, so a column may have any number of levels. The
best of several random starts is kept. After Joseph and Hung (2008), "Orthogonal-maximin Latin hypercube designs", but exchanges
that increase the correlation are never made.
"""

import itertools
import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, ...]

_STARTS = 8
_EXCHANGES = 4000


def balanced_design(
    levels: Sequence[int], size: int, *, seed: int, fixed: Sequence[Point] = (), taken: Collection[Point] = ()
) -> list[Point]:
    """``size`` more points, balanced together with ``fixed``; column j has the levels 0, 1, ..., ``levels[j]`` - 1.

    No point is in ``fixed`` or ``taken``; if fewer than ``size`` are left, all of them are returned. Deterministic in ``seed``.
    """
    taken = set(taken) | set(fixed)
    left = math.prod(levels) - len(taken)
    if left <= size:
        return [point for point in itertools.product(*map(range, levels)) if point not in taken]
    generator = np.random.default_rng(seed)
    best: tuple[float, list[Point]] | None = None
    for _ in range(_STARTS):
        table = _balanced_columns(levels, size, fixed, generator)
        _exchange(table, levels, len(fixed), generator)
        points = _distinct(table[len(fixed) :], levels, taken, generator)
        score = correlation(levels, [*fixed, *points])
        if best is None or score < best[0]:
            best = score, points
    assert best is not None
    return best[1]


def correlation(levels: Sequence[int], points: Sequence[Point]) -> float:
    """The mean squared correlation between columns: 0 for an orthogonal design, 1 if all columns are the same."""
    table = np.array(points, dtype=np.int64)
    kernels = [_kernel(table[:, column], count) for column, count in enumerate(levels) if count > 1]
    if len(kernels) < 2:
        return 0.0
    pairs = [float((first * second).sum()) for first, second in itertools.combinations(kernels, 2)]
    return sum(pairs) / len(pairs) / len(points) ** 2


def _kernel(column: NDArray[np.int64], levels: int) -> NDArray[np.float64]:
    """Inner products of the rows' centred indicators, (rows, rows), scaled so that a column's correlation with itself is 1."""
    same: NDArray[np.float64] = (column[:, None] == column[None, :]).astype(np.float64)
    scale: float = math.sqrt(levels - 1)
    return (same * levels - 1) / scale


def _balanced_columns(
    levels: Sequence[int], size: int, fixed: Sequence[Point], generator: np.random.Generator
) -> NDArray[np.int64]:
    """``fixed`` and ``size`` more rows in random order; levels are equally frequent in each column, as far as possible."""
    table = np.zeros((len(fixed) + size, len(levels)), dtype=np.int64)
    table[: len(fixed)] = np.array(fixed, dtype=np.int64).reshape(len(fixed), len(levels))
    for column, count in enumerate(levels):
        counts = np.bincount(table[: len(fixed), column], minlength=count)
        order = generator.permutation(count)
        for row in range(len(fixed), len(table)):
            rarest = order[np.argmin(counts[order])]
            table[row, column] = rarest
            counts[rarest] += 1
        generator.shuffle(table[len(fixed) :, column])
    return table


def _exchange(table: NDArray[np.int64], levels: Sequence[int], first: int, generator: np.random.Generator) -> None:
    """Exchanges values within columns, in place, while that lowers the correlations; rows before ``first`` are kept."""
    columns = [column for column, count in enumerate(levels) if count > 1]
    if len(columns) < 2:
        return
    kernels = {column: _kernel(table[:, column], levels[column]) for column in columns}
    total = sum(kernels.values())
    assert isinstance(total, np.ndarray)
    pairs = np.array(list(itertools.combinations(range(first, len(table)), 2)))
    budget = _EXCHANGES
    improved = True
    while improved and budget > 0:
        improved = False
        for column in generator.permutation(columns):
            kernel = kernels[column]
            others = total - kernel
            for row, other in generator.permutation(pairs)[: max(1, budget)]:
                budget -= 1
                if table[row, column] == table[other, column]:
                    continue
                change = (kernel[other] - kernel[row]) * (others[row] - others[other])
                if change.sum() - change[row] - change[other] < -1e-9:
                    table[[row, other], column] = table[[other, row], column]
                    kernel = _kernel(table[:, column], levels[column])
                    improved = True
            total = others + kernel
            kernels[column] = kernel


def _distinct(
    table: NDArray[np.int64], levels: Sequence[int], taken: Collection[Point], generator: np.random.Generator
) -> list[Point]:
    """The rows of the table, made distinct: a repeated one exchanges a value with another row, or else is replaced."""
    rows = [tuple(int(value) for value in row) for row in table]
    for index in range(len(rows)):
        if rows[index] not in taken and rows.count(rows[index]) == 1:
            continue
        if not _part(rows, index, taken):
            counts = [np.bincount([row[column] for row in rows], minlength=count) for column, count in enumerate(levels)]
            rows[index] = _rarest(levels, counts, {*taken, *rows}, generator)
    return rows


def _part(rows: list[Point], index: int, taken: Collection[Point]) -> bool:
    """Exchanges one value of row ``index`` with another row, so that both become new points; False if that is impossible."""
    for other, column in itertools.product(range(len(rows)), range(len(rows[index]))):
        here, there = list(rows[index]), list(rows[other])
        if here[column] == there[column]:
            continue
        here[column], there[column] = there[column], here[column]
        new = {tuple(here), tuple(there)}
        rest = {row for number, row in enumerate(rows) if number not in (index, other)}
        if len(new) == 2 and not new & (rest | set(taken)):
            rows[index], rows[other] = tuple(here), tuple(there)
            return True
    return False


def _rarest(
    levels: Sequence[int], counts: list[NDArray[np.int64]], taken: Collection[Point], generator: np.random.Generator
) -> Point:
    """A point that is not taken: the one with the rarest levels among 300 random ones."""
    tries = (tuple(int(generator.integers(count)) for count in levels) for _ in range(300))
    free = [point for point in tries if point not in taken]
    if not free:
        free = [next(point for point in itertools.product(*map(range, levels)) if point not in taken)]
    return min(free, key=lambda point: (sum(int(counts[column][level]) for column, level in enumerate(point)), point))
