"""Tests that every evaluator must pass. Inherit ``EvaluatorConformance`` and provide the evaluator:

    class TestMine(EvaluatorConformance):
        @pytest.fixture
        def evaluator(self):
            return Mine()

The suite evaluates about fifteen runs, so use few epochs and clips.
"""

import copy
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate
from gsfnas.evaluators import Context, Evaluator, Identity, Measurement
from gsfnas.metrics import metric_of, objectives_of
from gsfnas.record import StudyRecord
from gsfnas.space import BoundSpace, Space
from gsfnas.testing._small import Threads, run_small

SEED = 3


class EvaluatorConformance:
    """The suite. ``evaluator`` returns a new evaluator each time, on which ``prepare`` was not called yet.

    ``objectives`` are those of the studies that it is for; it measures those of them that are known after a run.
    """

    objectives: Sequence[str] = ("val_top1", "macs_fvcore")

    @pytest.fixture
    def evaluator(self) -> Evaluator:
        raise NotImplementedError("a conformance test needs a fixture `evaluator` that returns an evaluator")

    @pytest.fixture
    def others(self) -> Sequence[Evaluator]:
        """Evaluators of the same class with other options that change the results."""
        return ()

    @pytest.fixture
    def space(self) -> BoundSpace:
        """The space of the candidates; frames and resolution must fit the evaluator's data. By default 8 frames of 32 px."""
        return small_space(8, 32)

    @pytest.fixture
    def prepared(self, evaluator: Evaluator, space: BoundSpace, tmp_path: Path) -> Iterator[Evaluator]:
        yield _prepare(evaluator, space, tmp_path / "checkpoints")
        evaluator.close()

    def test_it_has_what_a_study_needs(self, evaluator: Evaluator, space: BoundSpace) -> None:
        assert isinstance(evaluator.budget, int)
        assert evaluator.budget >= 1, f"`budget` is the number of epochs, but is {evaluator.budget}"
        assert isinstance(evaluator.devices, int)
        assert evaluator.devices >= 1
        assert evaluator.heads, "`heads` must have at least one task"
        for task, classes in evaluator.heads.items():
            assert isinstance(task, str)
            assert isinstance(classes, int)
            assert classes >= 1
        if evaluator.takes_data:
            assert hasattr(evaluator, "data"), "if `takes_data` is true, `data` must hold the settings of the data set"
        assert all(isinstance(line, str) for line in evaluator.check(space, "cpu"))

    def test_epochs_come_in_order_and_the_last_has_the_result(
        self, evaluator: Evaluator, prepared: Evaluator, space: BoundSpace
    ) -> None:
        for candidate in (space.empty, space.full):
            found = _evaluate(prepared, candidate)
            assert [one.epoch for one in found] == list(range(1, evaluator.budget + 1)), "one measurement an epoch, in order"
            assert [one.is_last for one in found] == [False] * (len(found) - 1) + [True], "only the last has `is_last`"
            for one in found:
                for name, value in one.metrics.items():
                    assert math.isfinite(float(value)), f"{name} is {value} after epoch {one.epoch}"
                    if metric_of(name).is_fraction:
                        assert -1e-6 <= value <= 1 + 1e-6, f"`{name}` is a fraction, but {value} after epoch {one.epoch}"
            for metric in objectives_of(self.objectives):
                if metric.known == "after":
                    assert metric.key in found[-1].metrics, f"the last measurement must hold `{metric.key}`"

    def test_the_same_seed_gives_the_same_numbers(self, evaluator: Evaluator, space: BoundSpace, tmp_path: Path) -> None:
        """In any order of the candidates, and with copies of the evaluator."""
        results: list[Mapping[str, Sequence[Mapping[str, float]]]] = []
        for number, order in enumerate([(space.empty, space.full), (space.full, space.empty)]):
            here = _prepare(copy.deepcopy(evaluator), space, tmp_path / str(number))
            results.append({candidate.key: _numbers(_evaluate(here, candidate)) for candidate in order})
            here.close()
        assert results[0] == results[1], "results depend on what was evaluated before"

    def test_a_run_goes_on_from_its_checkpoint(
        self, evaluator: Evaluator, prepared: Evaluator, space: BoundSpace, tmp_path: Path
    ) -> None:
        """It may yield the checkpoint's epoch again. The results equal those of an uninterrupted run."""
        whole = _evaluate(prepared, space.full)
        again = _prepare(copy.deepcopy(evaluator), space, tmp_path / "again")
        stream = iter(_stream(again, space.full))
        first = next(stream)
        getattr(stream, "close", lambda: None)()
        if first.checkpoint is None or first.is_last:
            pytest.skip("the evaluator writes no checkpoint before the end")
        assert first.checkpoint.is_file(), f"checkpoint {first.checkpoint} is not a file"
        # As in a process that resumes the run of a killed one.
        later = _prepare(copy.deepcopy(evaluator), space, tmp_path / "again")
        rest = _evaluate(later, space.full, resume_from=first.checkpoint)
        for one in (again, later):
            one.close()
        assert rest[0].epoch in (1, 2), f"the run resumes at epoch {rest[0].epoch} after epoch 1"
        assert _numbers(rest) == _numbers(whole)[rest[0].epoch - 1 :], "an interrupted run ends with other results"

    def test_a_run_writes_into_its_own_folder(self, prepared: Evaluator, space: BoundSpace, tmp_path: Path) -> None:
        folder = tmp_path / "checkpoints"
        before = set(folder.rglob("*"))
        found = _evaluate(prepared, space.full)
        own = folder / f"{space.full.key}-{SEED}"
        for path in set(folder.rglob("*")) - before:
            assert path.is_relative_to(own), f"{path} was written, but a run writes below <folder>/<key>-<seed>/"
        for one in found:
            assert one.checkpoint is None or one.checkpoint.is_relative_to(own), f"checkpoint {one.checkpoint} is elsewhere"

    def test_it_can_be_pickled(self, evaluator: Evaluator, space: BoundSpace, tmp_path: Path) -> None:
        """Before ``prepare``, but after a study has read its identity and heads."""
        assert evaluator.identity
        assert evaluator.heads
        evaluator.check(space, "cpu")
        there = _prepare(pickle.loads(pickle.dumps(evaluator)), space, tmp_path / "there")
        here = _prepare(evaluator, space, tmp_path / "here")
        assert _numbers(_evaluate(there, space.full)) == _numbers(_evaluate(here, space.full))
        for one in (there, here):
            one.close()

    def test_the_identity_is_stable(
        self, evaluator: Evaluator, others: Sequence[Evaluator], space: BoundSpace, tmp_path: Path
    ) -> None:
        """It does not change, also not by ``prepare`` or a run, and it differs with other options."""
        identity = evaluator.identity
        assert isinstance(identity, Identity)
        for value in (identity.recipe, identity.data):
            assert isinstance(value, str)
            assert value.isprintable()
            assert value, "recipe and data must not be empty"
        assert copy.deepcopy(evaluator).identity == identity
        assert pickle.loads(pickle.dumps(evaluator)).identity == identity
        here = _prepare(evaluator, space, tmp_path)
        assert here.identity == identity, "`prepare` changes the identity"
        _evaluate(here, space.full)
        assert here.identity == identity, "a run changes the identity"
        here.close()
        known = [identity, *(other.identity for other in others)]
        assert len(set(known)) == len(known), "other options need another identity, or their results would be confused"

    def test_after_close_it_is_prepared_again(self, evaluator: Evaluator, space: BoundSpace, tmp_path: Path) -> None:
        """Twice in one process, as in a notebook."""
        found = []
        for name in ("a", "b"):
            _prepare(evaluator, space, tmp_path / name)
            found.append(_numbers(_evaluate(evaluator, space.full)))
            evaluator.close()
        assert found[0] == found[1]

    def test_a_study_with_it_ends(self, evaluator: Evaluator, space: BoundSpace, tmp_path: Path) -> None:
        record = run_evaluations(evaluator, space, tmp_path, self.objectives)
        assert [one.outcome for one in record.records] == ["complete"] * 2, [one.error for one in record.records]
        assert all(len(one.curve) == evaluator.budget for one in record.records)


