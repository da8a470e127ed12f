"""Ours pass the suite that strangers inherit, and a module that breaks a rule does not."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gsfnas import component
from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate, Insertion
from gsfnas.cost import price
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.modules import MODULES, ModuleSpec, label, options, resolve, spec_of
from gsfnas.modules.base import check_kind
from gsfnas.testing.module import ModuleConformance


class TestGateShiftFuse(ModuleConformance):
    @pytest.fixture(params=["gsf", pytest.param("tsm", marks=pytest.mark.extra)])
    def parameters(self, request):
        return {"module": request.param, "ratio": 0.5}


class TestTemporalConv(ModuleConformance):
    @pytest.fixture(params=[3, pytest.param(5, marks=pytest.mark.extra)])
    def parameters(self, request):
        return {"module": "temporal_conv", "taps": request.param}


class TestTemporalPooling(ModuleConformance):
    @pytest.fixture
    def parameters(self):
        return {"module": "temporal_pooling"}


class Scaling(nn.Module):
    """What a user writes, with one of these faults."""

    def __init__(self, channels: int, frames: int, fault: str) -> None:
        super().__init__()
        self.frames, self.fault = frames, fault
        self.factor = nn.Parameter(torch.ones(channels, 1, 1))
        self.conv = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x):
        x = self.conv(x) * (self.factor.detach() if self.fault == "no gradient" else self.factor)
        if self.fault == "leaks":
            return x + x.mean(0, keepdim=True)
        if self.fault == "other shape":
            return x[:, :, ::2]
        return x

    def counting_form(self):
        return nn.Identity() if self.fault == "other form" else self


class ScalingSpec(ModuleSpec):
    name = "my_scaling:SPEC"
    kinds = frozenset({"after"})

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def resolve(self, site, parameters):
        for name in parameters:
            if self.fault != "knows all":
                raise UserError(f"scaling has no parameter {name!r}")
        check_kind(site, self.name, self.kinds)
        return Insertion.of(self.name, {})

    def build(self, site, insertion, frames, *, layer=None, inplace=False):
        return Scaling(site.channels, frames, self.fault)


class Nothing:
    """No spec."""


@pytest.fixture
def named(monkeypatch, request, tmp_path):
    """This file as a module of the user's, with a fault."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fault = getattr(request, "param", "")
    monkeypatch.setitem(sys.modules, "my_scaling", SimpleNamespace(SPEC=ScalingSpec(fault)))
    with component.trusting(["my_scaling"]):
        yield fault


class TestOneOfAUser(ModuleConformance):
    @pytest.fixture
    def parameters(self, named):
        return {"module": "my_scaling:SPEC"}


@pytest.mark.parametrize(
    ("named", "test"),
    [
        ("knows all", "test_what_it_does_not_know_is_refused_in_one_line"),
        ("leaks", "test_clips_know_nothing_of_each_other"),
        ("other shape", "test_it_keeps_the_shape_that_its_site_asks_for"),
        ("no gradient", "test_gradients_reach_every_weight_and_are_finite"),
        ("other form", "test_its_counting_form_has_equal_outputs"),
    ],
    indirect=["named"],
)
def test_a_broken_module_fails(named, test):
    suite = ModuleConformance()
    given = {"backbone": ModuleConformance.backbone.__wrapped__(suite), "resolution": 32}
    given["parameters"] = {"module": "my_scaling:SPEC"}
    given["insertions"] = ModuleConformance.insertions.__wrapped__(suite, **given)
    method = getattr(suite, test)
    wanted = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        method(**{name: given[name] for name in wanted})


def test_code_that_nobody_trusts_is_not_imported_but_shown(bound_site):
    insertion = Insertion.of("not_trusted_module:SPEC", {"channels": 8, "kind": "x"})
    with pytest.raises(UserError, match="--trust not_trusted_module"):
        spec_of(insertion.module)
    assert label(insertion) == "not_trusted_module:SPEC:channels=8,kind=x"
    assert options(None, insertion) == {"module": "not_trusted_module:SPEC", "channels": "8", "kind": "x"}


@pytest.fixture
def bound_site():
    return backbone_sites(backbone_ref("micro"), 32)[0]


def test_what_is_no_spec_is_refused(named, monkeypatch, bound_site):
    monkeypatch.setattr(sys.modules["my_scaling"], "SPEC", Nothing())
    with pytest.raises(UserError, match="module 'Nothing' has no method 'resolve'"):
        resolve(bound_site, {"module": "my_scaling:SPEC"})
    other = ScalingSpec()
    other.name = "another:SPEC"
    monkeypatch.setattr(sys.modules["my_scaling"], "SPEC", other)
    with pytest.raises(UserError, match=r"the `name` of module 'my_scaling:SPEC' must be .* but got 'another:SPEC'"):
        resolve(bound_site, {"module": "my_scaling:SPEC"})


@pytest.mark.parametrize("name", MODULES)
def test_shipped_modules_go_by_their_names(name):
    assert spec_of(name).name == name


@pytest.mark.parametrize("taps", [1, 4, 33, "3", 3.0, True])
def test_filters_of_an_even_or_odd_length(bound_site, taps):
    with pytest.raises(UserError, match="`taps` must be an odd number from 3 to 31, but got"):
        resolve(_replaced(), {"module": "temporal_conv", "taps": taps})


def _replaced():
    from gsfnas.backbone import backbone_ref, backbone_sites

    return next(site for site in backbone_sites(backbone_ref("micro"), 32) if site.kind == "replace")


class Crashing(ScalingSpec):
    """A mistake of the user's in one of the methods."""

    def resolve(self, site, parameters):
        return Insertion.of(self.name, {}) if self.fault != "resolve" else site.chanels

    def build(self, site, insertion, frames, *, layer=None, inplace=False):
        return site.chanels if self.fault == "build" else Scaling(site.channels, frames, "")


@pytest.mark.parametrize("fault", ["resolve", "build"])
def test_a_fault_of_a_module_names_the_module_and_the_line(named, monkeypatch, bound_site, fault):
    monkeypatch.setattr(sys.modules["my_scaling"], "SPEC", Crashing(fault))
    said = rf"^module 'Crashing' failed \(AttributeError: 'Site' object has no attribute 'chanels'.*, {__file__}, line \d+\)$"
    if fault == "resolve":
        with pytest.raises(UserError, match=said):
            resolve(bound_site, {"module": "my_scaling:SPEC"})
        return
    candidate = Candidate(backbone_ref("micro"), 2, 32, ((bound_site.name, Insertion.of("my_scaling:SPEC", {})),))
    for use in (price, lambda candidate: build_model(candidate, {"class": 3})):
        with pytest.raises(UserError, match=said):
            use(candidate)
