"""Training on the device: precisions, loss scaling, memory that runs out, kills, several workers and several GPUs."""

import copy
import dataclasses
import gc
import pickle
import signal
import subprocess
import sys
import textwrap
import weakref

import pytest
import torch
from cards import CUDA, need_gpus

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.data import DataSettings, open_data
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.executors.local import LocalExecutor
from gsfnas.model import VideoModel, build_model
from gsfnas.samplers import Random
from gsfnas.space import Space
from gsfnas.stoppers import NoStopper
from gsfnas.storages.journal import JournalStorage
from gsfnas.study import Afterwards, Circumstances, Parts, StudySettings, run_study
from gsfnas.train import (
    ProtocolSettings,
    TrainedModel,
    TrainSettings,
    _checkpoint,
    evaluate_split,
    fit_epoch,
    run_test,
)
from gsfnas.train._device import make_fabric
from gsfnas.train._evaluate import _counts
from gsfnas.train._graphs import capture, faster
from gsfnas.train._optimiser import build_optimiser
from gsfnas.train._resident import ResidentSplit, on_device

EPOCHS = 3


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> DataSettings:
    return DataSettings(
        frames=4,
        resolution=16,
        train_clips=72,
        val_clips=48,
        test_clips=48,
        difficulty=0.0,
        cache=str(tmp_path_factory.mktemp("cache")),
    )


@pytest.fixture
def settings(device) -> TrainSettings:
    """Four steps an epoch in single precision, the last of half a batch."""
    return TrainSettings(
        epochs=EPOCHS, batch_size=20, lr=0.05, warmup_epochs=0.5, dropout=0.2, device=device.type, precision="32-true"
    )


@pytest.fixture(scope="session")
def candidate() -> Candidate:
    gsf = Insertion.of("gate_shift_fuse", {"channels": 4})
    return Candidate(BackboneRef.of("micro"), 4, 16, (("layer1.0.conv1", gsf), ("layer2.0.conv1", gsf)))


def evaluator_in(folder, settings, data):
    evaluator = TrainEvaluator(settings, data)
    evaluator.prepare(None, Context(folder, device=settings.device))
    return evaluator


def run(folder, settings, data, candidate):
    return list(evaluator_in(folder, settings, data).evaluate(candidate, seed=7, budget=EPOCHS))


def losses(measurements):
    return [value for one in measurements for value in (one.metrics["train_loss"], one.metrics["val_loss"])]


def near(expected, device):
    """The same numbers on a CPU; on a GPU nearly so, since it adds up in no fixed order."""
    return expected if device.type == "cpu" else pytest.approx(expected, rel=2e-2)


def test_the_same_seed_gives_nearly_the_same_numbers(tmp_path, device, settings, data, candidate):
    first, second = (run(tmp_path / name, settings, data, candidate) for name in ("first", "second"))
    assert losses(first) == near(losses(second), device)


