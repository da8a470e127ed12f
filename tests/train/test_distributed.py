"""Several processes at one run: the numbers of one, every clip once, and an end where one of them dies."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file

from gsfnas.data import open_data
from gsfnas.errors import UserError
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.train import ProtocolSettings, TrainedModel, run_test
from gsfnas.train._distributed import ProcessDiedError, launch

CPU = torch.device("cpu")


def measurements(folder, settings, data, candidate):
    """With one thread a process: several add up in another order, and rounding grows from step to step."""
    evaluator = TrainEvaluator(settings, data)
    evaluator.prepare(None, Context(folder, device="cpu", threads=settings.devices))
    return list(evaluator.evaluate(candidate, seed=7, budget=2))


@pytest.fixture(scope="module")
def recipe(settings):
    """Dropout is drawn by each process for itself, so there is none here. 19 clips a batch, which two cannot halve."""
    return dataclasses.replace(settings, epochs=2, dropout=0.0, batch_size=19, lr=0.04)


@pytest.fixture(scope="module")
def two(tmp_path_factory, recipe, data, candidate):
    """A run by two processes: its measurements and its folder."""
    folder = tmp_path_factory.mktemp("two")
    found = measurements(folder, dataclasses.replace(recipe, devices=2), data, candidate)
    return found, folder / f"{candidate.key}-7"


def test_two_processes_lose_what_one_loses_at_the_same_batch(tmp_path, recipe, data, candidate, two):
    """One computes the batch in the two parts that the two compute: each part is normalised by itself."""
    one = measurements(tmp_path, dataclasses.replace(recipe, accumulate=2), data, candidate)
    for alone, together in zip(one, two[0], strict=True):
        assert together.metrics["train_loss"] == pytest.approx(alone.metrics["train_loss"], abs=1e-5)
    whole = measurements(tmp_path / "whole", recipe, data, candidate)
    assert abs(whole[1].metrics["train_loss"] - one[1].metrics["train_loss"]) > 1e-5


def test_what_they_measure_is_what_one_process_measures_of_their_weights(recipe, data, candidate, two):
    found, folder = two
    trained = TrainedModel.of(folder)
    scores = run_test(trained, data, recipe, ProtocolSettings(), data=open_data(data))
    assert len(scores.names) == 48
    assert found[-1].metrics["test_top1"] == scores.metrics()["test_top1"]
    assert found[-1].metrics["test_top5"] == scores.metrics()["test_top5"]
    # Were the second one's running statistics its own, its half of the clips would be scored by another network.
    task = scores.tasks["class"]
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(task.scores), torch.from_numpy(task.labels))
    assert found[-1].metrics["test_loss"] == pytest.approx(loss.item(), abs=1e-5)


def test_a_test_by_three_processes_counts_every_video_once(recipe, data, two):
    trained = TrainedModel.of(two[1])
    one = run_test(trained, data, recipe, ProtocolSettings())
    three = run_test(trained, data, dataclasses.replace(recipe, devices=3), ProtocolSettings())
    assert three.names == one.names
    assert (three.tasks["class"].labels == one.tasks["class"].labels).all()
    assert three.tasks["class"].scores == pytest.approx(one.tasks["class"].scores, abs=1e-5)


def test_a_run_of_two_goes_on_where_it_stopped(tmp_path, recipe, data, candidate, two):
    both = dataclasses.replace(recipe, devices=2)
    evaluator = TrainEvaluator(both, data)
    evaluator.prepare(None, Context(tmp_path, device="cpu", threads=2))
    stream = evaluator.evaluate(candidate, seed=7, budget=2)
    next(stream)
    stream.close()
    again = measurements(tmp_path, both, data, candidate)
    assert [measurement.epoch for measurement in again] == [1, 2]
    weights, whole = (
        load_file(tmp_path / f"{candidate.key}-7" / "weights.safetensors"),
        load_file(two[1] / "weights.safetensors"),
    )
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


@dataclass(frozen=True)
class Dies:
    """The second process is killed while the first waits for it."""

    def __call__(self, fabric, tell):
        tell("begun")
        if fabric.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        fabric.barrier()


@dataclass(frozen=True)
class DiesLate:
    """The first process reports its lost connection before the second, which caused it, has ended."""

    def __call__(self, fabric, tell):
        fabric.barrier()
        if fabric.global_rank == 0:
            raise ConnectionError("connection closed by peer")
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Fails:
    """The second process fails while the first waits for it."""

    kind: type[Exception]

    def __call__(self, fabric, tell):
        if fabric.global_rank == 1:
            raise self.kind("a clip is gone")
        fabric.barrier()


def test_where_one_dies_all_end():
    began = time.monotonic()
    stream = launch(Dies(), CPU, "32-true", [0, 1], 1)
    assert next(stream) == "begun"
    with pytest.raises(RuntimeError, match=r"process 2 of 2 died \(signal 9\)"):
        list(stream)
    assert time.monotonic() - began < 60


def test_the_cause_is_complete_where_its_consequence_is_seen_first():
    with pytest.raises(ProcessDiedError, match=r"process 2 of 2 died \(signal 9\)"):
        list(launch(DiesLate(), CPU, "32-true", [0, 1], 1))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(UserError, UserError), (FloatingPointError, FloatingPointError), (OSError, RuntimeError)],
)
def test_what_one_raises_reaches_the_caller(kind, expected):
    with pytest.raises(expected, match="a clip is gone"):
        list(launch(Fails(kind), CPU, "32-true", [0, 1], 1))


def test_a_run_whose_process_is_killed_fails_and_leaves_none(tmp_path, recipe, data, candidate):
    evaluator = TrainEvaluator(dataclasses.replace(recipe, devices=2, epochs=50), data)
    evaluator.prepare(None, Context(tmp_path, device="cpu", threads=2))
    stream = evaluator.evaluate(candidate, seed=7, budget=50)
    next(stream)
    (second,) = (child for child in multiprocessing.active_children() if child.name == "gsfnas rank 1")
    os.kill(second.pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"process 2 of 2 died \(signal 9\)"):
        list(stream)
    assert time.monotonic() - began < 60
    assert not [child for child in multiprocessing.active_children() if child.name.startswith("gsfnas rank")]


def test_more_devices_than_there_are_is_one_line(settings, data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    evaluator = TrainEvaluator(dataclasses.replace(settings, device="cuda", devices=2), data)
    with pytest.raises(UserError, match="`devices` asks for 2 CUDA devices, but there are 1"):
        evaluator.prepare(None, Context(tmp_path))


PROGRAM = """
import multiprocessing, os, sys, time
import torch
from gsfnas.cli._signals import stopping
from gsfnas.train._distributed import launch

class Waits:
    def __call__(self, fabric, tell):
        tell("at work")
        time.sleep(60)

if __name__ == "__main__":
    with stopping(until_exit=True) as stop:
        try:
            for told in launch(Waits(), torch.device("cpu"), "32-true", [0, 1], 1):
                print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        except KeyboardInterrupt:
            print("stopped")
            sys.exit(stop.code)
"""


@pytest.mark.parametrize("is_group", [True, False])
def test_a_signal_to_all_is_heard_by_the_first_alone_and_none_is_left(tmp_path, is_group):
    """Otherwise the death of one would be told as the reason."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        ranks = list(map(int, process.stdout.readline().split()))
        (os.killpg if is_group else os.kill)(process.pid, signal.SIGTERM)
        assert process.communicate(timeout=30) == ("stopped\n", "")
        assert process.returncode == 143
    assert len(ranks) == 2
    for rank in ranks:
        with pytest.raises(ProcessLookupError):
            os.kill(rank, 0)
