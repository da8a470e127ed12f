import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from gsfnas.samplers import Design, History, anchors
from gsfnas.samplers._balanced import balanced_design, correlation
from gsfnas.testing.fake import make_space


@pytest.mark.parametrize(
    ("levels", "size"), [([2] * 8, 12), ([2] * 16, 12), ([3, 2, 5, 2], 20), ([31] * 5, 25), ([2, 1, 2], 3)]
)
def test_levels_are_balanced_and_points_distinct(levels, size):
    points = balanced_design(levels, size, seed=3)
    assert len(points) == size == len(set(points))
    for column, count in enumerate(levels):
        counts = Counter(point[column] for point in points)
        held = [counts[level] for level in range(count)]
        assert max(held) - min(held) <= 1


def test_columns_are_less_correlated_than_chance_and_never_equal():
    levels = [2] * 8
    points = balanced_design(levels, 12, seed=0)
    generator = np.random.default_rng(0)
    half = np.array([0] * 6 + [1] * 6)
    chance = [correlation(levels, np.stack([generator.permutation(half) for _ in levels], 1).tolist()) for _ in range(200)]
    assert correlation(levels, points) < np.quantile(chance, 0.01)
    table = np.corrcoef(np.array(points).T)
    assert np.abs(table - np.eye(8)).max() < 0.7


def test_correlation_of_an_orthogonal_and_of_a_repeated_design():
    assert correlation([2, 2], list(itertools.product([0, 1], repeat=2))) == pytest.approx(0)
    assert correlation([3, 3], [(i, i) for i in range(3)]) == pytest.approx(1)


def test_a_seed_gives_one_design():
    assert balanced_design([2] * 8, 12, seed=1) == balanced_design([2] * 8, 12, seed=1)
    assert balanced_design([2] * 8, 12, seed=1) != balanced_design([2] * 8, 12, seed=2)


def test_what_is_taken_is_not_designed_again():
    taken = [point for point in itertools.product([0, 1], repeat=4) if sum(point) != 2]
    points = balanced_design([2] * 4, 5, seed=0, taken=taken)
    assert len(set(points)) == 5
    assert all(sum(point) == 2 for point in points)


def test_a_space_smaller_than_the_design_is_designed_whole():
    assert sorted(balanced_design([2, 2], 10, seed=0, taken=[(0, 0)])) == [(0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("trials", [4, 10, 24, 40])
def test_an_extended_design_keeps_its_points_and_its_balance(trials):
    space = make_space(6)
    design, begun = Design(0.5), History(space, seed=0, trials=trials, num_seeds=1, budget=1)
    first = design.plan(begun)
    assert len(first) == design.num_points(space, trials)
    assert not {space.decode(dict(zip((s.name for s in space.sites), point, strict=True))) for point in first} & set(
        anchors(space)
    )
    more = design.plan(replace(begun, trials=trials + 12, points=first))
    assert more[: len(first)] == first
    assert len(set(more)) == len(more) == design.num_points(space, trials + 12)
    if trials == 24:
        for column in range(6):
            assert abs(2 * sum(point[column] for point in more) - len(more)) <= 2