def test_a_device_begins_as_a_cpu_does(tmp_path, device, settings, data, candidate):
    """Order, augmentation and weights are the CPU's: the first epoch's loss is nearly its loss, without dropout."""
    plain = dataclasses.replace(settings, dropout=0.0, lr=0.005)
    found = run(tmp_path / "device", plain, data, candidate)
    expected = run(tmp_path / "cpu", dataclasses.replace(plain, device="cpu"), data, candidate)
    assert losses(found)[:2] == pytest.approx(losses(expected)[:2], rel=2e-3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_trains_nearly_as_single(tmp_path, device, settings, data, candidate, precision):
    if device.type == "cpu" and precision == "16-mixed":
        pytest.skip("training in float16 needs a GPU")
    half = dataclasses.replace(settings, precision=precision)
    found, single = run(tmp_path / "half", half, data, candidate), run(tmp_path / "single", settings, data, candidate)
    assert losses(found) == pytest.approx(losses(single), rel=5e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_the_scale_of_the_loss_is_kept_and_taken_up(tmp_path, device, settings, data, candidate):
    half = dataclasses.replace(settings, precision="16-mixed")
    stream = evaluator_in(tmp_path, half, data).evaluate(candidate, seed=7, budget=EPOCHS)
    path = next(stream).checkpoint
    stream.close()
    found = _checkpoint.load(path)
    assert found.scaler["scale"] > 0
    _checkpoint.save(path.parent, dataclasses.replace(found, scaler={**found.scaler, "scale": 8.0}))
    again = evaluator_in(tmp_path, half, data).evaluate(candidate, seed=7, budget=EPOCHS)
    next(again)
    assert _checkpoint.load(next(again).checkpoint).scaler["scale"] == 8.0


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_compiled_network_trains_nearly_the_same(tmp_path, device, settings, data, candidate, precision):
    if device.type == "cpu":
        pytest.skip("the compiler of C++ takes long; tests/train compiles there")
    asked = dataclasses.replace(settings, precision=precision)
    found = run(tmp_path / "compiled", dataclasses.replace(asked, compile=True), data, candidate)
    assert losses(found) == pytest.approx(losses(run(tmp_path / "plain", asked, data, candidate)), rel=5e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("device", [CUDA], indirect=True)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_replayed_passes_are_those_that_are_launched(device, settings, data, candidate, precision):
    fabric = make_fabric(device, precision)
    network = build_model(candidate, {"class": 24}, dropout=0.2).to(device)
    twin, before = copy.deepcopy(network), copy.deepcopy(network.state_dict())
    generator = torch.cuda.get_rng_state()
    model = fabric.setup(faster(network, settings, fabric))
    capture(model, open_data(data).splits["train"], settings, fabric)
    assert torch.equal(torch.cuda.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert model.module.is_captured
    frames = torch.randn(settings.batch_size * candidate.frames, 3, 16, 16, device=device)
    frames = frames.contiguous(memory_format=torch.channels_last)
    found = []
    for trained in (model, fabric.setup(faster(twin, dataclasses.replace(settings, cuda_graphs=False), fabric))):
        torch.cuda.manual_seed(3)
        trained.train()
        for _ in range(2):
            trained.zero_grad()
            logits = trained(frames)["class"]
            fabric.backward(logits.square().mean())
        found.append([logits, *(parameter.grad for parameter in trained.parameters())])
    for replayed, launched in zip(*found, strict=True):
        torch.testing.assert_close(replayed, launched, atol=1e-2, rtol=1e-2)
    # The last batch of an epoch is smaller, and goes through the network itself.
    assert model(frames[:4])["class"].shape == (1, 24)


def captured(fabric, settings, data, candidate):
    network = build_model(candidate, {"class": 24}, dropout=0.2).to(fabric.device)
    model = fabric.setup(faster(network, settings, fabric))
    capture(model, open_data(data).splits["train"], settings, fabric)
    return model


@pytest.mark.gpu
@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_graphs_that_are_garbage_do_not_spoil_a_capture(device, settings, data, candidate, monkeypatch):
    """Were they destroyed during it, which the garbage collector may do at any time, it would fail."""
    forward = VideoModel.forward

    def collecting(self, clips):
        if torch.cuda.is_current_stream_capturing():
            gc.collect()
        return forward(self, clips)

    monkeypatch.setattr(VideoModel, "forward", collecting)
    fabric = make_fabric(device, "32-true")
    gc.disable()
    try:
        model = captured(fabric, settings, data, candidate)
        earlier = weakref.ref(model.module)
        cycle = [model]
        cycle.append(cycle)
        del model, cycle
        assert earlier() is not None
        assert captured(fabric, settings, data, candidate).module.is_captured
        assert earlier() is None
    finally:
        gc.enable()


@pytest.mark.gpu
@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_a_capture_that_fails_leaves_nothing_behind(device, settings, data, candidate, monkeypatch, caplog):
    forward = VideoModel.forward

    def waiting(self, clips):
        if torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize()  # not allowed during a capture
        return forward(self, clips)

    monkeypatch.setattr(VideoModel, "forward", waiting)
    fabric, stream = make_fabric(device, "32-true"), torch.cuda.current_stream()
    model = captured(fabric, settings, data, candidate)
    assert not model.module.is_captured
    assert "the network is trained without a CUDA graph" in caplog.text
    assert torch.cuda.current_stream() == stream
    frames = torch.randn(settings.batch_size * candidate.frames, 3, 16, 16, device=device)
    fabric.backward(model(frames)["class"].mean())  # with dropout, which needs the generator
    monkeypatch.undo()
    assert captured(fabric, settings, data, candidate).module.is_captured


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch(tmp_path, device, settings, data, candidate):
    script = """
        import os, pickle, signal, sys
        from gsfnas.evaluators import Context
        from gsfnas.evaluators.train import TrainEvaluator

        train, data, candidate, folder = pickle.loads(bytes.fromhex(sys.argv[1]))
        def on_progress(done, total, text):
            if done > total * 2 / 3:
                os.kill(os.getpid(), signal.SIGKILL)
        evaluator = TrainEvaluator(train, data)
        evaluator.prepare(None, Context(folder, device=train.device, on_progress=on_progress))
        for measurement in evaluator.evaluate(candidate, seed=7, budget=3):
            assert measurement.epoch < 3
    """
    arguments = pickle.dumps((settings, data, candidate, tmp_path / "killed")).hex()
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), arguments], check=False, timeout=200)
    assert killed.returncode == -signal.SIGKILL
    rest = run(tmp_path / "killed", settings, data, candidate)
    assert [one.epoch for one in rest] == [2, 3]
    assert losses(rest) == near(losses(run(tmp_path / "whole", settings, data, candidate)[1:]), device)


def test_a_run_begun_on_the_device_ends_on_a_cpu_and_is_tested_there(tmp_path, device, settings, data, candidate):
    stream = evaluator_in(tmp_path, settings, data).evaluate(candidate, seed=7, budget=EPOCHS)
    next(stream)
    stream.close()
    on_cpu = dataclasses.replace(settings, device="cpu")
    rest = run(tmp_path, on_cpu, data, candidate)
    assert [one.epoch for one in rest] == [1, 2, 3]
    trained = TrainedModel.of(tmp_path / f"{candidate.key}-7")
    scores = [run_test(trained, data, recipe, ProtocolSettings()).tasks["class"].scores for recipe in (settings, on_cpu)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def crowded_for(parts_of_batch, monkeypatch):
    """On a CPU memory is made to run out where more than this share of a batch goes through the network at once."""
    forward = VideoModel.forward

    def crowded(self, clips):
        if self.training and len(clips) > parts_of_batch:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, clips)

    monkeypatch.setattr(VideoModel, "forward", crowded)


def test_where_memory_runs_out_the_batch_is_computed_in_parts(tmp_path, device, monkeypatch):
    """On a GPU it really runs out: the process may take nine tenths of what the whole batch took."""
    on_gpu = device.type == "cuda"
    data = DataSettings(
        frames=8, resolution=32, train_clips=192 if on_gpu else 48, val_clips=2, test_clips=2, cache=str(tmp_path)
    )
    settings = TrainSettings(
        epochs=1, batch_size=192 if on_gpu else 16, warmup_epochs=0.0, device=device.type, precision="32-true"
    )
    gsf = Insertion.of("gate_shift_fuse", {"channels": 16})
    candidate = Candidate(BackboneRef.of("micro"), 8, 32, (("layer1.0.conv1", gsf), ("layer2.0.conv1", gsf)))

    def measured(folder, parts):
        evaluator = evaluator_in(tmp_path / folder, dataclasses.replace(settings, accumulate=parts), data)
        return list(evaluator.evaluate(candidate, seed=7, budget=1))[-1].metrics

    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        measured("free", 1)
        needed, total = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.9 * needed / total)
    else:
        crowded_for(8 * 8, monkeypatch)
    try:
        metrics = measured("crowded", 1)
    finally:
        if on_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert metrics["accumulate"] >= 2
    assert metrics["train_loss"] < 4


