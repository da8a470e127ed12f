"""Closed forms against the two counters, to the last digit."""

import random
import time
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from _counters import HEADS, assert_counters_agree

import gsfnas.cost._price as price_module
from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.cost import Pricer, price, saved_bytes
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.space import BoundSpace, Space

BACKBONES = [
    ("micro", {}),
    ("micro18", {}),
    ("micro_bottleneck", {}),
    ("bninception", {"width": 0.25}),
    ("bninception", {}),
    ("resnet18", {}),
    ("resnet26", {}),
    ("resnet50", {}),
    ("convnext_nano", {}),
    ("mobilenetv3_small_100", {}),
    ("efficientnet_b0", {}),
]

# Every option of the operator, the switches too, so that no closed form escapes.
WIDE = Space.from_dict(
    {
        "name": "wide",
        "sites": {"role": "default"},
        "insertions": [
            {"module": "gate_shift_fuse", "gate": ["learnable", 1, -1, 0], "fuse": ["learnable", "sum"], "ratio": [0.25, 1.0]},
            {"module": "gate_shift_fuse", "gate_norm": 0, "bias": [0, 1], "interleave": [0, 1], "ratio": 0.5},
        ],
    }
)


@cache
def bound(name: str, width: float | None, frames: int, resolution: int) -> BoundSpace:
    backbone = backbone_ref(name, {} if width is None else {"width": width})
    return WIDE.bind(backbone, backbone_sites(backbone, resolution), frames=frames, resolution=resolution)


@pytest.mark.parametrize(("name", "options"), BACKBONES)
@pytest.mark.parametrize("draw", [0, 1, *(pytest.param(draw, marks=pytest.mark.extra) for draw in (2, 3, 4))])
def test_price_equals_both_counters(name: str, options: dict[str, float], draw: int) -> None:
    frames = (8, 3, 1, 5, 2)[draw]
    space = bound(name, options.get("width"), frames, 64)
    assert_counters_agree(space.sample(random.Random(f"{name}-{draw}")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "resolution"),
    [
        *((name, 224) for name in ("bninception", "resnet50")),
        *(pytest.param(name, 224, marks=pytest.mark.extra) for name in ("resnet18", "resnet101", "convnext_nano")),
        *(pytest.param(name, 224, marks=pytest.mark.extra) for name in ("efficientnet_b0", "mobilenetv3_small_100")),
        *((name, 32) for name in ("micro", "micro_bottleneck")),
        pytest.param("inception_v3", 229, marks=pytest.mark.extra),
    ],
)
def test_price_equals_both_counters_at_full_size(name: str, resolution: int) -> None:
    space = bound(name, None, 8, resolution)
    assert_counters_agree(space.sample(random.Random(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "bninception"])
def test_a_candidate_of_the_shipped_full_space_at_full_size(name: str) -> None:
    backbone = backbone_ref(name, {})
    file = Path(__file__).parents[2] / "spaces/full.yaml"
    space = Space.from_dict(yaml.safe_load(file.read_text()))
    candidate = space.bind(backbone, backbone_sites(backbone, 224), frames=8, resolution=224).sample(random.Random(1))
    assert_counters_agree(candidate)
    model = build_model(candidate, HEADS)
    model(torch.randn(1, 8, 3, 224, 224))["class"].square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.slow
def test_the_published_networks() -> None:
    """Rows of tables 4 and 7: parameters with a 174-class head, ptflops with a 1000-class head, both as printed."""
    backbone = backbone_ref("resnet50", {})
    sites = [site for site in backbone_sites(backbone, 224) if site.role == "conv3" and site.kind == "after"]
    asked = {"name": "table4", "sites": {"role": "conv3", "kind": "after"}, "insertions": [{"module": "gsf", "ratio": 0.25}]}
    space = Space.from_dict(asked)
    published = space.bind(backbone, sites, frames=8, resolution=224)
    for candidate, params_m, gmacs in ((published.empty, 23.86, 33.06), (published.full, 23.97, 33.40)):
        assert round(price(candidate, {"class": 174}).total.params / 1e6, 2) == params_m
        assert round(price(candidate, {"class": 1000}).total.macs_ptflops / 1e9, 2) == gmacs


def test_parts_add_up_and_name_their_sites() -> None:
    space = bound("micro", None, 4, 32)
    cost = price(space.full, {"verb": 7, "noun": 5})
    assert list(cost.by_site) == [name for name, _ in space.full.insertions]
    parts = [cost.backbone, cost.head, *cost.by_site.values()]
    assert cost.total.macs_ptflops == sum(part.macs_ptflops for part in parts)
    assert price(space.empty, {"verb": 7, "noun": 5}).by_site == {}


def test_pricing_builds_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    space = bound("micro", None, 4, 32)
    pricer = Pricer(space.backbone, 4, 32, HEADS)

    def refuse(*arguments: object) -> None:
        raise AssertionError("pricing built a model")

    monkeypatch.setattr(price_module, "build_model", refuse)
    monkeypatch.setattr(torch.nn.Module, "__call__", refuse)
    generator = random.Random(0)
    start = time.perf_counter()
    for _ in range(200):
        pricer(space.sample(generator))
    # 200 prices in well under the seconds that 200 models would take; the speed itself is shown in benchmarks/price.py.
    assert time.perf_counter() - start < 5


def test_a_toy_network_by_hand() -> None:
    """micro without insertions: what fvcore counts of its head is features x classes a frame, and nothing else changes."""
    space = bound("micro", None, 4, 32)
    one, two = price(space.empty, {"class": 10}), price(space.empty, {"class": 30})
    features = build_model(space.empty, {"class": 10}).backbone.num_features
    assert two.total.macs_fvcore - one.total.macs_fvcore == 4 * features * 20
    assert two.total.macs_ptflops - one.total.macs_ptflops == 4 * (features + 1) * 20
    assert two.total.params - one.total.params == (features + 1) * 20
    assert price(space.empty, {"class": 10}).backbone == one.backbone


@pytest.mark.parametrize("draw", range(6))
@pytest.mark.parametrize("name", ["micro", "bninception", "resnet18"])
def test_saved_bytes_are_those_of_the_built_model(name: str, draw: int) -> None:
    """The closed form adds up parts that autograd keeps apart; it stays within 2 % of the built network."""
    space = bound(name, 0.25 if name == "bninception" else None, 4, 64)
    candidate = [space.empty, space.full, *(space.sample(random.Random(i)) for i in range(4))][draw]
    model = build_model(candidate, HEADS).train()
    measured = saved_bytes(model, torch.zeros(1, 4, 3, 64, 64))
    assert price(candidate, HEADS).total.saved_bytes == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (
            Candidate(BackboneRef("micro"), 4, 32, (("layer9.conv", Insertion.of("gate_shift_fuse", {"channels": 4})),)),
            "layer9",
        ),
        (Candidate(BackboneRef("micr"), 4, 32), "did you mean 'micro'"),
    ],
)
def test_refusals(candidate: Candidate, message: str) -> None:
    with pytest.raises(UserError, match=message):
        price(candidate)
