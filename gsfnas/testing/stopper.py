"""What every stopper must do. A stopper's test inherits ``StopperConformance`` and gives the stopper:

    class TestMine(StopperConformance):
        @pytest.fixture
        def stopper(self):
            return Mine()

A second in all: nothing is trained.
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
from gsfnas.testing._small import Threads, fake_record, run_small, told
from gsfnas.testing.fake import BUDGET, make_space

_OUTCOMES: tuple[Outcome, ...] = ("complete", "complete", "stopped", "failed")
# How many runs are known: none, one, fewer than the epochs of a run, some tens.
_KNOWN = (0, 1, 2, 5, 30)


class StopperConformance:
    """Tests of one stopper, which the fixture ``stopper`` returns: a new one each time."""

    @pytest.fixture
    def stopper(self) -> Stopper:
        raise NotImplementedError("a conformance test needs a fixture `stopper` that returns a stopper")

    def test_a_run_that_dominates_all_others_goes_on(self, stopper: Stopper) -> None:
        """It costs less and is better at every epoch than all that are known, of which there may be none."""
        for history in _histories():
            dearest = min((record.cost["macs_fvcore"] for record in history.records), default=10**9)
            for run in _runs(history, gain=1.0, macs=dearest - 1):
                assert not stopper.stops(run, history), (
                    f"it stops a run after epoch {len(run.curve)} that is better and cheaper than {len(history.records)} others"
                )

    def test_it_says_yes_or_no(self, stopper: Stopper) -> None:
        for run, history in _questions():
            said = stopper.stops(run, history)
            assert isinstance(said, bool | np.bool_), f"`stops` must return True or False, but returned {said!r}"

    def test_a_decision_follows_from_the_run_and_the_history_alone(self, stopper: Stopper) -> None:
        """Not from what it was asked before, or from a generator of the process."""
        fresh = copy.deepcopy(stopper)
        said = [stopper.stops(run, history) for run, history in _questions()]
        random.seed(7)
        np.random.seed(7)
        for (run, history), before in reversed(list(zip(_questions(), said, strict=True))):
            random.random()
            assert copy.deepcopy(fresh).stops(run, history) == before, "a new one decides otherwise"
            assert stopper.stops(run, history) == before, "asked once more, it decides otherwise"

    def test_it_does_not_look_at_time_or_place(self, stopper: Stopper) -> None:
        for run, history in _questions():
            records = tuple(replace(one, seconds=one.seconds + 9, environment="other") for one in history.records)
            other = replace(run, seconds=5.0, environment="other")
            assert stopper.stops(other, replace(history, records=records)) == stopper.stops(run, history)

    def test_it_changes_nothing_that_it_is_given(self, stopper: Stopper) -> None:
        for run, history in _questions():
            given = copy.deepcopy((run, history))
            stopper.stops(*given)
            assert given == (run, history)

    def test_it_goes_to_other_processes(self, stopper: Stopper) -> None:
        there = pickle.loads(pickle.dumps(stopper))
        for run, history in _questions():
            assert there.stops(run, history) == stopper.stops(run, history)

    def test_a_study_is_the_same_with_one_worker_and_with_three(self, stopper: Stopper, tmp_path: Path) -> None:
        """And it ends, with every run complete or stopped, and the first of them complete: nothing is known before it."""
        one, three = (
            run_small(tmp_path / str(n), make_space(), stopper=copy.deepcopy(stopper), executor=Threads(n), trials=12)
            for n in (1, 3)
        )
        assert told(one) == told(three), "what is stopped depends on the number of workers"
        assert len(one.records) == 12
        assert {record.outcome for record in one.records} <= {"complete", "stopped"}
        assert one.records[0].outcome == "complete"


def _histories() -> Iterator[History]:
    """What may be known: runs that are complete, stopped after an epoch, failed."""
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
    """A run at each epoch but the last, as a stopper sees it."""
    space: BoundSpace = history.space
    for epochs in range(1, BUDGET):
        run = fake_record(len(history.records), space.full, "running", epochs=epochs, gain=gain, macs=macs)
        yield replace(run, error=None, seconds=0.0)


def _questions() -> Iterator[tuple[Record, History]]:
    return ((run, history) for history in _histories() for gain in (-0.2, 0.0, 0.2) for run in _runs(history, gain=gain))