@dataclasses.dataclass(frozen=True)
class Price:
    """Costs are not in question here."""

    def __call__(self, candidate):
        cost = 10**6 * (1 + len(candidate.insertions))
        return {"params": 1, "macs_fvcore": cost, "macs_ptflops": cost, "activations": 1, "saved_bytes": 1}


@pytest.mark.slow
def test_a_study_by_two_workers_on_one_device(tmp_path, device, settings, data):
    backbone = backbone_ref("micro")
    sites = [site for site in backbone_sites(backbone, 16) if site.is_default][:2]
    space = Space.from_dict({"name": "placement", "optional": True, "insertions": [{"module": "gsf", "ratio": [0.25]}]})
    recipe = dataclasses.replace(settings, epochs=1)
    parts = Parts(TrainEvaluator(recipe, data), Random(), NoStopper(), LocalExecutor(2), JournalStorage(), Price())
    study = run_study(
        StudySettings("cards", trials=3, replicates=1, runs=str(tmp_path)),
        space.bind(backbone, sites, frames=4, resolution=16),
        parts,
        Circumstances(configuration={"study": {"trials": 3}}, study_yaml="study: {}\n"),
        Afterwards(),
        device=device.type,
    )
    assert [record.outcome for record in study.records] == ["complete"] * 3
    # With one GPU both workers share it; with two each has its own.
    devices = {record.device for record in study.records}
    assert devices <= ({"cuda:0", "cuda:1"} if device.type == "cuda" else {"cpu"})


