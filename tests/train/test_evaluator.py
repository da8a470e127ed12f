import dataclasses
import errno
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from gsfnas.candidate import Candidate
from gsfnas.data import ClipSplit, open_data
from gsfnas.data.video._clips import ALL
from gsfnas.errors import UserError
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.model import VideoModel
from gsfnas.train import _checkpoint
from gsfnas.train._run import RunPlan

EPOCHS = 3


def numbers(measurement) -> dict[str, float]:
    """The metrics that do not depend on the clock."""
    return {name: value for name, value in measurement.metrics.items() if name != "seconds"}


def run_folder(folder, candidate, seed=7):
    return folder / f"{candidate.key}-{seed}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, candidate, settings, data):
    """An undisturbed run: its measurements and its folder."""

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    evaluator = TrainEvaluator(settings, data)
    evaluator.prepare(None, Context(folder, device="cpu", threads=1))
    return list(evaluator.evaluate(candidate, seed=7, budget=EPOCHS)), run_folder(folder, candidate)


def assert_same_end(measurement, folder, whole):
    measurements, whole_folder = whole
    assert measurement.is_last
    assert numbers(measurement) == numbers(measurements[-1])
    weights, expected = load_file(folder / "weights.safetensors"), load_file(whole_folder / "weights.safetensors")
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_one_measurement_an_epoch_and_the_test_split_once_at_the_end(whole):
    measurements, _ = whole
    assert [m.epoch for m in measurements] == [1, 2, 3]
    assert [m.is_last for m in measurements] == [False, False, True]
    each = {"train_loss", "val_top1", "val_top5", "val_loss", "lr", "seconds"}
    assert [set(m.metrics) - each for m in measurements] == [set(), set(), {"test_top1", "test_top5", "test_loss"}]
    assert all(each <= set(m.metrics) for m in measurements)
    seconds = [m.metrics["seconds"] for m in measurements]
    assert seconds == sorted(seconds)


def test_the_test_split_is_not_read_before_the_last_epoch(tmp_path, make_evaluator, candidate, monkeypatch):
    evaluator = make_evaluator(tmp_path)
    read = []
    splits = dict(evaluator.opened.splits)
    test = splits["test"]

    def counting(indices, generator, part=ALL):
        read.append(len(indices))
        return test.read(indices, generator, part)

    splits["test"] = ClipSplit(test.labels, counting)
    evaluator._opened = dataclasses.replace(evaluator.opened, splits=splits)
    for measurement in evaluator.evaluate(candidate, seed=7, budget=2):
        assert sum(read) == (len(test) if measurement.is_last else 0)


def test_each_epoch_can_be_tested_and_nothing_else_changes(tmp_path, whole, candidate, settings, data):
    torch.set_num_threads(1)
    evaluator = TrainEvaluator.from_settings(settings, data, {"test_each_epoch": True})
    evaluator.prepare(None, Context(tmp_path, device="cpu", threads=1))
    found = [numbers(one) for one in evaluator.evaluate(candidate, seed=7, budget=EPOCHS)]
    assert all("test_top1" in metrics and "test_loss" in metrics for metrics in found)
    tested = {"test_top1", "test_top5", "test_loss"}
    *earlier, last = found
    *expected, expected_last = [numbers(one) for one in whole[0]]
    assert last == expected_last
    assert [{name: value for name, value in one.items() if name not in tested} for one in earlier] == expected


def test_runs_that_test_each_epoch_have_ids_of_their_own(settings, data):
    plain, tested = TrainEvaluator(settings, data), TrainEvaluator(settings, data, test_each_epoch=True)
    assert plain.identity.data == tested.identity.data
    assert tested.identity.recipe == f"{plain.identity.recipe}-tested"
    assert plain.identity.recipe == settings.recipe_hash()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warm_start": 1}, "evaluator.warm_start"),
        ({"test_each_epoch": "yes"}, "`evaluator.test_each_epoch` must be true or false, but got 'yes'"),
        ({"test_each_epochs": True}, "evaluator.test_each_epochs"),
    ],
)
def test_a_wrong_option_is_refused(settings, data, options, said):
    with pytest.raises(UserError, match=re.escape(said)):
        TrainEvaluator.from_settings(settings, data, options)


