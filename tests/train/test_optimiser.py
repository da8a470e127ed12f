import math

import pytest
import torch

from gsfnas.model import build_model
from gsfnas.train import TrainSettings
from gsfnas.train._optimiser import build_optimiser, learning_rate, parameter_groups


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


def test_biases_and_normalisation_do_not_decay(candidate):
    model = build_model(candidate, {"class": 24})
    decayed, spared = parameter_groups(model, 0.01)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    norms = {
        f"{module_name}.{name}"
        for module_name, module in model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d)
        for name, _ in module.named_parameters(recurse=False)
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
