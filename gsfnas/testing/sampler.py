"""What every sampler must do. A sampler's test inherits ``SamplerConformance`` and gives the sampler:

    class TestMine(SamplerConformance):
        @pytest.fixture
        def sampler(self):
            return Mine()

A second in all: nothing is trained.
"""

import copy
import pickle
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from gsfnas.record import Phase
from gsfnas.samplers import Sampler, distinct_candidates
from gsfnas.samplers.base import Sees
from gsfnas.space import BoundSpace
from gsfnas.study._scheduler import before_lag
from gsfnas.testing._small import Step, Threads, default_chain, fake_record, run_small, steps, told
from gsfnas.testing.fake import make_space

_LAG = 3
_SPACES = {"64 candidates": (6, (0.25,)), "9 candidates": (2, (0.25, 0.5))}


class SamplerConformance:
    """Tests of one sampler, which the fixture ``sampler`` returns: a new one each time."""

    @pytest.fixture
    def sampler(self) -> Sampler:
        raise NotImplementedError("a conformance test needs a fixture `sampler` that returns a sampler")

    @pytest.fixture(params=_SPACES)
    def space(self, request: pytest.FixtureRequest) -> BoundSpace:
        """What it searches: a space that it cannot exhaust within the tests, and one that it can."""
        sites, ratios = _SPACES[request.param]
        return make_space(sites, ratios)

    @pytest.fixture
    def chain(self, sampler: Sampler) -> Sequence[Sampler]:
        """All samplers of the tests' studies, ``sampler`` among them: it comes after the anchors, before the replicates."""
        return default_chain(sampler)

    def test_it_has_what_a_study_asks_of_it(self, sampler: Sampler) -> None:
        assert sampler.phase in get_args(Phase), f"`phase` must be one of {get_args(Phase)}"
        assert sampler.sees in get_args(Sees), f"`sees` must be one of {get_args(Sees)}"
        for method in ("propose", "plan", "num_left"):
            assert callable(getattr(sampler, method, None)), f"a sampler has a method {method}; derive it from Sampler"

    def test_it_proposes_what_is_in_the_space_and_nothing_twice(
        self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace
    ) -> None:
        proposed = 0
        for step in _asked_of(sampler, chain, space, 20):
            if step.proposal is None:
                continue
            proposed += 1
            candidate, replicate, budget = step.proposal
            first = {record.candidate for record in step.history.records}
            assert step.proposal not in step.asked, f"it proposed {candidate.key}, seed {replicate + 1} once more"
            assert candidate in space or candidate == space.empty, f"it proposed {candidate.key}, which is not in the space"
            assert budget == step.history.budget, f"it proposed {budget} epochs, but a run has {step.history.budget}"
            assert replicate == 0 or candidate in first, f"it proposed a further seed of {candidate.key} before the first"
        assert proposed, "it never proposed anything"

    def test_it_ends(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        """Where all candidates that were asked for have begun, or all that there are."""
        few = distinct_candidates(space) < 20
        for trials in (8, *([1000] if few else [])):
            most = (min(trials, distinct_candidates(space)) + 1) * 3
            runs = set()
            for step in _asked_of(sampler, chain, space, trials):
                if step.proposal is None or (not step.proposal.replicate and not step.history.wants_candidates):
                    continue
                runs.add(step.proposal)
                assert len(runs) <= most, f"it still proposes runs after {most}, of {trials} candidates"

    def test_a_proposal_follows_from_the_history_alone(
        self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace
    ) -> None:
        """Not from what it was asked before, the order of ``asked``, or a generator of the process."""
        fresh = copy.deepcopy(sampler)
        asked = list(_asked_of(sampler, chain, space, 10))
        random.seed(7)
        np.random.seed(7)
        for step in reversed(asked):
            random.random()
            again = copy.deepcopy(fresh).propose(step.history, list(step.asked)[::-1])
            assert again == step.proposal, f"a new one proposes {again}, where this one has proposed {step.proposal}"
            assert sampler.propose(step.history, step.asked) == step.proposal, "asked once more, it proposes another run"

    def test_it_does_not_look_at_time_or_place(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        for step in _asked_of(sampler, chain, space, 10):
            records = tuple(replace(one, seconds=one.seconds + 9, environment="other") for one in step.history.records)
            again = sampler.propose(replace(step.history, records=records), step.asked)
            assert again == step.proposal, "it looks at how long runs took, or where; that is another thing with each machine"

    def test_it_does_not_look_past_the_lag(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        """What is within the lag may have ended one way or another, or not."""
        if sampler.sees != "lagged":
            pytest.skip("it does not see a lagged history")
        for step in _asked_of(sampler, chain, space, 10):
            records = step.history.records
            for outcome, gain in (("complete", 0.3), ("failed", 0.0), ("running", 0.0)):
                within = [
                    replace(fake_record(one.number, one.candidate, outcome, gain=gain), seconds=gain)  # type: ignore[arg-type]
                    for one in records[max(0, len(records) - _LAG) :]
                ]
                other = replace(step.history, records=(*records[: len(records) - len(within)], *within))
                again = sampler.propose(before_lag(other, _LAG), step.asked)
                assert again == step.proposal, f"it proposes {again} where the latest runs are {outcome}"

    def test_it_changes_nothing_that_it_is_given(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        for step in _asked_of(sampler, chain, space, 10):
            history, asked = copy.deepcopy(step.history), set(step.asked)
            sampler.propose(history, asked)
            assert history == step.history, "it changed the history"
            assert asked == step.asked, "it changed `asked`"

    def test_it_goes_to_other_processes(self, sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace) -> None:
        there = pickle.loads(pickle.dumps(sampler))
        for step in _asked_of(sampler, chain, space, 8):
            assert there.propose(step.history, step.asked) == step.proposal

    def test_a_study_is_the_same_with_one_worker_and_with_three(
        self, chain: Sequence[Sampler], space: BoundSpace, tmp_path: Path
    ) -> None:
        one, three = (
            run_small(tmp_path / str(workers), space, sampler=tuple(copy.deepcopy(chain)), executor=Threads(workers), lag=_LAG)
            for workers in (1, 3)
        )
        assert told(one) == told(three), "the runs depend on the number of workers"
        assert one.records
        assert all(record.outcome == "complete" for record in one.records)


def _asked_of(sampler: Sampler, chain: Sequence[Sampler], space: BoundSpace, trials: int) -> "list[Step]":
    """What this sampler is asked in a study of the chain, a bounded number of times."""
    found = []
    for step in steps(chain, space, trials=trials, lag=_LAG):
        if step.sampler is sampler:
            found.append(step)
        assert len(found) < 300, "it proposes runs without an end"
    return found
