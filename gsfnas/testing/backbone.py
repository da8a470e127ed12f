"""Tests that every backbone must pass. Inherit ``BackboneConformance`` and provide the reference:

class TestMine(BackboneConformance):
    @pytest.fixture
    def backbone(self):
        return backbone_ref("my_nets:small", {"channels": 16})

    @pytest.fixture
    def resolution(self):
        return 32
"""

import copy
import random
from collections import Counter
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef, Candidate, Kind, Site
from gsfnas.cost import count_fvcore, count_ptflops, price
from gsfnas.insertion import insert
from gsfnas.model import build_model, counting_form
from gsfnas.space import BoundSpace, Space

_HEADS = {"class": 7}
_FRAMES = 3
# All options of the operator that affect its cost.
_SPACE = {
    "name": "all",
    "sites": {"pattern": "*"},
    "insertions": [
        {"module": "gate_shift_fuse", "gate": ["learnable", 1], "fuse": ["learnable", "sum"], "ratio": [0.25, 1.0]},
    ],
}


class BackboneConformance:
    """The suite. ``backbone`` returns a reference; frames have ``resolution`` pixels a side."""

    @pytest.fixture
    def backbone(self) -> BackboneRef:
        raise NotImplementedError(
            "a conformance test needs a fixture `backbone` that returns a reference, as backbone_ref makes it"
        )

    @pytest.fixture
    def resolution(self) -> int:
        """Height and width of the frames, as small as the network allows."""
        return 32

    @pytest.fixture
    def network(self, backbone: BackboneRef) -> nn.Module:
        return _build(backbone).eval()

    @pytest.fixture
    def sites(self, backbone: BackboneRef, resolution: int) -> tuple[Site, ...]:
        return backbone_sites(backbone, resolution)

    @pytest.fixture
    def space(self, backbone: BackboneRef, resolution: int, sites: tuple[Site, ...]) -> BoundSpace:
        return Space.from_dict(_SPACE).bind(backbone, sites, frames=_FRAMES, resolution=resolution)

    def test_the_reference_can_be_written_and_read(self, backbone: BackboneRef) -> None:
        assert backbone_ref(backbone.name, dict(backbone.options)) == backbone
        assert Candidate.from_json(Candidate(backbone, 8, 32).to_json()).backbone == backbone

    def test_a_frame_becomes_a_row_of_features(self, network: nn.Module, resolution: int) -> None:
        for number in (1, 5):
            features = _run(network, _frames(number, resolution))
            assert features.shape == (number, network.num_features), "(N, 3, H, W) must become (N, num_features)"
            assert features.isfinite().all()

    def test_frames_are_independent(self, network: nn.Module, resolution: int) -> None:
        """Only the modules at sites may mix frames."""
        frames = _frames(4, resolution)
        together = _run(network, frames)
        for number in range(4):
            alone = _run(network, frames[number : number + 1])
            torch.testing.assert_close(alone[0], together[number], rtol=1e-4, atol=1e-5)

    def test_the_same_seed_gives_the_same_weights(self, backbone: BackboneRef) -> None:
        first, again, other = (_build(backbone, seed).state_dict() for seed in (0, 0, 1))
        assert list(first) == list(again)
        assert all(torch.equal(first[name], again[name]) for name in first), (
            "the weights must be drawn from torch's global generator"
        )
        assert any(not torch.equal(first[name], other[name]) for name in first), "another seed must give other weights"

    def test_site_names_are_unique(self, sites: tuple[Site, ...]) -> None:
        assert sites, "the backbone has no site"
        repeated = [name for name, count in Counter(site.name for site in sites).items() if count > 1]
        assert not repeated, f"several sites are named {repeated[0]!r}"
        assert any(site.is_default for site in sites), "no site is a default one, so a space that names no sites would be empty"
        for site in sites:
            assert site.kind in get_args(Kind)
            assert site.role, f"site {site.name} has no role"

    def test_features_at_sites_have_the_stated_shapes(
        self, network: nn.Module, sites: tuple[Site, ...], resolution: int
    ) -> None:
        """Modules and the layers that can be replaced are called once per forward pass, with features of the stated shapes."""
        probes = {site: Probe() for site in sites if site.kind in ("after", "before")}
        insert(network, probes)
        replaced = {site: network.get_submodule(site.layer) for site in sites if site.kind == "replace"}
        outputs: dict[str, list[tuple[int, ...]]] = {site.name: [] for site in replaced}
        for site, layer in replaced.items():
            layer.register_forward_hook(lambda layer, args, out, name=site.name: outputs[name].append(tuple(out.shape)))
        features = _run(network, _frames(2, resolution))
        for site, probe in probes.items():
            assert probe.shapes == [(2, site.channels, site.height, site.width)], f"site {site.name}"
        for site in replaced:
            assert outputs[site.name] == [(2, site.out_channels, site.out_height, site.out_width)], f"site {site.name}"
        assert [site.channels for site in sites if site.kind == "consensus"] == [features.shape[1]]

    def test_a_module_that_does_nothing_changes_nothing(
        self, network: nn.Module, sites: tuple[Site, ...], resolution: int
    ) -> None:
        frames = _frames(2, resolution)
        before, names = _run(network, frames), list(network.state_dict())
        inserted = insert(network, {site: nn.Identity() for site in sites if site.kind in ("after", "before")})
        assert torch.equal(_run(network, frames), before)
        assert list(network.state_dict()) == names, "an insertion must not rename the backbone's own parameters"
        for one in inserted:
            one.remove()
        assert torch.equal(_run(network, frames), before)

    def test_a_module_at_each_site_changes_the_features(
        self, network: nn.Module, sites: tuple[Site, ...], resolution: int
    ) -> None:
        frames = _frames(2, resolution)
        before = _run(network, frames)
        for site in sites:
            if site.kind in ("after", "before"):
                (one,) = insert(network, {site: Halved()})
                assert not torch.equal(_run(network, frames), before), f"a module at {site.name} does not affect the features"
                one.remove()

    def test_a_layer_can_be_replaced(self, network: nn.Module, sites: tuple[Site, ...], resolution: int) -> None:
        frames = _frames(2, resolution)
        before = _run(network, frames)
        for site in sites:
            if site.kind == "replace":
                layer = network.get_submodule(site.layer)
                (one,) = insert(network, {site: nn.Sequential(layer, Halved())})
                assert not torch.equal(_run(network, frames), before), (
                    f"what replaces {site.layer} does not affect the features"
                )
                one.module = layer
        assert torch.equal(_run(network, frames), before)

    def test_candidates_become_networks_that_learn(self, space: BoundSpace) -> None:
        for candidate in (space.empty, space.full):
            model = build_model(candidate, _HEADS).train()
            clips = _frames(2 * _FRAMES, candidate.resolution).view(2, _FRAMES, 3, candidate.resolution, candidate.resolution)
            logits = model(clips)["class"]
            assert logits.shape == (2, 7)
            torch.autograd.backward(nn.functional.cross_entropy(logits, torch.tensor([0, 1])))
            # A gradient may be zero, since a head's weights are small, but none may be missing.
            lost = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
            assert not lost, f"no gradient reaches {lost[0]}"
            assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)

    def test_a_copy_of_a_network_is_the_same(self, space: BoundSpace) -> None:
        model = build_model(space.full, _HEADS).eval()
        clips = _frames(_FRAMES, space.resolution).unsqueeze(0)
        with torch.no_grad():
            assert torch.equal(copy.deepcopy(model)(clips)["class"], model(clips)["class"])

    @pytest.mark.parametrize("draw", range(3))
    def test_the_price_equals_the_count(self, space: BoundSpace, draw: int) -> None:
        """Exactly equal parameters, operations of both counters, and activations."""
        candidate = space.empty if draw == 0 else space.sample(random.Random(draw))
        model = build_model(candidate, _HEADS)
        cost, form = price(candidate, _HEADS).total, counting_form(model)
        clip = torch.zeros(1, candidate.frames, 3, candidate.resolution, candidate.resolution)
        fvcore = count_fvcore(form, clip)
        assert cost.params == sum(parameter.numel() for parameter in model.parameters())
        assert (cost.macs_fvcore, cost.activations) == (fvcore.operations, fvcore.activations)
        assert cost.macs_ptflops == count_ptflops(form, clip)


class Probe(nn.Module):
    """Returns its input, and stores the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return x


class Halved(nn.Module):
    """Halves the first half of the channels: a later normalisation would undo a factor on all of them."""

    def forward(self, x: Tensor) -> Tensor:
        factor = torch.ones(x.shape[1])
        factor[: x.shape[1] // 2] = 0.5
        return x * factor[:, None, None]


def _build(backbone: BackboneRef, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_backbone(backbone)


def _frames(number: int, resolution: int) -> Tensor:
    return torch.randn(number, 3, resolution, resolution, generator=torch.Generator().manual_seed(1))


def _run(network: Any, frames: Tensor) -> Tensor:
    with torch.no_grad():
        features: Tensor = network(frames)
    return features
