"""The effect of the options of an insertion on the accuracy, by least squares, with 95 % intervals.

The runs are those that no sampler chose, the balanced design and the anchors, where they tell the sites apart; otherwise all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsfnas.candidate import Candidate, Site
from gsfnas.modules import options

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


def factors_of(runs: Sequence[Run], sites: Mapping[str, Site | None], metric: str) -> tuple[Factor, ...]:
    """The effect on ``metric`` of each option that varies at one of ``sites`` (name -> site); runs without it are left out."""
    known = [run for run in runs if math.isfinite(run.metrics.get(metric, math.nan))]
    balanced = [run for run in known if run.is_balanced]
    design = np.array([[_holds(run.candidate, name) for name in sites] for run in balanced], dtype=float)
    design = design.reshape(len(balanced), len(sites))
    return _factors(known if _least_squares(design, _values(balanced, metric), spare=2) is None else balanced, sites, metric)


def _holds(candidate: Candidate, name: str) -> float:
    return float(any(site == name for site, _ in candidate.insertions))


def _values(runs: Sequence[Run], metric: str) -> Matrix:
    return np.array([run.metrics[metric] for run in runs], dtype=float)


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
