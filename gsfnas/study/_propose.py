"""Which candidate comes next: a pure function of the study's seed and what is known.

So an interrupted study goes on as it would have.

The sampler sees a copy of the study in memory, made of finished and running trials, and is asked again where it repeats a
point: a duplicate is never written, trained or counted. NSGA-II's population is all that is complete (a generation of any
size, the next one child at a time), since a study here has tens of trials and not hundreds of generations.
"""

import itertools
import random
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gsfnas.candidate import Candidate
from gsfnas.record import Phase, Record, pareto_front
from gsfnas.space import BoundRows, BoundSpace
from gsfnas.study._design import Point, balanced_design
from gsfnas.study._seeds import derive
from gsfnas.study._settings import StudySettings

if TYPE_CHECKING:
    import optuna

_ASKS = 20
_POPULATION = 20


def anchors(space: BoundSpace) -> tuple[Candidate, ...]:
    """The empty and the full candidate; one where they are the same. None of a space of rows, which says all that it asks."""
    return () if isinstance(space, BoundRows) else tuple(dict.fromkeys([space.empty, space.full]))


def distinct_candidates(space: BoundSpace) -> int:
    """How many candidates a study of ``space`` can evaluate: the space, and the empty candidate where it is outside."""
    return space.size + sum(candidate not in space for candidate in anchors(space))


def num_design(settings: StudySettings, space: BoundSpace) -> int:
    """Points of the balanced design, beside the anchors; rows are no design."""
    if isinstance(space, BoundRows):
        return 0
    room = min(settings.trials, distinct_candidates(space)) - len(anchors(space))
    return max(0, min(room, round(settings.trials * settings.design_share)))


def extend_design(settings: StudySettings, space: BoundSpace, known: Sequence[Point], seen: Iterable[Candidate]) -> list[Point]:
    """The design so far and what it lacks for ``settings.trials``: indices into the space's options, one a site.

    New points are balanced together with those known and repeat nothing that was evaluated.
    """
    missing = num_design(settings, space) - len(known)
    points = [tuple(point) for point in known]
    if missing <= 0:
        return points
    taken = {_point(space, candidate) for candidate in {*seen, *anchors(space)} if candidate in space}
    levels = [len(options) for options in space.options]
    seed = derive("design", settings.seed, len(known))
    return points + balanced_design(levels, missing, seed=seed, fixed=points, taken=taken - set(points))


def num_known(settings: StudySettings, num_records: int) -> int:
    """Of how many records, in the order in which they began, the results may decide what comes next.

    Those that may still run when a worker asks are left out, whether they run or not: so it does not matter how many workers
    there are and which is faster.
    """
    return max(0, num_records - max(settings.delay, settings.workers - 1))


def propose(
    settings: StudySettings, space: BoundSpace, design: Sequence[Point], records: Sequence[Record]
) -> tuple[Candidate, Phase] | None:
    """The next candidate that no record holds, and how it came to be chosen; None where the space is exhausted.

    ``records`` are in the order in which they began; for a proposal of the sampler the first ``num_known`` must have ended.
    """
    seen = {record.candidate for record in records}
    known = num_known(settings, len(records))
    records = [*records[:known], *(replace(record, outcome="running", metrics={}) for record in records[known:])]
    if isinstance(space, BoundRows):
        return next(((candidate, "row") for candidate in space.candidates if candidate not in seen), None)
    for candidate in anchors(space):
        if candidate not in seen:
            return candidate, "anchor"
    for point in design:
        candidate = _decode(space, point)
        if candidate not in seen:
            return candidate, "design"
    if len(seen) >= distinct_candidates(space):
        return None
    return _ask(settings, space, records, seen) or _unseen(settings, space, records, seen), "search"


def _ask(settings: StudySettings, space: BoundSpace, records: Sequence[Record], seen: set[Candidate]) -> Candidate | None:
    """What the sampler suggests, asked a bounded number of times for something new."""
    import optuna
    from optuna.trial import TrialState

    sampler = _sampler(settings, derive("proposal", settings.seed, len(seen)), records)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.add_trials(_trial(record, space) for record in records if record.outcome != "failed" and record.candidate in space)
    for _ in range(_ASKS):
        trial = study.ask()
        candidate = space.suggest(trial)
        if candidate not in seen:
            return candidate
        study.tell(trial, state=TrialState.FAIL)
    return None


def _sampler(settings: StudySettings, seed: int, records: Sequence[Record]) -> "optuna.samplers.BaseSampler":
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    complete = sum(record.outcome == "complete" for record in records)
    if settings.sampler == "random" or complete < 2:
        return samplers.RandomSampler(seed=seed)
    if settings.sampler == "nsga2":
        return samplers.NSGAIISampler(population_size=min(_POPULATION, complete), seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return samplers.TPESampler(multivariate=True, n_startup_trials=2, seed=seed)


def _trial(record: Record, space: BoundSpace) -> "optuna.trial.FrozenTrial":
    from optuna.distributions import CategoricalDistribution
    from optuna.samplers import NSGAIISampler
    from optuna.trial import TrialState, create_trial

    is_complete = record.outcome == "complete"
    return create_trial(
        state=TrialState.COMPLETE if is_complete else TrialState.RUNNING,
        values=[record.top1, record.gmacs] if is_complete else None,
        params=space.encode(record.candidate),
        distributions={
            site.name: CategoricalDistribution(tuple(range(len(options))))
            for site, options in zip(space.sites, space.options, strict=True)
        },
        system_attrs={NSGAIISampler._get_generation_key(): 0},
    )


def _unseen(settings: StudySettings, space: BoundSpace, records: Sequence[Record], seen: set[Candidate]) -> Candidate:
    """A neighbour of the front, else any candidate that was not seen; there is one."""
    generator = random.Random(derive("neighbour", settings.seed, len(seen)))
    for record in sorted(pareto_front(records), key=lambda record: -record.top1):
        if record.candidate in space:
            fresh = [candidate for candidate in space.neighbours(record.candidate) if candidate not in seen]
            if fresh:
                return generator.choice(fresh)
    tries = (space.sample(generator) for _ in range(_ASKS))
    return next(candidate for candidate in itertools.chain(tries, space) if candidate not in seen)


def _point(space: BoundSpace, candidate: Candidate) -> Point:
    indices = space.encode(candidate)
    return tuple(indices[site.name] for site in space.sites)


def _decode(space: BoundSpace, point: Iterable[Any]) -> Candidate:
    return space.decode(dict(zip((site.name for site in space.sites), map(int, point), strict=True)))
