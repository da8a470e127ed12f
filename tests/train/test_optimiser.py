import copy
import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.model import build_model
from gsfnas.train import TrainSettings
from gsfnas.train._optimiser import (
    build_optimiser,
    can_be_fused,
    learning_rate,
    parameter_groups,
    published_groups,
    restore,
    set_learning_rate,
)


def test_the_schedule_is_a_ramp_and_half_a_cosine():
    settings = TrainSettings(epochs=5, warmup_epochs=1, lr=0.2)
    rates = [learning_rate(step, settings, steps_per_epoch=4) for step in range(20)]
    assert rates[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    # 16 steps of cosine: cos(pi * k / 16) for k = 0..15.
    assert rates[4:] == pytest.approx([0.1 * (1 + math.cos(math.pi * k / 16)) for k in range(16)])
    assert rates[12] == pytest.approx(0.1)


def test_without_warm_up_the_first_step_has_the_peak_rate():
    assert learning_rate(0, TrainSettings(epochs=2, warmup_epochs=0, lr=0.2), 10) == 0.2


def test_a_warm_up_of_part_of_an_epoch():
    settings = TrainSettings(epochs=1, warmup_epochs=0.5, lr=0.2)
    assert [learning_rate(step, settings, 4) for step in range(3)] == pytest.approx([0.1, 0.2, 0.2])


def saved_names(model):
    """Parameters by id to the names that they are saved under; the head of ``class`` is held under another one."""
    saved = model.state_dict(keep_vars=True)
    return {id(value): name for name, value in saved.items() if isinstance(value, torch.nn.Parameter)}


def test_biases_and_normalisation_do_not_decay(candidate):
    model = build_model(candidate, {"class": 24})
    decayed, spared = parameter_groups(model, 0.01)
    names = saved_names(model)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    norms = {
        names[id(parameter)]
        for module in model.modules()
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d)
        for parameter in module.parameters(recurse=False)
    }
    assert norms
    assert {names[id(p)] for p in spared["params"]} >= norms | {n for n in names.values() if n.endswith("bias")}
    assert {names[id(p)] for p in decayed["params"]} >= {"backbone.conv1.weight", "heads.class.weight"}


def test_a_step_moves_a_weight_by_decay_and_a_bias_not():
    layer = torch.nn.Linear(2, 2)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    build_optimiser(layer, TrainSettings(lr=0.1, weight_decay=0.5, momentum=0.0, nesterov=False)).step()
    torch.testing.assert_close(layer.weight, before[0] * 0.95)
    assert torch.equal(layer.bias, before[1])


def test_the_published_groups_are_those_of_the_published_code(candidate):
    """First convolution, other convolutions (the gates' too), heads and BatchNorm; biases twice as fast and without decay."""
    model = build_model(candidate, {"class": 3})
    groups = {group["name"]: group for group in published_groups(model, 1e-4)}
    names = saved_names(model)
    held = {name: [names[id(parameter)] for parameter in group["params"]] for name, group in groups.items()}
    assert sorted(itertools.chain(*held.values())) == sorted(names.values())
    assert held["first_conv_weight"] == [next(iter(names.values()))]
    assert (held["head_weight"], held["head_bias"]) == (["heads.class.weight"], ["heads.class.bias"])
    assert "insertions.layer1-0-conv1.gate.weight" in held["conv_weight"]
    assert "insertions.layer1-0-conv1.fuse.bias" in held["conv_bias"]
    assert "insertions.layer1-0-conv1.gate.norm.weight" in held["norm"]
    rates = {name: (group["lr_scale"], group["weight_decay"]) for name, group in groups.items()}
    assert rates == {
        "first_conv_weight": (1.0, 1e-4),
        "conv_weight": (1.0, 1e-4),
        "conv_bias": (2.0, 0.0),
        "norm": (1.0, 0.0),
        "head_weight": (1.0, 1e-4),
        "head_bias": (2.0, 0.0),
    }


def test_a_first_convolution_with_a_bias_has_a_group_for_it():
    model = build_model(Candidate(BackboneRef.of("bninception", {"width": "0.25"}), 2, 32), {"class": 3})
    groups = {group["name"]: group for group in published_groups(model, 1e-4)}
    assert len(groups["first_conv_bias"]["params"]) == 1
    assert groups["first_conv_bias"]["lr_scale"] == 2.0


def test_the_rate_of_a_group_follows_the_schedule(candidate):
    settings = TrainSettings(groups="published", lr=0.01, lr_batch=32, batch_size=64, nesterov=False)
    optimiser = build_optimiser(build_model(candidate, {"class": 3}), settings)
    set_learning_rate(optimiser, 0.005)
    rates = {group["name"]: group["lr"] for group in optimiser.param_groups}
    assert rates["conv_weight"] == 0.005
    assert rates["conv_bias"] == 0.01
    assert learning_rate(10**6 - 1, TrainSettings(lr=0.01, lr_batch=32, batch_size=64, warmup_epochs=1.0), 10**6) == 0.02


def fabric_on(device, scaler=None):
    return SimpleNamespace(device=torch.device(device), strategy=SimpleNamespace(precision=SimpleNamespace(scaler=scaler)))


@pytest.mark.parametrize(
    ("device", "scaler", "expected"), [("cpu", None, False), ("cuda", None, True), ("cuda", object(), False)]
)
def test_the_step_is_fused_on_a_gpu_without_loss_scaling(device, scaler, expected):
    """Lightning refuses to clip gradients that a fused optimiser is to unscale."""
    fabric = fabric_on(device, scaler)
    assert can_be_fused(fabric) == expected
    (group, _) = build_optimiser(torch.nn.Linear(2, 2), TrainSettings(), fabric).param_groups
    assert group["fused"] == (expected or None)


def test_a_step_goes_on_by_the_means_of_its_own_device():
    """A run begun on a GPU goes on a CPU as if it had been begun there, and the other way round."""
    settings = TrainSettings(lr=0.1)
    layer = torch.nn.Linear(2, 2)

    def step(optimiser):
        layer.weight.grad, layer.bias.grad = torch.ones(2, 2), torch.ones(2)
        optimiser.step()

    elsewhere = build_optimiser(layer, settings, fabric_on("cuda"))
    for group in elsewhere.param_groups:
        group["lr"] = 0.05
    step(elsewhere)
    found = copy.deepcopy(elsewhere.state_dict())
    here = build_optimiser(layer, settings)
    restore(here, found)
    assert [group["fused"] for group in here.param_groups] == [None, None]
    assert [group["lr"] for group in here.param_groups] == [0.05, 0.05]
    assert torch.equal(here.state[layer.weight]["momentum_buffer"], elsewhere.state[layer.weight]["momentum_buffer"])
    restore(elsewhere, build_optimiser(layer, settings).state_dict())
    assert [group["fused"] for group in elsewhere.param_groups] == [True, True]
