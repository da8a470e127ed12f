"""Tests that every sampler must pass. Inherit ``SamplerConformance`` and provide the sampler:

    class TestMine(SamplerConformance):
        @pytest.fixture
        def sampler(self):
            return Mine()

The suite takes about a second, since nothing is trained.
"""

import copy
import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric, objectives_of
from gsfnas.record import Phase
from gsfnas.samplers import Sampler, distinct_candidates
from gsfnas.samplers.base import Sees
from gsfnas.space import BoundSpace
from gsfnas.study._scheduler import before_lag
from gsfnas.testing._small import Step, Threads, comparable, default_chain, fake_record, run_small, steps
from gsfnas.testing.fake import make_bounded_space, make_coupled_space, make_space

_LAG = 3
_OBJECTIVES = ("macs_fvcore", "train_loss", "max:test_top1", "val_top1")
_SPACES: Mapping[str, Callable[[], BoundSpace]] = {
    "64 candidates": lambda: make_space(6, (0.25,)),
    "9 candidates": lambda: make_space(2, (0.25, 0.5)),
    "coupled sites": make_coupled_space,
    "42 candidates within a bound": lambda: make_bounded_space(6, (0.25,), "macs_fvcore<=1.15e9"),
    "11 candidates within a bound": lambda: make_bounded_space(4, (0.25,), "macs_fvcore<=1.1e9"),
}


