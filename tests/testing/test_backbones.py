"""Ours pass the suite that strangers inherit, and a network that breaks a rule does not."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gsfnas import component
from gsfnas.backbone import SiteSpec, backbone_ref, backbone_sites
from gsfnas.candidate import BackboneRef
from gsfnas.space import Space
from gsfnas.testing.backbone import _SPACE, BackboneConformance


class TestMicro(BackboneConformance):
    @pytest.fixture
    def backbone(self):
        return backbone_ref("micro")


class TestMicro14(BackboneConformance):
    @pytest.fixture
    def backbone(self):
        return backbone_ref("micro14")


class TestMicro18(BackboneConformance):
    @pytest.fixture
    def backbone(self):
        return backbone_ref("micro18")


class TestMicroBottleneck(BackboneConformance):
    @pytest.fixture
    def backbone(self):
        return backbone_ref("micro_bottleneck", {"width": 0.25})


class TestBNInception(BackboneConformance):
    @pytest.fixture
    def backbone(self):
        return backbone_ref("bninception", {"width": 0.25})

    @pytest.fixture
    def resolution(self):
        return 64


class Small(nn.Module):
    """What a user writes, with one of these faults."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.num_features = 8
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.mix = nn.Conv2d(8, 8, 3, padding=1)
        self.relu = nn.ReLU()
        if fault == "fixed weights":
            nn.init.ones_(self.mix.weight)
            nn.init.zeros_(self.mix.bias)
            nn.init.ones_(self.stem.weight)
            nn.init.zeros_(self.stem.bias)

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.mix(x) if self.fault != "dead end" else (self.mix(x), x)[1]
        x = self.relu(x)
        if self.fault == "mixes frames":
            x = x - x.mean(0, keepdim=True)
        features = x.mean((2, 3))
        if self.fault == "lost":
            features = features / 0
        return features

    def sites(self):
        return [SiteSpec("mix", block="body", role="mix", is_default=self.fault != "no default")]


@pytest.fixture(autouse=True)
def named(monkeypatch):
    """This file as a module of the user's."""
    monkeypatch.setitem(sys.modules, "my_small_nets", SimpleNamespace(Small=Small))
    with component.trusting(["my_small_nets"]):
        yield


def small(fault: str) -> BackboneRef:
    return backbone_ref("my_small_nets:Small", {"fault": fault})


class TestOneOfAUser(BackboneConformance):
    @pytest.fixture
    def backbone(self, named):
        return small("")

    @pytest.fixture
    def resolution(self):
        return 16


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("lost", "test_a_frame_becomes_a_row_of_features"),
        ("mixes frames", "test_frames_are_independent"),
        ("dead end", "test_a_module_at_each_site_changes_the_features"),
    ],
)
def test_a_broken_network_fails(fault, test):
    ref = small(fault)
    network = component.load(ref.name, "backbone")(fault).eval()
    given = {"network": network, "resolution": 16, "sites": backbone_sites(ref, 16)}
    method = getattr(BackboneConformance(), test)
    wanted = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    with pytest.raises(AssertionError):
        method(**{name: given[name] for name in wanted})


def test_weights_that_ignore_the_seed_fail():
    with pytest.raises(AssertionError, match="another seed must give other weights"):
        BackboneConformance().test_the_same_seed_gives_the_same_weights(small("fixed weights"))


def test_a_network_without_default_sites_fails():
    with pytest.raises(AssertionError, match="no site is a default one"):
        BackboneConformance().test_site_names_are_unique(backbone_sites(small("no default"), 16))


def test_a_price_that_is_wrong_fails(monkeypatch):
    ref = small("")
    space = Space.from_dict(_SPACE).bind(ref, backbone_sites(ref, 16), frames=3, resolution=16)
    monkeypatch.setattr("gsfnas.testing.backbone.count_ptflops", lambda form, clip: 1)
    with pytest.raises(AssertionError):
        BackboneConformance().test_the_price_equals_the_count(space, 0)


def test_a_probe_tells_shapes():
    with torch.no_grad():
        sites = backbone_sites(small(""), 16)
    assert [(site.name, site.channels, site.height) for site in sites if site.kind == "after"] == [("mix", 8, 8)]
