"""How a model runs: channels last, autocast, compiled."""

import warnings

import pytest
import torch
from space._bind import bound

from gsfnas.model import build_model

from .nets import clips, perturbed


@pytest.mark.parametrize("backbone", ["micro", "resnet18"])
def test_channels_last_gives_the_same(backbone: str) -> None:
    candidate = bound("full", backbone, frames=2, resolution=32).full
    model = perturbed(build_model(candidate, {"class": 4}))
    expected = model(clips(candidate))["class"]
    model.to(memory_format=torch.channels_last)
    found = model(clips(candidate).flatten(0, 1).to(memory_format=torch.channels_last))["class"]
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_autocast_trains() -> None:
    candidate = bound("full", frames=2).full
    model = build_model(candidate, {"class": 4}).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(clips(candidate))["class"].float().square().sum()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.slow
def test_a_compiled_model_says_the_same() -> None:
    """In one graph: the modules do not break it. What was compiled before with other shapes would make these dynamic."""
    space = bound({"sites": {"pattern": ["layer1.0.conv1", "layer2.0.conv1.before"]}, "insertions": [{"module": "gsf"}]})
    model = perturbed(build_model(space.full, {"class": 4}))
    expected = model(clips(space.full))["class"]
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.compile(model, fullgraph=True)(clips(space.full))["class"]
    torch.compiler.reset()
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
