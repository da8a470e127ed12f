"""Ours pass the suite that strangers inherit, and an evaluator that breaks a rule does not."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from gsfnas.data import DataSettings
from gsfnas.evaluators import Identity, Measurement
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.testing.evaluator import EvaluatorConformance, small_space
from gsfnas.testing.fake import FakeEvaluator, make_space
from gsfnas.train import TrainSettings


class TestFake(EvaluatorConformance):
    @pytest.fixture
    def evaluator(self, tmp_path):
        return FakeEvaluator(tmp_path)

    @pytest.fixture
    def others(self, tmp_path):
        return FakeEvaluator(tmp_path, recipe="r1-b"), FakeEvaluator(tmp_path, data="d1-b")

    @pytest.fixture
    def space(self):
        return make_space()


class TestFakeThatTellsNoEpochTwice(TestFake):
    @pytest.fixture
    def evaluator(self, tmp_path):
        return FakeEvaluator(tmp_path, repeats_last=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return DataSettings(frames=4, resolution=16, train_clips=48, val_clips=24, test_clips=24, difficulty=0.0, cache=cache)


class TestTrain(EvaluatorConformance):
    settings = TrainSettings(epochs=2, batch_size=20, lr=0.05, warmup_epochs=0.5, dropout=0.2, device="cpu")

    @pytest.fixture(autouse=True)
    def _one_thread(self):
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)

    @pytest.fixture
    def evaluator(self, data):
        return TrainEvaluator(self.settings, data)

    @pytest.fixture
    def others(self, data):
        other = replace(self.settings, lr=0.1)
        return TrainEvaluator(other, data), TrainEvaluator(self.settings, replace(data, seed=1))

    @pytest.fixture
    def space(self):
        return small_space(4, 16)


@dataclass
class Broken(FakeEvaluator):
    """The fake one with one of these faults."""

    fault: str = ""

    @property
    def identity(self):
        if self.fault == "one identity":
            return Identity("recipe", "data")
        return Identity(f"{self.recipe}-{getattr(self, 'count', 0)}", self.data)

    def prepare(self, space, context):
        super().prepare(space, context)
        if self.fault == "holds on":
            self.kept = lambda: None

    def close(self):
        super().close()
        self.is_closed = True

    def evaluate(self, candidate, *, seed, replicate, budget, resume_from=None):
        self.count = getattr(self, "count", 0) + 1
        if self.fault == "once" and getattr(self, "is_closed", False):
            raise RuntimeError("closed")
        if self.fault == "forgets" and resume_from is not None:
            seed += 1
        given = {"seed": seed, "replicate": replicate, "budget": budget, "resume_from": resume_from}
        for one in super().evaluate(candidate, **given):
            if self.fault == "no last":
                one = replace(one, is_last=False)
            if self.fault == "skips" and one.epoch == 2:
                continue
            if self.fault == "percent":
                one = replace(one, metrics={**one.metrics, "val_top1": 100 * one.metrics["val_top1"]})
            if self.fault == "other percent":
                one = replace(one, metrics={**one.metrics, "val_top5": 55.0})
            if self.fault == "no top1" and one.is_last:
                one = Measurement(one.epoch, {"accuracy": 0.5}, is_last=True)
            if self.fault == "not finite":
                one = replace(one, metrics={**one.metrics, "train_loss": float("nan")})
            if self.fault == "remembers":
                one = replace(one, metrics={**one.metrics, "val_top1": one.metrics["val_top1"] + self.count / 1000})
            if self.fault == "elsewhere":
                (self.context.folder / "log.txt").touch()
            yield (one.epoch, one.metrics) if self.fault == "tuples" else one


SUITE = EvaluatorConformance()


def epochs(evaluator, folder):
    SUITE.test_epochs_come_in_order_and_the_last_has_the_result(evaluator, prepared(evaluator, folder), make_space())


def prepared(evaluator, folder):
    from gsfnas.testing.evaluator import _prepare

    return _prepare(evaluator, make_space(), folder / "checkpoints")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no last", "only the last has `is_last`"),
        ("skips", "one measurement an epoch"),
        ("percent", "`val_top1` is a fraction"),
        ("other percent", "`val_top5` is a fraction, but 55.0 after epoch 1"),
        ("no top1", "must hold `val_top1`"),
        ("not finite", "train_loss is nan"),
        ("tuples", "values of Measurement"),
    ],
)
def test_measurements_that_are_none_fail(tmp_path: Path, fault: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        epochs(Broken(tmp_path, fault=fault), tmp_path)


def test_results_that_depend_on_what_came_before_fail(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="evaluated before"):
        SUITE.test_the_same_seed_gives_the_same_numbers(Broken(tmp_path, fault="remembers"), make_space(), tmp_path)


def test_a_checkpoint_that_leads_elsewhere_fails(tmp_path: Path) -> None:
    evaluator = Broken(tmp_path, fault="forgets")
    with pytest.raises(AssertionError, match="ends with other results"):
        SUITE.test_a_run_goes_on_from_its_checkpoint(evaluator, prepared(evaluator, tmp_path), make_space(), tmp_path)


def test_a_run_that_writes_elsewhere_fails(tmp_path: Path) -> None:
    evaluator = Broken(tmp_path, fault="elsewhere")
    with pytest.raises(AssertionError, match="writes below"):
        SUITE.test_a_run_writes_into_its_own_folder(prepared(evaluator, tmp_path), make_space(), tmp_path)


def test_an_identity_that_changes_or_never_does_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a run changes the identity"):
        SUITE.test_the_identity_is_stable(Broken(tmp_path), (), make_space(), tmp_path)
    one, other = Broken(tmp_path, fault="one identity"), Broken(tmp_path, recipe="other", fault="one identity")
    with pytest.raises(AssertionError, match="need another identity"):
        SUITE.test_the_identity_is_stable(one, (other,), make_space(), tmp_path)


def test_an_evaluator_that_works_once_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="closed"):
        SUITE.test_after_close_it_is_prepared_again(Broken(tmp_path, fault="once"), make_space(), tmp_path)


def test_an_evaluator_that_cannot_leave_its_process_fails(tmp_path: Path) -> None:
    evaluator = Broken(tmp_path)
    evaluator.helper = lambda: None
    with pytest.raises(Exception, match="pickle"):
        SUITE.test_it_can_be_pickled(evaluator, make_space(), tmp_path)


def test_a_study_of_runs_that_fail_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no last measurement"):
        SUITE.test_a_study_with_it_ends(Broken(tmp_path, fault="no last"), make_space(), tmp_path)
