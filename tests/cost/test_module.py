"""Modules without a closed form: counted once, alone, and remembered."""

import json
import random
from pathlib import Path

import pytest
from _counters import assert_counters_agree
from torch import nn

import gsfnas.cost._module as module_file
from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.cost import Pricer, price
from gsfnas.errors import UserError
from gsfnas.modules import resolve
from gsfnas.modules.temporal_conv.spec import TemporalConvSpec
from gsfnas.modules.temporal_pooling.spec import TemporalPoolingSpec

MICRO = backbone_ref("micro_bottleneck")
# What each kind of site may hold.
MODULES = {
    "after": ["gsf", "gsm", "tsm"],
    "before": ["gsf", "gsm"],
    "replace": ["temporal_conv"],
    "consensus": ["temporal_pooling"],
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def mixed(backbone: BackboneRef, frames: int, resolution: int, seed: str) -> Candidate:
    """Random modules at a dozen random sites of all kinds, in each other's way nowhere."""
    generator = random.Random(seed)
    sites = backbone_sites(backbone, resolution)
    held: dict[Site, Insertion] = {}
    for site in generator.sample(sites, min(len(sites), 12)):
        insertion = resolve(site, {"module": generator.choice(MODULES[site.kind])})
        if insertion is not None and not any(other.holds(site) or site.holds(other) for other in held):
            held[site] = insertion
    return Candidate(backbone, frames, resolution, tuple((site.name, insertion) for site, insertion in held.items()))


@pytest.mark.parametrize("draw", [0, *(pytest.param(draw, marks=pytest.mark.extra) for draw in range(1, 10))])
@pytest.mark.parametrize("name", ["micro", "micro_bottleneck", "bninception", "resnet50", "mobilenetv3_small_100"])
def test_mixed_modules_cost_what_both_counters_count(name: str, draw: int) -> None:
    assert_counters_agree(mixed(backbone_ref(name), 3 + draw % 2, 64, f"{name}-{draw}"))


@pytest.mark.slow
@pytest.mark.extra
@pytest.mark.parametrize(
    ("name", "resolution"), [("bninception", 224), ("resnet50", 224), ("mobilenetv3_small_100", 224), ("inception_v3", 229)]
)
def test_a_mixed_candidate_of_full_size(name: str, resolution: int) -> None:
    assert_counters_agree(mixed(backbone_ref(name), 8, resolution, name))


def site_of(name: str) -> Site:
    return next(site for site in backbone_sites(MICRO, 32) if site.name == name)


def insertion_at(name: str, **parameters: object) -> Insertion:
    insertion = resolve(site_of(name), parameters)
    assert insertion is not None
    return insertion


def test_a_replaced_convolution_by_hand() -> None:
    """A 3x1x1 depthwise convolution on 8 channels of 16 x 16, four frames; the convolution itself stays."""
    name = "layer1.0.conv2.replace"
    candidate = Candidate(MICRO, 4, 32, ((name, insertion_at(name, module="temporal_conv")),))
    cost = price(candidate).by_site[name]
    positions = 4 * 16 * 16
    assert (cost.params, cost.macs_fvcore, cost.macs_ptflops) == (3 * 8, 3 * 8 * positions, 3 * 8 * positions)
    assert cost.activations == 8 * positions


def test_the_head_is_priced_on_what_the_consensus_returns() -> None:
    candidate = Candidate(MICRO, 4, 32, (("consensus", insertion_at("consensus", module="temporal_pooling")),))
    heads = {"verb": 7, "noun": 5}
    cost, plain = price(candidate, heads), price(Candidate(MICRO, 4, 32), heads)
    assert cost.total.params == plain.total.params + 4 * 256
    # The heads work on one row instead of four.
    assert cost.total.macs_fvcore == plain.total.macs_fvcore + 4 * 256 - 3 * 256 * 12
    assert cost.total.activations == plain.total.activations + 256 - 3 * 12


def test_what_is_counted_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    site, insertion = site_of("layer1.0.conv2.replace"), insertion_at("layer1.0.conv2.replace", module="temporal_conv")
    cost = module_file.module_cost(MICRO, site, insertion, 4)
    (file,) = tmp_path.rglob("costs/*.json")
    assert json.loads(file.read_text())["params"] == cost.params
    file.write_text('{"params": "many"}')
    assert module_file.module_cost(MICRO, site, insertion, 4) == cost, "a damaged file is counted again"

    def refuse(*arguments: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr(module_file, "_counted", refuse)
    assert module_file.module_cost(MICRO, site, insertion, 4) == cost
    with pytest.raises(AssertionError, match="counted again"):
        module_file.module_cost(MICRO, site, insertion, 5)


def test_pricing_builds_nothing_once_each_module_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are sums then; benchmarks/price.py shows the speed."""
    candidates = [mixed(MICRO, 4, 32, str(number)) for number in range(20)]
    pricer = Pricer(MICRO, 4, 32)
    costs = [pricer(candidate) for candidate in candidates]

    def refuse(*_: object) -> None:
        raise AssertionError("built again")

    for spec in (TemporalPoolingSpec, TemporalConvSpec):
        monkeypatch.setattr(spec, "build", refuse)
    monkeypatch.setattr(module_file, "_counted", refuse)
    assert [pricer(candidate) for candidate in candidates] == costs


def test_another_shape_than_the_site_asks_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Halves(TemporalPoolingSpec):
        def build(self, site: Site, *arguments: object, **options: object) -> nn.Module:
            return nn.Linear(site.channels, 3)

    monkeypatch.setattr("gsfnas.cost._module.spec_of", lambda name: Halves())
    monkeypatch.setattr("gsfnas.cost._price.spec_of", lambda name: Halves())
    candidate = Candidate(MICRO, 4, 32, (("consensus", insertion_at("consensus", module="temporal_pooling")),))
    with pytest.raises(
        UserError, match=r"'temporal_pooling' at consensus must return features of \(1, 256\), but returns \(4, 3\)"
    ):
        Pricer(MICRO, 4, 32)(candidate)


def test_a_site_inside_a_replaced_layer_has_no_price() -> None:
    inside = (("layer1.0.conv1", insertion_at("layer1.0.conv1", module="gsf")),)
    block = (("layer1.0.replace", insertion_at("layer1.0.replace", module="temporal_conv")),)
    with pytest.raises(UserError, match=r"site layer1\.0\.conv1 is inside layer1\.0"):
        price(Candidate(MICRO, 4, 32, inside + block))
