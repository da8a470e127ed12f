"""The effect of a module at each site on the accuracy: main effects with 95 % intervals.

They are estimated by least squares of the accuracy on one indicator per site (1 if there is a module), over the runs that no
sampler chose: the balanced design and the two anchors. In a balanced design, a site has a module equally often in runs with and
without a module at any other site. A main effect is therefore the difference at this site, averaged over the other sites. If
there are fewer runs than parameters + 2, or the indicators are linearly dependent, it is replaced by the difference of means
over all complete runs, with bootstrapped intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsfnas.candidate import Candidate, Site
from gsfnas.modules import options

RESAMPLES = 2000
# The effect of the share of channels is reported for a step of this size.
SHARE_STEP = 0.25

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One run, as effects are computed from it; ``is_balanced`` if no sampler chose the candidate."""

    candidate: Candidate
    metrics: Mapping[str, float]
    is_balanced: bool


@dataclass(frozen=True)
class Effect:
    """The effect of ``name`` on the metric, as a fraction; None if it cannot be estimated. ``held`` of ``runs`` runs had it."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    held: int
    runs: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Factor:
    """One varying option of the insertions (``gate``, ``fuse``): effects of its levels against ``reference``, per insertion."""

    name: str
    reference: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Effects:
    """Effects of sites, in depth order, and of the options that vary. ``freedom`` is 0 if least squares was not possible."""

    metric: str
    method: str
    source: str
    runs: int
    parameters: int
    freedom: int
    residual_std: float | None
    sites: tuple[Effect, ...]
    factors: tuple[Factor, ...]

    @property
    def is_least_squares(self) -> bool:
        return self.method == "least squares"


def effects_of(runs: Sequence[Run], sites: Mapping[str, Site | None], metric: str) -> Effects:
    """Main effects of ``sites`` (name -> site, in depth order) on ``metric``; runs without the metric are left out."""
    known = [run for run in runs if math.isfinite(run.metrics.get(metric, math.nan))]
    balanced = [run for run in known if run.is_balanced]
    design = _column(balanced, [_holds(run.candidate, name) for run in balanced for name in sites], len(sites))
    fit = _least_squares(design, _values(balanced, metric), spare=2)
    if fit is not None:
        value, half, freedom, deviation = fit
        held = design.sum(axis=0)
        rows = [
            Effect(name, value[i + 1], value[i + 1] - half[i + 1], value[i + 1] + half[i + 1], int(held[i]), len(balanced))
            for i, name in enumerate(sites)
        ]
        method, source, used = "least squares", "the balanced design and the anchors", balanced
    else:
        rows = [_mean_difference(known, name, metric) for name in sites]
        method, source, used, freedom, deviation = "difference of means", "all complete runs", known, 0, None
    return Effects(
        metric=metric,
        method=method,
        source=source,
        runs=len(used),
        parameters=len(sites) + 1,
        freedom=freedom,
        residual_std=deviation,
        sites=tuple(rows),
        factors=_factors(used, sites, metric),
    )


def _holds(candidate: Candidate, name: str) -> float:
    return float(any(site == name for site, _ in candidate.insertions))


def _values(runs: Sequence[Run], metric: str) -> Matrix:
    return np.array([run.metrics[metric] for run in runs], dtype=float)


def _column(runs: Sequence[Run], values: Sequence[float], width: int) -> Matrix:
    return np.array(values, dtype=float).reshape(len(runs), width)


def _least_squares(columns: Matrix, values: Matrix, spare: int) -> tuple[list[float], list[float], int, float] | None:
    """Coefficients (the intercept first), half-widths of their 95 % intervals, degrees of freedom, residual deviation.

    None if there are fewer rows than parameters + ``spare``, or the columns are linearly dependent.
    """
    design = np.column_stack([np.ones(len(values)), columns])
    rows, parameters = design.shape
    if rows < parameters + spare or np.linalg.matrix_rank(design) < parameters:
        return None
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    freedom = rows - parameters
    variance = float(((values - design @ coefficients) ** 2).sum()) / freedom
    errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    half = errors * stats.t.ppf(0.975, freedom)
    return [float(one) for one in coefficients], [float(one) for one in half], freedom, math.sqrt(variance)


def _mean_difference(runs: Sequence[Run], name: str, metric: str) -> Effect:
    """Mean with minus mean without, and bootstrap quantiles (2.5 %, 97.5 %); None unless there are two runs of each."""
    values = _values(runs, metric)
    held = np.array([_holds(run.candidate, name) for run in runs], dtype=bool)
    with_it, without = values[held], values[~held]
    if min(len(with_it), len(without)) < 2:
        return Effect(name, None, None, None, len(with_it), len(runs))
    generator = np.random.default_rng(0)
    drawn = [generator.choice(group, (RESAMPLES, len(group))).mean(axis=1) for group in (with_it, without)]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return Effect(name, float(with_it.mean() - without.mean()), float(low), float(high), len(with_it), len(runs))


def _factors(runs: Sequence[Run], sites: Mapping[str, Site | None], metric: str) -> tuple[Factor, ...]:
    """One least squares per option: on the number of insertions, and on how many have each level other than the reference."""
    described = [[options(sites.get(site), insertion) for site, insertion in run.candidate.insertions] for run in runs]
    names = _varying(runs, sites)
    factors = []
    for name in names:
        held = [[insertion[name] for insertion in run if name in insertion] for run in described]
        levels = sorted({level for run in held for level in run}, key=lambda level: (isinstance(level, str), str(level)))
        counts = [len(run) for run in described]
        if name == "channels":
            columns = [[sum(float(level) for level in run) / SHARE_STEP for run in held]]
            tested = [f"+{SHARE_STEP:.0%} of the channels".replace("%", " %")]
            reference = "the same sites"
        else:
            # The reference is the most frequent level; of equally frequent ones the first by name.
            chosen = max(levels, key=lambda level: sum(run.count(level) for run in held))
            rest = [level for level in levels if level != chosen]
            columns = [[float(run.count(level)) for run in held] for level in rest]
            tested, reference = [str(level) for level in rest], str(chosen)
        design = np.array([counts, *columns], dtype=float).T.reshape(len(runs), 1 + len(columns))
        fit = _least_squares(design, _values(runs, metric), spare=2)
        effects = []
        for index, level in enumerate(tested):
            having = sum(1 for column in columns[index] if column)
            value, half = (None, None) if fit is None else (fit[0][index + 2], fit[1][index + 2])
            low, high = (None, None) if value is None or half is None else (value - half, value + half)
            effects.append(Effect(level, value, low, high, having, len(runs)))
        factors.append(Factor(name, reference, tuple(effects)))
    return tuple(factors)


def _varying(runs: Sequence[Run], sites: Mapping[str, Site | None]) -> list[str]:
    """The options that vary at one and the same site. One that varies between sites only is confounded with the site."""
    seen: dict[str, dict[str, set[str | float]]] = {}
    for run in runs:
        for site, insertion in run.candidate.insertions:
            for name, level in options(sites.get(site), insertion).items():
                seen.setdefault(name, {}).setdefault(site, set()).add(level)
    return [name for name, levels in seen.items() if any(len(found) > 1 for found in levels.values())]