def test_the_final_weights_carry_the_candidate(whole, candidate):
    _, folder = whole
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert Candidate.from_json(metadata["candidate"]) == candidate
    assert json.loads(metadata["heads"]) == {"class": 24}
    assert sorted(path.name for path in folder.iterdir()) == ["last.pt", "weights.safetensors"]


@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_run_that_stopped_ends_as_if_it_had_not(tmp_path, make_evaluator, candidate, whole, stopped_after):
    stream = make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS)
    for _ in range(stopped_after):
        left = next(stream)
    stream.close()
    torch.rand(5)  # whatever else the process does
    np.random.rand(5)
    rest = list(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS, resume_from=left.checkpoint))
    # First the epoch of the checkpoint once more, then what was missing.
    assert [m.epoch for m in rest] == list(range(stopped_after, EPOCHS + 1))
    assert [numbers(m) for m in rest] == [numbers(m) for m in whole[0][stopped_after - 1 :]]
    assert rest[0].metrics == left.metrics
    assert_same_end(rest[-1], run_folder(tmp_path, candidate), whole)


def test_killed_in_the_middle_of_an_epoch(tmp_path, make_evaluator, candidate, whole, data):
    """A process is killed without warning in its third epoch; another takes the run up from its folder."""
    script = """
        import os, pickle, signal, sys
        from pathlib import Path
        from gsfnas.evaluators.base import Context
        from gsfnas.evaluators.train import TrainEvaluator

        train, data, candidate, folder = pickle.loads(bytes.fromhex(sys.argv[1]))
        def on_progress(done, total, text):
            if done > total * 2 / 3:
                os.kill(os.getpid(), signal.SIGKILL)
        evaluator = TrainEvaluator(train, data)
        evaluator.prepare(None, Context(folder, device="cpu", threads=1, on_progress=on_progress))
        for measurement in evaluator.evaluate(candidate, seed=7, budget=3):
            assert measurement.epoch < 3
    """
    evaluator = make_evaluator(tmp_path)
    arguments = pickle.dumps((evaluator.train, data, candidate, tmp_path)).hex()
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), arguments], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    rest = list(evaluator.evaluate(candidate, seed=7, budget=EPOCHS))
    assert [m.epoch for m in rest] == [2, 3]
    assert_same_end(rest[-1], run_folder(tmp_path, candidate), whole)


def test_a_damaged_checkpoint_costs_one_epoch(tmp_path, make_evaluator, candidate, whole):
    stream = make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS)
    next(stream)
    path = next(stream).checkpoint
    stream.close()
    path.write_bytes(path.read_bytes()[:1000])
    rest = list(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS, resume_from=path))
    assert [m.epoch for m in rest] == [1, 2, 3]
    assert_same_end(rest[-1], run_folder(tmp_path, candidate), whole)


def test_a_finished_run_says_its_last_measurement_again(make_evaluator, candidate, whole):
    measurements, folder = whole
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    for resume_from in (None, folder / "last.pt"):
        again = list(make_evaluator(folder.parent).evaluate(candidate, seed=7, budget=EPOCHS, resume_from=resume_from))
        assert again == [measurements[-1]]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize(("change", "said"), [("recipe", "its recipe differ"), ("seed", "its seed differ")])
def test_a_checkpoint_of_another_run_is_refused_where_asked_for(
    tmp_path, make_evaluator, candidate, whole, settings, change, said
):
    if change == "recipe":
        settings = dataclasses.replace(settings, lr=0.01)
    evaluator = make_evaluator(tmp_path, settings)
    with pytest.raises(UserError, match=said):
        next(evaluator.evaluate(candidate, seed=8 if change == "seed" else 7, budget=EPOCHS, resume_from=whole[1] / "last.pt"))


def test_a_checkpoint_of_another_recipe_that_lies_there_is_ignored(tmp_path, make_evaluator, candidate, settings):
    next(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS))
    other = make_evaluator(tmp_path, dataclasses.replace(settings, lr=0.01))
    assert [m.epoch for m in other.evaluate(candidate, seed=7, budget=EPOCHS)] == [1, 2, 3]


def test_a_full_disk_leaves_the_run_to_be_taken_up(tmp_path, make_evaluator, candidate, whole, monkeypatch):
    stream = make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS)
    next(stream)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as raised:
            next(stream)
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in run_folder(tmp_path, candidate).iterdir()] == ["last.pt"]
    rest = list(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS))
    assert [m.epoch for m in rest] == [1, 2, 3]
    assert_same_end(rest[-1], run_folder(tmp_path, candidate), whole)


