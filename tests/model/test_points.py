"""Every point of a space builds and runs."""

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from space._bind import bound
from torch import nn

from gsfnas.candidate import Candidate
from gsfnas.model import build_model

from .nets import NARROW, clips

BACKBONES = [
    ("micro", 32, {}),
    ("micro", 16, NARROW),
    ("micro_bottleneck", 32, {"width": 0.5}),
    ("bninception", 64, NARROW),
    ("inception_v3", 69, NARROW),
    ("resnet18", 64, {}),
    ("mobilenetv3_small_100", 64, {}),
]


@pytest.mark.parametrize(("backbone", "resolution", "options"), BACKBONES)
@pytest.mark.parametrize("name", ["placement", "full"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_sampled_point_builds_and_trains(
    name: str, backbone: str, resolution: int, options: dict[str, float], seed: int
) -> None:
    space = bound(name, backbone, frames=2, resolution=resolution, **options)
    runs(space.sample(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet26", "resnet50", "resnet101", "convnext_nano", "efficientnet_b0", "bninception"])
def test_points_of_the_larger_networks_build_and_train(backbone: str) -> None:
    space = bound("full", backbone, frames=2, resolution=64)
    for seed in range(2):
        runs(space.sample(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet50", "bninception"])
def test_a_full_size_candidate_of_full_yaml_runs_forward_and_backward(backbone: str) -> None:
    candidate = bound("full", backbone, frames=8, resolution=224).sample(random.Random(0))
    assert len(candidate.insertions) > 5
    runs(candidate, batch=1)


def runs(candidate: Candidate, batch: int = 2) -> None:
    """Forward and backward, every gradient there and finite."""
    model = build_model(candidate, {"class": 3})
    nn.init.normal_(model.heads["class"].weight)
    model.train()(clips(candidate, batch))["class"].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
