"""Restricts a space to the candidates within bounds, with the costs that a study records."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gsfnas.candidate import Candidate, Insertion, Site
from gsfnas.errors import UserError, unknown
from gsfnas.samplers import distinct_candidates
from gsfnas.space import Bound, BoundRows, BoundSpace, Limit, is_within, limits_text, restricted

Priced = Mapping[str, int | float]


def within_bounds(space: BoundSpace, bounds: Sequence[Bound], price: Callable[[Candidate], Priced]) -> BoundSpace:
    """The candidates of a space that are within bounds; the space itself if there are none.

    ``price`` gives the metrics of a candidate by their keys. It is asked for one candidate for each option of each site, since
    costs add up over the sites. Raises UserError if nothing is within the bounds (naming the nearest feasible value), and for a
    metric that is not priced or does not add up.
    """
    if not bounds:
        return space
    if isinstance(space, BoundRows):
        return _rows_within(space, bounds, price)
    base = _priced(space.empty, bounds, price)

    def added(site: Site, option: Insertion | None) -> Priced:
        """What an option adds to each metric."""
        if option is None:
            return dict.fromkeys(base, 0)
        alone = _priced(replace(space.empty, insertions=((site.name, option),)), bounds, price)
        return {metric: alone[metric] - base[metric] for metric in base}

    costs = [[added(site, option) for option in options] for site, options in zip(space.sites, space.options, strict=True)]
    limits = [
        Limit.of(bound, base[bound.metric], [[cost[bound.metric] for cost in options] for options in costs]) for bound in bounds
    ]
    _check_additive(space, base, costs, price)
    return restricted(space, limits)


def priced_with(
    price: Callable[[Candidate], Priced], estimate: Callable[[Candidate], Priced] | None
) -> Callable[[Candidate], Priced]:
    """All metrics that are known before training: counted costs, and estimates if there are any."""
    return price if estimate is None else lambda candidate: {**price(candidate), **estimate(candidate)}


def check_enough(space: BoundSpace, trials: int) -> None:
    """Raises UserError if bounds leave a space with fewer candidates than ``trials``; without bounds, a study just ends."""
    count = distinct_candidates(space)
    if space.bounds and not isinstance(space, BoundRows) and count < trials:
        most = "" if space.size_interval is None else "at most "
        are = "candidate is" if count == 1 else "candidates are"
        raise UserError(
            f"study.trials={trials}, but of space {space.name!r} {most}{count:,} {are} within {limits_text(space.bounds)}; "
            "ask for fewer trials, or loosen the bounds"
        )


def left_out(space: BoundSpace, within: BoundSpace) -> list[str]:
    """A line for each anchor or named candidate of a space that is not in ``within``, which is that space within bounds."""
    if isinstance(space, BoundRows):
        named = {candidate: f"row {name!r}" for name, candidate in space.rows}
    else:
        named = {space.full: "the full candidate"} | {space.empty: "the empty candidate"}
    bounds = limits_text(within.bounds)
    return [f"{name} is left out: it is not within {bounds}" for one, name in named.items() if not within.is_within(one)]


def _check_additive(
    space: BoundSpace, base: Priced, costs: Sequence[Sequence[Priced]], price: Callable[[Candidate], Priced]
) -> None:
    """Raises UserError if a metric of the full candidate, or of a random one, is not the sum over its sites."""
    for candidate in (space.full, space.sample(random.Random(0))):
        held, whole = dict(candidate.insertions), price(candidate)
        parts = [
            cost[options.index(held[site.name])]
            for site, options, cost in zip(space.sites, space.options, costs, strict=True)
            if site.name in held
        ]
        for metric, value in base.items():
            if not math.isclose(whole[metric], value + sum(part[metric] for part in parts), rel_tol=1e-9):
                raise UserError(
                    f"{metric} does not add up over the sites of {space.backbone}, so a space cannot be bounded by it"
                )


def _rows_within(space: BoundRows, bounds: Sequence[Bound], price: Callable[[Candidate], Priced]) -> BoundRows:
    priced = {candidate: _priced(candidate, bounds, price) for candidate in space.candidates}
    rows = tuple((name, candidate) for name, candidate in space.rows if is_within(bounds, priced[candidate]))
    if not rows:
        metric = bounds[0].metric
        values = sorted(one[metric] for one in priced.values())
        raise UserError(
            f"no row of space {space.name!r} is within {limits_text(bounds)}; {metric} of its rows: {values[0]} to {values[-1]}"
        )
    fields = (space.name, space.backbone, space.frames, space.resolution, space.sites, space.options)
    return BoundRows(*fields, rows, (*space.bounds, *bounds))


def _priced(candidate: Candidate, bounds: Sequence[Bound], price: Callable[[Candidate], Priced]) -> dict[str, int | float]:
    """The bounded metrics of a candidate. Raises UserError for one that is not priced."""
    found = price(candidate)
    for bound in bounds:
        if bound.metric not in found:
            raise unknown("metric", bound.metric, found)
    return {bound.metric: found[bound.metric] for bound in bounds}