def test_a_seed_gives_the_same_numbers_in_any_order(tmp_path, make_evaluator, candidate, whole):
    evaluator = make_evaluator(tmp_path)
    empty = dataclasses.replace(candidate, insertions=())
    others = list(evaluator.evaluate(empty, seed=7, budget=1)), list(evaluator.evaluate(candidate, seed=8, budget=1))
    measurements = list(evaluator.evaluate(candidate, seed=7, budget=EPOCHS))
    assert [numbers(m) for m in measurements] == [numbers(m) for m in whole[0]]
    assert all(numbers(other[-1]) != numbers(measurements[0]) for other in others)


def test_a_run_that_explodes_says_where(tmp_path, make_evaluator, candidate, settings):
    explosive = dataclasses.replace(settings, lr=1e30, clip_gradient=0.0, warmup_epochs=0)
    with pytest.raises(FloatingPointError, match=r"the training loss is (nan|inf) in epoch 1, step \d"):
        list(make_evaluator(tmp_path, explosive).evaluate(candidate, seed=7, budget=1))
    assert not run_folder(tmp_path, candidate).exists()


def test_progress_reaches_the_context(tmp_path, make_evaluator, candidate):
    told = []
    evaluator = make_evaluator(tmp_path, on_progress=lambda *values: told.append(values))
    list(evaluator.evaluate(candidate, seed=7, budget=2))
    assert [(done, total) for done, total, _ in told] == [(4, 8), (8, 8)]
    assert told[1][2].startswith("epoch 2/2, loss ")


def test_clips_that_do_not_fit_the_candidate_are_refused(tmp_path, make_evaluator, candidate):
    with pytest.raises(UserError, match="the candidate reads 8 frames at 16 px, but the data give 4 frames at 16 px"):
        next(make_evaluator(tmp_path).evaluate(dataclasses.replace(candidate, frames=8), seed=7, budget=1))


def test_a_device_that_is_not_there_is_refused(tmp_path, settings, data):

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UserError, match="device 'cuda:1' was asked for, but torch finds no CUDA device"):
        TrainEvaluator(settings, data).prepare(None, Context(tmp_path, device="cuda:1"))


def test_the_evaluator_can_be_pickled_and_names_its_conditions(settings, data):
    evaluator = pickle.loads(pickle.dumps(TrainEvaluator(settings, data)))
    assert evaluator.identity.recipe == settings.recipe_hash()
    assert evaluator.data_fingerprint == open_data(data).fingerprint
    assert evaluator.heads == {"class": 24}


def test_the_settings_cost_no_torch():
    script = "import sys, gsfnas.train; gsfnas.train.TrainSettings(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_where_memory_runs_out_the_batch_stays_and_its_parts_halve(tmp_path, make_evaluator, candidate, settings, monkeypatch):
    """Runs out in the second epoch with more than six clips at once: from there on it is a run in four parts."""
    begun = make_evaluator(tmp_path / "begun", settings)
    stream = begun.evaluate(candidate, seed=7, budget=EPOCHS)
    first = next(stream)
    forward = VideoModel.forward

    def crowded(self, clips):
        if self.training and len(clips) > 6 * candidate.frames:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, clips)

    monkeypatch.setattr(VideoModel, "forward", crowded)
    rest = list(stream)
    assert "accumulate" not in first.metrics
    assert [measurement.metrics["accumulate"] for measurement in rest] == [4, 4]
    # The same from the same checkpoint, asked for from the start.
    stopped = make_evaluator(tmp_path / "again", settings)
    monkeypatch.setattr(VideoModel, "forward", forward)
    once = next(stopped.evaluate(candidate, seed=7, budget=EPOCHS))
    assert numbers(once) == numbers(first)
    expected = dataclasses.replace(settings, accumulate=4, epochs=EPOCHS)
    found = _checkpoint.load(once.checkpoint)
    plan = RunPlan(candidate, found.identity, expected, expected.init, tuple(stopped.heads.items()), tmp_path / "by_hand")
    by_hand = list(stopped._attempt(plan, found, once.checkpoint))
    assert [numbers(one) for one in by_hand] == [numbers(one) for one in rest]


