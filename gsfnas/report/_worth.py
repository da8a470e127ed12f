"""What a module at each site is worth: with 95 % intervals, from a model of the accuracy over all placements.

The worth of a site is the mean difference that a module there makes, over uniform placements: what stands at the other sites
is anything, each choice as often as any other. That of a pair is the interaction: by how much the difference that one makes
changes with the other. Of three models (``gsfnas.surrogate``) the one is used that best predicts candidates from the runs of
the others. All complete runs count, those that a sampler chose and replicates too: the model is conditional on what was run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from gsfnas.candidate import Candidate, Insertion
from gsfnas.report._effects import Effect
from gsfnas.seeds import derive
from gsfnas.surrogate import Choices, Matrix, Surrogate, surrogates

# A model of more runs would take minutes; of so many, few intervals are wide.
MAX_RUNS = 300
# Placements that a worth is averaged over: all of a space of at most so many, else so many random ones.
PLACEMENTS = 512
DRAWS = 2000
# Fewer complete runs say nothing about a site.
MIN_RUNS = 6
_LEVEL = 0.95


@dataclass(frozen=True)
class Run:
    """One run's candidate and accuracy."""

    candidate: Candidate
    value: float


@dataclass(frozen=True)
class Worth:
    """What sites and pairs of sites are worth, as fractions where the accuracy is one.

    ``model`` is the family that predicts best, empty where there are too few runs; ``r2`` are the leave-one-out R2 of all
    families. ``runs`` of ``candidates`` were used. ``pairs`` are interactions, named ``a + b``; empty where the runs are too
    few to have any. ``more_runs`` says for an undecided site about how many further runs would decide it, if it is worth what
    it seems. ``certainty`` is for the candidate asked about; None where there is no model.
    """

    model: str
    r2: Mapping[str, float]
    runs: int
    candidates: int
    sites: tuple[Effect, ...]
    pairs: tuple[Effect, ...] = ()
    more_runs: Mapping[str, int] = field(default_factory=dict)
    certainty: "Certainty | None" = None

    @property
    def decided(self) -> tuple[Effect, ...]:
        """The sites whose interval leaves out zero, the worthiest first."""
        return tuple(sorted((one for one in self.sites if one.is_clear), key=lambda one: -abs(one.value or 0.0)))


@dataclass(frozen=True)
class Certainty:
    """How sure it is that one of the candidates that ran is the best of them.

    ``is_best`` and ``is_near`` are probabilities: that none is better, and that none is better by more than ``near``.
    ``likeliest`` is the candidate that is most probably the best, ``likeliest_is_best`` that probability; it may be the one
    asked about.
    """

    is_best: float
    is_near: float
    near: float
    likeliest: Candidate
    likeliest_is_best: float


def worth_of(
    runs: Sequence[Run],
    sites: Sequence[str],
    *,
    is_fraction: bool = True,
    is_higher_better: bool = True,
    asked: Candidate | None = None,
    near: float = 0.01,
) -> Worth:
    """What each of ``sites`` is worth by the complete ``runs``; ``asked`` is the candidate whose certainty is wanted."""
    used = _chosen(runs)
    held = {name: sum(name in _sites_of(run.candidate) for run in used) for name in sites}
    unknown = tuple(Effect(name, None, None, None, held[name], len(used)) for name in sites)
    if len(used) < MIN_RUNS:
        return Worth("", {}, len(used), len({run.candidate for run in used}), unknown)
    choices, options = _encode([run.candidate for run in used], sites)
    values = np.array([run.value for run in used])
    ranked = surrogates(choices, values, are_fractions=is_fraction)
    generator = np.random.default_rng(derive("worth", len(used), len(sites)))
    model = ranked[0]
    points = _placements(options, generator)
    drawn = model.draws(points, DRAWS, generator)
    told = [index for index, name in enumerate(sites) if _is_told(choices[:, index])]
    effects, pairs = _contrasts(points, drawn, told, is_small=len(used) < 2 * len(told))
    found = {
        index: Effect(sites[index], *_interval(effect), held[sites[index]], len(used)) for index, effect in effects.items()
    }
    interactions = [
        Effect(f"{sites[one]} + {sites[other]}", *_interval(effect), _both(choices, one, other), len(used))
        for (one, other), effect in pairs.items()
    ]
    return Worth(
        model=model.family,
        r2={fit.family: fit.r2 for fit in ranked},
        runs=len(used),
        candidates=len(model.candidates),
        sites=tuple(found.get(index, unknown[index]) for index in range(len(sites))),
        pairs=tuple(sorted(interactions, key=_doubt)),
        more_runs={effect.name: more for effect in found.values() if (more := _more_runs(effect)) is not None},
        certainty=_certainty(model, used, choices, asked, near, 1 if is_higher_better else -1, generator),
    )