@pytest.mark.slow
def test_two_processes_lose_nearly_what_one_loses(tmp_path, device, settings, data, candidate):
    """NCCL between two GPUs; gloo on the CPU."""
    if device.type == "cuda":
        need_gpus(2)
    plain = dataclasses.replace(settings, dropout=0.0, lr=0.005)
    both = run(tmp_path / "two", dataclasses.replace(plain, devices=2), data, candidate)
    one = run(tmp_path / "one", dataclasses.replace(plain, accumulate=2), data, candidate)
    assert [two.metrics["train_loss"] for two in both] == pytest.approx([each.metrics["train_loss"] for each in one], rel=1e-3)


def parts_of_training(device, settings, candidate, data, precision):
    fabric = make_fabric(device, precision)
    network = build_model(candidate, {"class": 24}, dropout=0.2)
    model, optimiser = fabric.setup(network, build_optimiser(network, settings, fabric))
    return fabric, model, optimiser, open_data(data).splits


@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_loop_does_not_make_the_processor_wait(device, settings, candidate, data, precision, stays, without_waiting):
    if device.type == "cpu" and precision != "32-true":
        pytest.skip("bfloat16 takes long on a CPU")
    fabric, model, optimiser, splits = parts_of_training(device, settings, candidate, data, precision)
    split = on_device(splits["train"], device) if stays else splits["train"]
    assert isinstance(split, ResidentSplit) == (stays and device.type == "cuda")
    small = dataclasses.replace(settings, batch_size=5)  # 15 steps, so that losses come on the way and at the end
    fit_epoch(model, optimiser, fabric, split, small, epoch=1, seed=0)  # libraries are loaded
    told = []
    with without_waiting():
        loss = fit_epoch(model, optimiser, fabric, split, small, epoch=2, seed=0, on_step=lambda step, loss: told.append(step))
    assert 0 < loss < 5
    # From a GPU nothing has come at the tenth step, and everything at the end.
    assert told == ([25, 30] if device.type == "cpu" else [30])


def test_scores_are_counted_without_waiting(device, without_waiting):
    logits, target = torch.randn(6, 5, device=device), torch.arange(6, device=device) % 5
    _counts(logits, target)
    with without_waiting():
        counts = _counts(logits, target)
    assert counts[3].item() == 6


def test_the_step_is_fused_on_a_gpu_and_is_the_same_step(device, settings, candidate):
    steps = []
    for fabric in (make_fabric(device, "32-true"), None):
        torch.manual_seed(0)
        network = build_model(candidate, {"class": 24}).to(device)
        optimiser = build_optimiser(network, settings, fabric)
        assert optimiser.param_groups[0]["fused"] == (True if fabric and device.type == "cuda" else None)
        for _ in range(3):
            for parameter in network.parameters():
                parameter.grad = torch.ones_like(parameter) * 0.1
            optimiser.step()
        steps.append([parameter.detach().clone() for parameter in network.parameters()])
    for fused, plain in zip(*steps, strict=True):
        torch.testing.assert_close(fused, plain, atol=1e-6, rtol=1e-5)


def test_scores_on_the_device_are_those_on_a_cpu(device, settings, candidate, data):
    splits = open_data(data).splits
    network = build_model(candidate, {"class": 24})
    expected = evaluate_split(network, splits["val"], device=torch.device("cpu"), batch_size=16)["class"]
    split = on_device(splits["val"], device)
    found = evaluate_split(network.to(device), split, device=device, batch_size=16)["class"]
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert abs(found.top1 - expected.top1) <= 2 / 48


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_in_pinned_memory_for_a_gpu(device, data, workers):
    split = open_data(dataclasses.replace(data, workers=workers)).splits["train"]
    pinned = device.type == "cuda"
    plain = list(split.batches(20, shuffle_seed=1, augment_seed=2))
    for (clips, labels), (expected, _) in zip(
        split.batches(20, shuffle_seed=1, augment_seed=2, pinned=pinned), plain, strict=True
    ):
        assert clips.is_pinned() == pinned
        assert torch.equal(clips, expected)
        assert not labels["class"].is_cuda


def test_clips_that_stay_on_the_device_are_the_clips(device, data):
    split = open_data(data).splits["train"]
    asked = {"shuffle_seed": 1, "augment_seed": 2}
    staying = on_device(split, device).batches(20, pinned=device.type == "cuda", **asked)
    for (clips, labels), (expected, expected_labels) in zip(staying, split.batches(20, **asked), strict=True):
        assert clips.device.type == device.type
        assert torch.equal(clips.cpu(), expected)
        assert torch.equal(labels["class"], expected_labels["class"])
