"""Optuna's samplers, restricted to new candidates.

The sampler sees an in-memory copy of the study with its complete and running trials. If it suggests a candidate again, or one
that the rules or the bounds of the space do not allow, that trial fails and it is asked again, so neither is ever recorded,
trained or counted.
"""

import itertools
import random
import warnings
from abc import abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gsfnas.candidate import Candidate
from gsfnas.errors import UserError, shown
from gsfnas.metrics import accuracy_of
from gsfnas.record import Record, pareto_front, values_for_optuna
from gsfnas.samplers._anchors import distinct_candidates
from gsfnas.samplers.base import History, Proposal, Sampler
from gsfnas.seeds import derive
from gsfnas.space import BoundSpace, RestrictedSpace

if TYPE_CHECKING:
    import optuna

_ASKS = 20
# Draws from a space whose size is an estimate, before it counts as exhausted.
_DRAWS = 2000


class OptunaSampler(Sampler, Protocol):
    """Asks a sampler of Optuna, which a subclass creates.

    With fewer than two complete runs, a random sampler is asked instead. If no suggestion is new and in the space, the proposal
    is a random neighbour of the Pareto front, or else a random new candidate.
    """

    def propose(self, history: History, asked: Collection[Proposal]) -> Proposal | None:
        seen = {proposal.candidate for proposal in asked}
        if not history.wants_candidates or len(seen) >= distinct_candidates(history.space):
            return None
        found = self._ask(history, seen) or _unseen(history, seen)
        return None if found is None else Proposal(found, 0, history.budget)

    @abstractmethod
    def make(self, seed: int, complete: int) -> "optuna.samplers.BaseSampler":
        """Creates the sampler for one proposal, which has its own ``seed``; ``complete`` (at least 2) counts complete runs."""

    def _ask(self, history: History, seen: set[Candidate]) -> Candidate | None:
        """The first new candidate of the space that the sampler suggests; None if there is none in ``_ASKS`` tries."""
        import optuna
        from optuna.trial import TrialState

        space = history.space
        seed = derive("proposal", history.seed, len(seen))
        complete = sum(record.outcome == "complete" for record in history.records)
        sampler = optuna.samplers.RandomSampler(seed=seed) if complete < 2 else self.make(seed, complete)
        maximize, minimize = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        directions = [maximize if metric.better == "higher" else minimize for metric in history.objectives]
        study = optuna.create_study(directions=directions, sampler=sampler)
        known = (
            record for record in history.records if record.outcome in ("complete", "running") and record.candidate in space
        )
        study.add_trials(_trial(record, history) for record in known)
        for _ in range(_ASKS):
            trial = study.ask()
            candidate = space.suggest(trial)
            if candidate not in seen and candidate in space:
                return candidate
            study.tell(trial, state=TrialState.FAIL)
        return None


@dataclass(frozen=True)
class Random(OptunaSampler):
    """Samples uniformly from the space, also within its rules and bounds."""

    def _ask(self, history: History, seen: set[Candidate]) -> Candidate | None:
        if not isinstance(history.space, RestrictedSpace):
            return super()._ask(history, seen)
        generator = random.Random(derive("proposal", history.seed, len(seen)))
        return next(_new_draws(history.space, generator, seen), None)

    def make(self, seed: int, complete: int) -> "optuna.samplers.BaseSampler":
        from optuna import samplers

        return samplers.RandomSampler(seed=seed)


@dataclass(frozen=True)
class TPE(OptunaSampler):
    """Optuna's tree-structured Parzen estimator.

    ``multivariate`` models all sites jointly; ``candidates`` is the number of candidates drawn and compared per proposal.
    """

    multivariate: bool = True
    candidates: int = 24

    def __post_init__(self) -> None:
        _check_at_least(1, "sampler.candidates", self.candidates)

    def make(self, seed: int, complete: int) -> "optuna.samplers.BaseSampler":
        from optuna import samplers
        from optuna.exceptions import ExperimentalWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return samplers.TPESampler(
                multivariate=self.multivariate, n_startup_trials=2, n_ei_candidates=self.candidates, seed=seed
            )


@dataclass(frozen=True)
class NSGA2(OptunaSampler):
    """Optuna's NSGA-II, with a population of up to ``population`` complete runs.

    A study here has tens of trials, too few for many generations, so all complete runs form one generation, and each proposal
    is a child of it.
    """

    population: int = 20

    def __post_init__(self) -> None:
        _check_at_least(2, "sampler.population", self.population)

    def make(self, seed: int, complete: int) -> "optuna.samplers.BaseSampler":
        from optuna import samplers

        return samplers.NSGAIISampler(population_size=min(self.population, complete), seed=seed)


def _check_at_least(least: int, name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"`{name}` must be an integer of at least {least}, but got {shown(value)}")


def _trial(record: Record, history: History) -> "optuna.trial.FrozenTrial":
    from optuna.distributions import CategoricalDistribution
    from optuna.samplers import NSGAIISampler
    from optuna.trial import TrialState, create_trial

    is_complete = record.outcome == "complete"
    space = history.space
    return create_trial(
        state=TrialState.COMPLETE if is_complete else TrialState.RUNNING,
        values=values_for_optuna(record, history.objectives) if is_complete else None,
        params=space.encode(record.candidate),
        distributions={
            site.name: CategoricalDistribution(tuple(range(len(options))))
            for site, options in zip(space.sites, space.options, strict=True)
        },
        system_attrs={NSGAIISampler._get_generation_key(): 0},
    )


def _unseen(history: History, seen: set[Candidate]) -> Candidate | None:
    """A new neighbour of the Pareto front, or else any new candidate; None if none is found."""
    space = history.space
    generator = random.Random(derive("neighbour", history.seed, len(seen)))
    accuracy = accuracy_of(history.objectives)
    front = pareto_front(history.records, history.objectives)
    for record in sorted(front, key=lambda record: accuracy.loss(record.value(accuracy))):
        if record.candidate in space:
            fresh = [candidate for candidate in space.neighbours(record.candidate) if candidate not in seen]
            if fresh:
                return generator.choice(fresh)
    if space.size_interval is not None:
        # Listing what is within the bounds could take forever.
        return next(_new_draws(space, generator, seen, _DRAWS), None)
    return next(itertools.chain(_new_draws(space, generator, seen), (one for one in space if one not in seen)))


def _new_draws(space: BoundSpace, generator: random.Random, seen: set[Candidate], number: int = _ASKS) -> Iterator[Candidate]:
    """Those of a number of random candidates that are new."""
    draws = (space.sample(generator) for _ in range(number))
    return (candidate for candidate in draws if candidate not in seen)