def _chosen(runs: Sequence[Run]) -> list[Run]:
    """All runs with a finite value, or so many of them, drawn at random."""
    known = [run for run in runs if math.isfinite(run.value)]
    if len(known) <= MAX_RUNS:
        return known
    kept = np.random.default_rng(derive("runs", len(known))).choice(len(known), MAX_RUNS, replace=False)
    return [known[index] for index in sorted(kept)]


def _sites_of(candidate: Candidate) -> set[str]:
    return {name for name, _ in candidate.insertions}


def _encode(candidates: Sequence[Candidate], sites: Sequence[str]) -> tuple[Choices, list[int]]:
    """Candidates as rows of choices, 0 for nothing, and the number of choices at each site, as far as they occur."""
    insertions = [dict(candidate.insertions) for candidate in candidates]
    columns, options = [], []
    for name in sites:
        seen: dict[Insertion, int] = {}
        for one in insertions:
            if name in one:
                seen.setdefault(one[name], len(seen) + 1)
        columns.append([seen[one[name]] if name in one else 0 for one in insertions])
        options.append(1 + len(seen))
    return np.array(columns, dtype=np.int64).reshape(len(sites), len(candidates)).T, options


def _is_told(column: Choices) -> bool:
    """Whether two runs have a module at a site and two have none."""
    held = int((column > 0).sum())
    return 2 <= held <= len(column) - 2


def _placements(options: Sequence[int], generator: np.random.Generator) -> Choices:
    """Uniform placements: all, or ``PLACEMENTS`` random ones."""
    if math.prod(options) <= PLACEMENTS:
        return np.array(list(np.ndindex(*options)), dtype=np.int64).reshape(-1, len(options))
    return np.stack([generator.integers(0, number, PLACEMENTS) for number in options], axis=1)


def _contrasts(
    points: Choices, drawn: Matrix, told: Sequence[int], *, is_small: bool
) -> tuple[dict[int, Matrix], dict[tuple[int, int], Matrix]]:
    """Draws of the worth of each site and of each pair's interaction.

    Over all placements a coefficient on an indicator that has mean 0 is the mean difference itself; over random ones least
    squares takes out what stands elsewhere by chance.
    """
    present = (points > 0).astype(float)
    present -= present.mean(axis=0)
    pairs = list(combinations(told, 2))
    columns = [present[:, index] for index in told]
    if is_small or 1 + len(told) + len(pairs) > len(points) // 2:
        pairs = []
    columns += [present[:, one] * present[:, other] for one, other in pairs]
    if not columns:
        return {}, {}
    design = np.column_stack([np.ones(len(points)), *columns])
    found = (drawn @ np.linalg.pinv(design).T)[:, 1:].T
    return dict(zip(told, found, strict=False)), dict(zip(pairs, found[len(told) :], strict=True))


def _interval(draws: Matrix) -> tuple[float, float, float]:
    """Mean and the quantiles that hold 95 %."""
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(draws.mean()), float(low), float(high)


def _both(choices: Choices, one: int, other: int) -> int:
    return int(((choices[:, one] > 0) & (choices[:, other] > 0)).sum())


def _doubt(effect: Effect) -> float:
    """Sorts the surest effect first."""
    low, value, high = (0.0 if one is None else one for one in (effect.low, effect.value, effect.high))
    return -abs(value) / max(high - low, 1e-12)


def _more_runs(effect: Effect) -> int | None:
    """About how many further runs would make the interval leave out zero, as its width falls with the root of their number.

    None for a decided site, and for one that is so near zero that no number of runs means anything.
    """
    if effect.is_clear or effect.value is None or effect.low is None or effect.high is None:
        return None
    half = (effect.high - effect.low) / 2
    if abs(effect.value) < half / 10:
        return None
    return max(1, math.ceil(effect.runs * ((half / abs(effect.value)) ** 2 - 1)))


def _certainty(
    model: Surrogate,
    runs: Sequence[Run],
    choices: Choices,
    asked: Candidate | None,
    near: float,
    sign: int,
    generator: np.random.Generator,
) -> Certainty | None:
    candidates = list(dict.fromkeys(run.candidate for run in runs))
    if asked is None or asked not in candidates or len(candidates) < 2 or len(candidates) > len(model.candidates):
        return None
    drawn = sign * model.draws(model.candidates, DRAWS, generator)
    index = candidates.index(asked)
    own, others = drawn[:, index], np.delete(drawn, index, axis=1)
    lead = others.max(axis=1) - own
    chances = np.bincount(drawn.argmax(axis=1), minlength=len(candidates)) / len(drawn)
    likeliest = int(chances.argmax())
    return Certainty(
        is_best=float((lead <= 0).mean()),
        is_near=float((lead <= near).mean()),
        near=near,
        likeliest=candidates[likeliest],
        likeliest_is_best=float(chances[likeliest]),
    )