class SamplerConformance:
    """The suite. ``sampler`` returns a new sampler each time."""

    @pytest.fixture
    def sampler(self) -> Sampler:
        raise NotImplementedError("a conformance test needs a fixture `sampler` that returns a sampler")

    @pytest.fixture(params=_SPACES)
    def space(self, request: pytest.FixtureRequest) -> BoundSpace:
        """The spaces to search: some too large to be exhausted by the tests, small ones, and some with rules or bounds."""
        return _SPACES[request.param]()

    @pytest.fixture
    def chain(self, sampler: Sampler) -> Sequence[Sampler]:
        """All samplers of the tests' studies, including ``sampler``; by default anchors, ``sampler``, replicates."""
        return default_chain(sampler)

    def test_it_has_what_a_study_needs(self, sampler: Sampler) -> None:
        assert sampler.phase in get_args(Phase), f"`phase` must be one of {get_args(Phase)}"
        assert sampler.sees in get_args(Sees), f"`sees` must be one of {get_args(Sees)}"
        for method in ("propose", "plan", "num_left"):
            assert callable(getattr(sampler, method, None)), f"a sampler has a method {method}; derive it from Sampler"

    def test_it_proposes_what_is_in_the_space_and_nothing_twice(
        self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace
    ) -> None:
        proposed = 0
        for step in _calls_of(sampler, chain, space, 20):
            if step.proposal is None:
                continue
            proposed += 1
            candidate, replicate, budget = step.proposal
            first = {record.candidate for record in step.history.records}
            assert step.proposal not in step.asked, f"it proposed {candidate.key}, replicate {replicate}, once more"
            is_allowed = candidate in space or (candidate == space.empty and space.is_within(candidate))
            assert is_allowed, f"it proposed {candidate.key}, which is not in the space, or not within its rules and bounds"
            assert budget == step.history.budget, f"it proposed {budget} epochs, but a run has {step.history.budget}"
            assert replicate == 0 or candidate in first, (
                f"it proposed replicate {replicate} of {candidate.key} before the first"
            )
        assert proposed, "it never proposed anything"

    def test_it_ends(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        """Once all requested candidates have begun, or the space is exhausted."""
        few = distinct_candidates(space) < 20
        for trials in (8, *([1000] if few else [])):
            most = (min(trials, distinct_candidates(space)) + 1) * 3
            runs = set()
            for step in _calls_of(sampler, chain, space, trials):
                if step.proposal is None or (not step.proposal.replicate and not step.history.wants_candidates):
                    continue
                runs.add(step.proposal)
                assert len(runs) <= most, f"it proposes more than {most} runs of {trials} candidates"

    def test_a_proposal_depends_on_the_history_alone(
        self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace
    ) -> None:
        """Not on earlier calls, the order of ``asked``, or a global random generator."""
        fresh = copy.deepcopy(sampler)
        asked = list(_calls_of(sampler, chain, space, 10))
        random.seed(7)
        np.random.seed(7)
        for step in reversed(asked):
            random.random()
            again = copy.deepcopy(fresh).propose(step.history, list(step.asked)[::-1])
            assert again == step.proposal, f"a new sampler proposes {again}, but this one proposed {step.proposal}"
            assert sampler.propose(step.history, step.asked) == step.proposal, "called again, it proposes another run"

    def test_it_ignores_time_and_machine(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        for step in _calls_of(sampler, chain, space, 10):
            records = tuple(replace(one, seconds=one.seconds + 9, environment="other") for one in step.history.records)
            again = sampler.propose(replace(step.history, records=records), step.asked)
            assert again == step.proposal, "it depends on how long runs took, or where, which differs between machines"

    def test_it_ignores_results_within_the_lag(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        """Runs within the lag may be running, complete or failed."""
        if sampler.sees != "lagged":
            pytest.skip("it does not see a lagged history")
        for step in _calls_of(sampler, chain, space, 10):
            records = step.history.records
            for outcome, gain in (("complete", 0.3), ("failed", 0.0), ("running", 0.0)):
                within = [
                    replace(fake_record(one.number, one.candidate, outcome, gain=gain), seconds=gain)  # type: ignore[arg-type]
                    for one in records[max(0, len(records) - _LAG) :]
                ]
                other = replace(step.history, records=(*records[: len(records) - len(within)], *within))
                again = sampler.propose(before_lag(other, _LAG), step.asked)
                assert again == step.proposal, f"it proposes {again} if the latest runs are {outcome}"

    @pytest.mark.parametrize("number", range(1, 5))
    def test_it_takes_any_number_of_objectives(
        self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace, number: int
    ) -> None:
        """One to four, to be minimised or maximised, the first of which may be a cost."""
        objectives = objectives_of(_OBJECTIVES[:number])
        found = list(_calls_of(sampler, chain, space, 10, objectives))
        proposals = [step.proposal for step in found if step.proposal is not None]
        assert proposals, "it never proposed anything"
        for proposal in proposals:
            assert proposal.candidate in space or proposal.candidate == space.empty
        for step in found[-3:]:
            assert sampler.propose(step.history, step.asked) == step.proposal, "asked once more, it proposes another run"

    def test_it_does_not_change_its_arguments(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        for step in _calls_of(sampler, chain, space, 10):
            history, asked = copy.deepcopy(step.history), set(step.asked)
            sampler.propose(history, asked)
            assert history == step.history, "it changed the history"
            assert asked == step.asked, "it changed `asked`"

    def test_it_can_be_pickled(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        there = pickle.loads(pickle.dumps(sampler))
        for step in _calls_of(sampler, chain, space, 8):
            assert there.propose(step.history, step.asked) == step.proposal

    def test_a_study_is_the_same_with_one_worker_and_with_three(
        self, chain: Sequence[Sampler], space: BoundSpace, tmp_path: Path
    ) -> None:
        one, three = (
            run_small(tmp_path / str(workers), space, sampler=tuple(copy.deepcopy(chain)), executor=Threads(workers), lag=_LAG)
            for workers in (1, 3)
        )
        assert comparable(one) == comparable(three), "the runs depend on the number of workers"
        assert one.records
        assert all(record.outcome == "complete" for record in one.records)


def _calls_of(
    sampler: Sampler,
    chain: Sequence[Sampler],
    space: BoundSpace,
    trials: int,
    objectives: Sequence[Metric] = DEFAULT_OBJECTIVES,
) -> "list[Step]":
    """All calls of ``sampler`` in a study with this chain. Fails if there are too many."""
    found = []
    for step in steps(chain, space, trials=trials, lag=_LAG, objectives=objectives):
        if step.sampler is sampler:
            found.append(step)
        assert len(found) < 300, "it proposes runs without end"
    return found
