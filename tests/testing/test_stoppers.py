"""Our stopper passes the suite that strangers inherit, as does a useful one; one that breaks a rule does not."""

import random
from dataclasses import dataclass

import numpy as np
import pytest

from gsfnas.stoppers import NoStopper, Stopper
from gsfnas.testing.stopper import StopperConformance


class TestNone(StopperConformance):
    @pytest.fixture
    def stopper(self):
        return NoStopper()


@dataclass
class Median(Stopper):
    """Stops what is below the median of the complete runs at its epoch, with one of these faults."""

    fault: str = ""

    def stops(self, run, history):
        if self.fault == "greedy":
            return len(run.curve) == 1
        if self.fault == "chance":
            return random.random() < 0.5
        if self.fault == "words":
            return "no"
        if self.fault == "remembers":
            self.count = getattr(self, "count", 0) + 1
            return bool(history.records) and run.curve[0].metrics["val_top1"] < 0.6 and self.count % 2 == 0
        if self.fault == "place":
            return run.seconds > 1
        if self.fault == "writes":
            run.cost["macs_fvcore"] = 0
        epoch = run.curve[-1]
        known = [one.curve[epoch.epoch - 1].metrics["val_top1"] for one in history.records if one.outcome == "complete"]
        if self.fault == "sorts upwards":
            return len(known) > 2 and epoch.metrics["val_top1"] > np.median(known)
        return len(known) > 2 and epoch.metrics["val_top1"] < np.median(known)


class TestMedian(StopperConformance):
    @pytest.fixture
    def stopper(self):
        return Median()


@pytest.mark.parametrize(
    ("fault", "test", "said"),
    [
        ("greedy", "test_a_run_that_dominates_all_others_goes_on", "better and cheaper than 0 others"),
        ("sorts upwards", "test_a_run_that_dominates_all_others_goes_on", "better and cheaper"),
        ("words", "test_it_returns_a_boolean", "returned 'no'"),
        ("chance", "test_a_decision_depends_on_the_run_and_the_history_alone", "otherwise"),
        ("remembers", "test_a_decision_depends_on_the_run_and_the_history_alone", "otherwise"),
        ("place", "test_it_ignores_time_and_machine", None),
        ("writes", "test_it_does_not_change_its_arguments", None),
    ],
)
def test_a_broken_stopper_fails(fault, test, said):
    with pytest.raises(AssertionError, match=said):
        getattr(StopperConformance(), test)(Median(fault))


def test_a_stopper_that_ends_every_run_fails(tmp_path):
    with pytest.raises(AssertionError):
        StopperConformance().test_a_study_is_the_same_with_one_worker_and_with_three(Median("greedy"), tmp_path)
