"""Tests that every stopper must pass. Inherit ``StopperConformance`` and provide the stopper:

    class TestMine(StopperConformance):
        @pytest.fixture
        def stopper(self):
            return Mine()

The suite takes about a second, since nothing is trained.
"""

import copy
import itertools
import pickle
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gsfnas.record import Outcome, Record
from gsfnas.samplers import History
from gsfnas.space import BoundSpace
from gsfnas.stoppers import Stopper
from gsfnas.testing._small import Threads, comparable, fake_record, run_small
from gsfnas.testing.fake import BUDGET, make_space

_OUTCOMES: tuple[Outcome, ...] = ("complete", "complete", "stopped", "failed")
# Numbers of runs in a history.
_KNOWN = (0, 1, 2, 5, 30)


class StopperConformance:
    """The suite. ``stopper`` returns a new stopper each time."""

    @pytest.fixture
    def stopper(self) -> Stopper:
        raise NotImplementedError("a conformance test needs a fixture `stopper` that returns a stopper")

    def test_a_run_that_dominates_all_others_goes_on(self, stopper: Stopper) -> None:
        """A run that is cheaper and, at every epoch, better than all others is not stopped; nor is the first run of a study."""
        for history in _histories():
            cheapest = min((record.cost["macs_fvcore"] for record in history.records), default=10**9)
            for run in _runs(history, gain=1.0, macs=cheapest - 1):
                assert not stopper.stops(run, history), (
                    f"it stops a run at epoch {len(run.curve)} that is better and cheaper than {len(history.records)} others"
                )

    def test_it_returns_a_boolean(self, stopper: Stopper) -> None:
        for run, history in _cases():
            decision = stopper.stops(run, history)
            assert isinstance(decision, bool | np.bool_), f"`stops` must return True or False, but returned {decision!r}"

    def test_a_decision_depends_on_the_run_and_the_history_alone(self, stopper: Stopper) -> None:
        """Not on earlier calls, or on a global random generator."""
        fresh = copy.deepcopy(stopper)
        decisions = [stopper.stops(run, history) for run, history in _cases()]
        random.seed(7)
        np.random.seed(7)
        for (run, history), before in reversed(list(zip(_cases(), decisions, strict=True))):
            random.random()
            assert copy.deepcopy(fresh).stops(run, history) == before, "a new stopper decides otherwise"
            assert stopper.stops(run, history) == before, "called again, it decides otherwise"

    def test_it_ignores_time_and_machine(self, stopper: Stopper) -> None:
        for run, history in _cases():
            records = tuple(replace(one, seconds=one.seconds + 9, environment="other") for one in history.records)
            other = replace(run, seconds=5.0, environment="other")
            assert stopper.stops(other, replace(history, records=records)) == stopper.stops(run, history)

    def test_it_does_not_change_its_arguments(self, stopper: Stopper) -> None:
        for run, history in _cases():
            given = copy.deepcopy((run, history))
            stopper.stops(*given)
            assert given == (run, history)

    def test_it_can_be_pickled(self, stopper: Stopper) -> None:
        there = pickle.loads(pickle.dumps(stopper))
        for run, history in _cases():
            assert there.stops(run, history) == stopper.stops(run, history)

    def test_a_study_is_the_same_with_one_worker_and_with_three(self, stopper: Stopper, tmp_path: Path) -> None:
        """All runs are complete or stopped; the first is complete, since there is nothing to compare it with."""
        one, three = (
            run_small(tmp_path / str(n), make_space(), stopper=copy.deepcopy(stopper), executor=Threads(n), trials=12)
            for n in (1, 3)
        )
        assert comparable(one) == comparable(three), "decisions depend on the number of workers"
        assert len(one.records) == 12
        assert {record.outcome for record in one.records} <= {"complete", "stopped"}
        assert one.records[0].outcome == "complete"


def _histories() -> Iterator[History]:
    """Histories of complete runs, and of runs that stopped or failed after one epoch."""
    space = make_space()
    candidates = list(space)
    for number in _KNOWN:
        outcomes = itertools.islice(itertools.cycle(_OUTCOMES), number)
        records = tuple(
            fake_record(index, candidates[index * 7 % len(candidates)], outcome, epochs=BUDGET if outcome == "complete" else 1)
            for index, outcome in enumerate(outcomes)
        )
        yield History(space, 0, 64, 2, BUDGET, records)


def _runs(history: History, *, gain: float, macs: int | None = None) -> Iterator[Record]:
    """A running run after each epoch but the last, as a stopper gets it."""
    space: BoundSpace = history.space
    for epochs in range(1, BUDGET):
        run = fake_record(len(history.records), space.full, "running", epochs=epochs, gain=gain, macs=macs)
        yield replace(run, error=None, seconds=0.0)


def _cases() -> Iterator[tuple[Record, History]]:
    return ((run, history) for history in _histories() for gain in (-0.2, 0.0, 0.2) for run in _runs(history, gain=gain))
