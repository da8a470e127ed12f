"""Counts under a convention against the counters themselves, run on the counting form."""

import random

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate
from gsfnas.convention import CONVENTIONS
from gsfnas.cost import count_fvcore, count_operations, count_ptflops, fused_activations, price
from gsfnas.model import build_model, counting_form
from gsfnas.space import Space

SPACE = Space.from_dict({"insertions": [{"module": "gsf", "ratio": [0.5, 1.0]}, {"module": "gsm"}]})
NETWORKS = [
    ("micro", {}, 32),
    ("bninception", {"width": 0.25}, 64),
    ("inception_v3", {"width": 0.25}, 69),
    ("resnet18", {}, 64),
]


def candidate_of(name: str, options: dict[str, float], resolution: int) -> Candidate:
    ref = backbone_ref(name, options)
    return SPACE.bind(ref, backbone_sites(ref, resolution), frames=3, resolution=resolution).sample(random.Random(name))


@pytest.mark.parametrize(("name", "options", "resolution"), NETWORKS)
def test_operations_are_what_the_counters_say(name: str, options: dict[str, float], resolution: int) -> None:
    candidate = candidate_of(name, options, resolution)
    clip = torch.zeros(1, 3, 3, resolution, resolution)

    def form(classes: int) -> nn.Module:
        return counting_form(build_model(candidate, {"class": classes}))

    heads = {"class": 7}
    fvcore = count_fvcore(form(7), clip).operations
    assert count_operations(candidate, CONVENTIONS["fvcore"], heads).operations == fvcore
    assert count_operations(candidate, CONVENTIONS["flops"], heads).operations == 2 * fvcore
    assert count_operations(candidate, CONVENTIONS["ptflops"], heads).operations == count_ptflops(form(7), clip)
    resnet = count_operations(candidate, CONVENTIONS["paper-resnet"], heads)
    assert resnet.operations == count_ptflops(form(1000), clip)
    assert resnet.params == sum(parameter.numel() for parameter in form(7).parameters())

    once = form(1000)
    pooled: list[int] = []
    for module in once.modules():
        if "Pool" in type(module).__name__ and not list(module.children()):
            module.register_forward_hook(lambda layer, args, output: pooled.append(args[0].numel()))
    with torch.no_grad():
        once(clip)
    assert count_operations(candidate, CONVENTIONS["paper-inception"], heads).operations == resnet.operations - sum(pooled)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "resnet18"])
def test_activations_fused_with_batchnorm_are_what_plain_ptflops_does_not_see(name: str) -> None:
    model = build_model(Candidate(backbone_ref(name), 1, 32), {"class": 10}).eval()
    hidden = fused_activations(backbone_ref(name), 32)
    seen = count_ptflops(model, torch.zeros(1, 1, 3, 32, 32))
    assert price(Candidate(backbone_ref(name), 1, 32), {"class": 10}).total.macs_ptflops == seen + hidden
    # timm's own module: every hidden activation works on what a BatchNorm returns.
    read: list[int] = []
    for module in model.modules():
        if isinstance(module, BatchNormAct2d) and not isinstance(module.act, nn.Identity):
            module.register_forward_hook(lambda layer, args, output: read.append(output.numel()))
    model(torch.zeros(1, 1, 3, 32, 32))
    assert (hidden > 0) == (sum(read) > 0) == name.startswith("mobilenet")
    assert hidden >= sum(read)


def test_several_heads_are_all_counted_and_the_papers_head_replaces_them() -> None:
    candidate = candidate_of(*NETWORKS[0])
    one, two = {"verb": 5}, {"verb": 5, "noun": 9}
    assert (
        count_operations(candidate, CONVENTIONS["fvcore"], two).operations
        > count_operations(candidate, CONVENTIONS["fvcore"], one).operations
    )
    paper = [count_operations(candidate, CONVENTIONS["paper-resnet"], heads) for heads in (one, two)]
    assert paper[0].operations == paper[1].operations
    assert paper[0].params < paper[1].params
