"""The counting form computes the same as the model, in plain modules."""

import pytest
import torch
from space._bind import bound

from gsfnas.model import build_model, counting_form

from .nets import clips, perturbed


@pytest.mark.parametrize(
    ("backbone", "resolution"),
    [
        ("micro", 32),
        ("micro_bottleneck", 32),
        ("bninception", 64),
        ("inception_v3", 69),
        ("resnet18", 64),
        ("mobilenetv3_small_100", 64),
    ],
)
def test_the_counting_form_says_the_same_in_plain_modules(backbone: str, resolution: int) -> None:
    candidate = bound("full", backbone, frames=3, resolution=resolution).full
    model = perturbed(build_model(candidate, {"class": 4}))
    before = model(clips(candidate))["class"]
    form = counting_form(model.train())
    assert torch.allclose(
        form(clips(candidate).flatten(0, 1))["class"], before, rtol=1e-4, atol=1e-4 * before.abs().max().item()
    )
    kinds = {type(module).__name__ for module in form.modules() if not list(module.children())}
    assert not kinds & {"BatchNormAct2d", "GateShiftFuse"}
    assert model.training
    assert any(type(module).__name__ == "GateShiftFuse" for module in model.insertions.values())
    own = {name: value.shape for name, value in model.named_parameters() if name.startswith("heads")}
    assert own == {name: value.shape for name, value in form.named_parameters() if name.startswith("heads")}
    assert sum(p.numel() for p in form.parameters()) == sum(p.numel() for p in model.parameters())
