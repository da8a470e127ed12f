"""A warm start: trained once, resumed after a kill, the beginning of every candidate, part of the ids of runs."""

import dataclasses
import multiprocessing
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from gsfnas.errors import UserError
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.train import _checkpoint

EPOCHS = 3


def numbers(measurement) -> dict[str, float]:
    """The metrics that do not depend on the clock."""
    return {name: value for name, value in measurement.metrics.items() if name != "seconds"}


def plain_space(candidate):
    """What an evaluator asks of a space: the network without modules."""
    return SimpleNamespace(empty=dataclasses.replace(candidate, insertions=()))


def warm(folder, settings, data, epochs=2, **options):
    evaluator = TrainEvaluator(dataclasses.replace(settings, warm_start=epochs), data, **options)
    context = Context(folder, device="cpu", threads=1)
    torch.set_num_threads(1)
    return evaluator, context


def weights_of_warm_start(folder):
    (path,) = folder.glob("warm-start/c1-*/weights.safetensors")
    return path


def test_a_candidate_begins_with_the_weights_of_the_warm_start(tmp_path, candidate, settings, data):
    evaluator, context = warm(tmp_path / "one", settings, data)
    evaluator.prepare_once(plain_space(candidate), context)
    path = weights_of_warm_start(tmp_path / "one")
    written = path.stat().st_mtime_ns
    evaluator.prepare(plain_space(candidate), context)
    found = [numbers(one) for one in evaluator.evaluate(candidate, seed=7, budget=EPOCHS)]
    assert path.stat().st_mtime_ns == written
    other = TrainEvaluator(dataclasses.replace(settings, init=str(path)), data)
    other.prepare(None, Context(tmp_path / "other", device="cpu", threads=1))
    assert found == [numbers(one) for one in other.evaluate(candidate, seed=7, budget=EPOCHS)]
    # The same in another folder, and for a run alone, which trains the warm start itself.
    again, context = warm(tmp_path / "again", settings, data)
    again.prepare(None, context)
    assert found == [numbers(one) for one in again.evaluate(candidate, seed=7, budget=EPOCHS)]


def test_a_warm_start_that_was_killed_goes_on_where_it_was(tmp_path, candidate, settings, data, monkeypatch):
    evaluator, context = warm(tmp_path / "whole", settings, data)
    evaluator.prepare_once(plain_space(candidate), context)
    expected = load_file(weights_of_warm_start(tmp_path / "whole"))
    killed, context = warm(tmp_path / "killed", settings, data)
    save = _checkpoint.save

    def dying(folder, checkpoint):
        save(folder, checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(_checkpoint, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        killed.prepare_once(plain_space(candidate), context)
    monkeypatch.setattr(_checkpoint, "save", save)
    assert list((tmp_path / "killed" / "warm-start").glob("*/last.pt"))
    killed.prepare_once(plain_space(candidate), context)
    found = load_file(weights_of_warm_start(tmp_path / "killed"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_run_that_goes_on_needs_no_warm_start(tmp_path, candidate, settings, data):
    """Its checkpoint has all; the weights that it began with may be gone."""
    evaluator, context = warm(tmp_path, settings, data)
    evaluator.prepare(None, context)
    stream = evaluator.evaluate(candidate, seed=7, budget=EPOCHS)
    next(stream)
    stream.close()
    weights_of_warm_start(tmp_path).unlink()
    rest = list(evaluator.evaluate(candidate, seed=7, budget=EPOCHS))
    assert [one.epoch for one in rest] == list(range(1, EPOCHS + 1))
    assert not list(tmp_path.glob("warm-start/*/weights.safetensors"))


def train_warm_start(folder, settings, data, candidate):
    warm(folder, settings, data)[0].prepare_once(plain_space(candidate), Context(folder, device="cpu", threads=1))


def test_two_processes_train_one_warm_start(tmp_path, candidate, settings, data):
    train_warm_start(tmp_path / "alone", settings, data, candidate)
    expected = load_file(weights_of_warm_start(tmp_path / "alone"))
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=train_warm_start, args=(tmp_path / "both", settings, data, candidate)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    found = load_file(weights_of_warm_start(tmp_path / "both"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_warm_start_whose_weights_are_gone_is_trained_again(tmp_path, candidate, settings, data):
    train_warm_start(tmp_path, settings, data, candidate)
    path = weights_of_warm_start(tmp_path)
    expected = load_file(path)
    path.unlink()
    evaluator, context = warm(tmp_path, settings, data)
    evaluator.prepare(None, context)
    next(evaluator.evaluate(candidate, seed=7, budget=EPOCHS))
    found = load_file(path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_warm_start_that_diverges_is_one_line(tmp_path, candidate, settings, data):
    settings = dataclasses.replace(settings, lr=1e30, clip_gradient=0.0, warmup_epochs=0.0)
    with pytest.raises(UserError, match=r"^the warm start cannot go on: .*; a smaller train.lr may help$"):
        train_warm_start(tmp_path, settings, data, candidate)


def test_progress_says_that_it_is_the_warm_start(tmp_path, candidate, settings, data):
    evaluator, context = warm(tmp_path, settings, data)
    said = []
    evaluator.prepare_once(
        plain_space(candidate), dataclasses.replace(context, on_progress=lambda done, total, text: said.append((total, text)))
    )
    assert all(text.startswith("warm start, epoch ") for _, text in said)
    assert said[-1][1].startswith("warm start, epoch 2/2")


def test_a_warm_start_is_part_of_the_recipe_by_its_length_alone(settings, data):
    hashes = [dataclasses.replace(settings, warm_start=epochs).recipe_hash() for epochs in (0, 2, 3)]
    assert len(set(hashes)) == 3
    assert hashes[0] == settings.recipe_hash()
    both = TrainEvaluator(dataclasses.replace(settings, warm_start=3), data, test_each_epoch=True)
    assert both.identity.recipe == f"{hashes[2]}-tested"