def test_what_an_attempt_did_before_memory_ran_out_leaves_no_trace(tmp_path, make_evaluator, candidate, settings, monkeypatch):
    """The run goes on from a checkpoint elsewhere, moves its momentum for two steps, and begins that epoch again."""
    once = next(make_evaluator(tmp_path / "begun").evaluate(candidate, seed=7, budget=EPOCHS)).checkpoint
    forward, calls = VideoModel.forward, 0

    def crowded(self, clips):
        nonlocal calls
        calls += self.training
        if self.training and calls == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, clips)

    monkeypatch.setattr(VideoModel, "forward", crowded)
    _, *rest = make_evaluator(tmp_path / "elsewhere").evaluate(candidate, seed=7, budget=EPOCHS, resume_from=once)
    monkeypatch.setattr(VideoModel, "forward", forward)
    found = _checkpoint.load(once)
    halves = dataclasses.replace(settings, accumulate=2, epochs=EPOCHS)
    by_hand = make_evaluator(tmp_path / "by_hand")
    plan = RunPlan(candidate, found.identity, halves, halves.init, tuple(by_hand.heads.items()), tmp_path / "by_hand")
    assert [numbers(one) for one in rest] == [numbers(one) for one in by_hand._attempt(plan, found, once)]


def test_where_one_clip_is_too_much_memory_the_run_fails(tmp_path, make_evaluator, candidate, monkeypatch):
    def crowded(self, clips):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(VideoModel, "forward", crowded)
    with pytest.raises(torch.OutOfMemoryError):
        list(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS))


def test_a_run_in_more_parts_stays_so_after_an_interruption(tmp_path, make_evaluator, candidate, monkeypatch):
    forward = VideoModel.forward

    def crowded(self, clips):
        if self.training and len(clips) > 10 * candidate.frames:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, clips)

    monkeypatch.setattr(VideoModel, "forward", crowded)
    next(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS))
    monkeypatch.setattr(VideoModel, "forward", forward)
    again = list(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS))
    assert [measurement.metrics["accumulate"] for measurement in again] == [2, 2, 2]


def test_where_memory_runs_out_graphs_are_given_up_before_the_batch_is_divided(
    tmp_path, make_evaluator, candidate, settings, monkeypatch
):
    """As on a GPU, whose captured passes keep the memory of a step; what is launched gives the same numbers."""
    from gsfnas.evaluators import train

    monkeypatch.setattr(train, "can_replay", lambda settings, device: settings.cuda_graphs and settings.accumulate == 1)
    forward, times = VideoModel.forward, iter(range(10**6))

    def crowded(self, clips):
        if self.training and next(times) == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, clips)

    monkeypatch.setattr(VideoModel, "forward", crowded)
    first = next(make_evaluator(tmp_path).evaluate(candidate, seed=7, budget=EPOCHS))
    assert "accumulate" not in first.metrics


def test_a_batch_larger_than_the_data_is_refused(settings, data, tmp_path):
    evaluator = TrainEvaluator(dataclasses.replace(settings, batch_size=73), data)
    with pytest.raises(UserError, match="`batch_size` must be at most the 72 clips of the training split, but got 73"):
        evaluator.prepare(None, Context(tmp_path, device="cpu"))


# A C++ compiler that has kept nothing takes minutes.
_COMPILES = (pytest.mark.slow, pytest.mark.extra, pytest.mark.timeout(900))


@pytest.mark.parametrize(
    "option", [{"channels_last": False}, {"precision": "bf16-mixed"}, pytest.param({"compile": True}, marks=_COMPILES)]
)
def test_what_changes_speed_alone_changes_little_else(tmp_path, make_evaluator, candidate, settings, whole, option):
    changed = dataclasses.replace(settings, **option)
    if option.get("compile") and not shutil.which("c++"):
        pytest.skip("torch.compile needs a C++ compiler")
    first = next(make_evaluator(tmp_path, changed).evaluate(candidate, seed=7, budget=EPOCHS))
    assert first.metrics["train_loss"] == pytest.approx(whole[0][0].metrics["train_loss"], rel=2e-2)


def test_half_precision_without_a_gpu_is_refused(tmp_path, make_evaluator, candidate, settings):
    half = dataclasses.replace(settings, precision="16-mixed")
    with pytest.raises(UserError, match="`precision` 16-mixed needs a CUDA device, but this is cpu; use bf16-mixed"):
        list(make_evaluator(tmp_path, half).evaluate(candidate, seed=7, budget=EPOCHS))