def small_space(frames: int, resolution: int) -> BoundSpace:
    """GSF or nothing at the default sites of a narrow ``micro``."""
    space = Space.from_dict({"name": "small", "sites": {"role": "default"}, "insertions": [{"module": "gsf", "ratio": 0.25}]})
    backbone = backbone_ref("micro", {"width": 0.25})
    return space.bind(backbone, backbone_sites(backbone, resolution), frames=frames, resolution=resolution)


def run_evaluations(evaluator: Evaluator, space: BoundSpace, folder: Path, objectives: Sequence[str]) -> StudyRecord:
    """Runs a study of the two anchors. Raises UserError as a study does."""
    return run_small(folder, space, evaluator=evaluator, executor=Threads(1), trials=2, replicates=1, objectives=objectives)


def _prepare(evaluator: Evaluator, space: BoundSpace, folder: Path) -> Evaluator:
    context = Context(folder, device="cpu", threads=1)
    evaluator.prepare_once(space, context)
    evaluator.prepare(space, context)
    return evaluator


def _stream(evaluator: Evaluator, candidate: Candidate, resume_from: Path | None = None) -> Iterator[Measurement]:
    return evaluator.evaluate(candidate, seed=SEED, replicate=0, budget=evaluator.budget, resume_from=resume_from)


def _evaluate(evaluator: Evaluator, candidate: Candidate, resume_from: Path | None = None) -> list[Measurement]:
    found = []
    for measurement in _stream(evaluator, candidate, resume_from):
        assert isinstance(measurement, Measurement), f"an evaluator yields values of Measurement, but one is {measurement!r}"
        found.append(measurement)
        assert len(found) <= evaluator.budget + 1, f"more than the {evaluator.budget} epochs of `budget` are yielded"
    assert found, "no measurement is yielded"
    return found


def _numbers(found: Sequence[Measurement]) -> list[Mapping[str, float]]:
    """All metrics except the duration."""
    return [{name: value for name, value in one.metrics.items() if name != "seconds"} for one in found]
