"""A module of a user's says how published code stores it, and an import finds it under those names."""

import re
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn

from gsfnas import component
from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.modules import ModuleSpec, PublishedForm, check_kind
from gsfnas.weights import import_weights, initialise

from .published import shaken

BACKBONE = backbone_ref("micro_bottleneck", {"width": 0.25})


class Mixing(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x):
        return x + self.mix(x)


class PublishedMixing(PublishedForm):
    """Kept in the block, as two halves of one convolution."""

    kind = "after"
    parts: ClassVar = {"mix.weight": ("low.weight", "high.weight"), "mix.bias": ("low.bias", "high.bias")}

    def find(self, name):
        found = re.match(r"^(.+)\.mixer\.(.+)$", name)
        return None if found is None else (f"{found[1]}.conv2", found[2])

    def guess(self, site, shapes):
        return Insertion.of("my_mixing:SPEC", {})


class MixingSpec(ModuleSpec):
    name = "my_mixing:SPEC"
    kinds = frozenset({"after"})

    def resolve(self, site, parameters):
        check_kind(site, self.name, self.kinds)
        return Insertion.of(self.name, {})

    def build(self, site, insertion, frames, *, layer=None, inplace=False):
        return Mixing(site.channels)

    def published(self):
        return [PublishedMixing()]


@pytest.fixture
def trained(monkeypatch):
    """A candidate with the module at two sites, a model of it, and its tensors under published names."""
    monkeypatch.setitem(sys.modules, "my_mixing", SimpleNamespace(SPEC=MixingSpec()))
    with component.trusting(["my_mixing"]):
        sites = [site for site in backbone_sites(BACKBONE, 32) if site.kind == "after" and site.layer.endswith(".conv2")][:2]
        insertions = tuple((site.name, Insertion.of("my_mixing:SPEC", {})) for site in sites)
        candidate = Candidate(BACKBONE, 2, 32, tuple(sorted(insertions)))
        model = shaken(build_model(candidate, {"class": 3}))
        blocks = {site.name.replace(".", "-"): site.layer.removesuffix(".conv2") for site in sites}
        state = {}
        for name, tensor in model.state_dict().items():
            owner, _, rest = name.partition(".")
            slot, _, part = rest.partition(".")
            if owner != "insertions":
                state[f"module.{rest}" if owner == "backbone" else f"module.new_fc.{part}"] = tensor
                continue
            half = len(tensor) // 2
            kind = part.rpartition(".")[2]
            state[f"module.{blocks[slot]}.mixer.low.{kind}"] = tensor[:half]
            state[f"module.{blocks[slot]}.mixer.high.{kind}"] = tensor[half:]
        yield candidate, model, state


def saved(path, state):
    torch.save({"state_dict": state}, path)
    return path


def test_an_import_joins_the_parts_and_training_begins_from_them(tmp_path, trained):
    candidate, model, state = trained
    path = saved(tmp_path / "a.pth", state)
    imported = import_weights(path, tmp_path / "a.safetensors", candidate=candidate)
    assert (imported.found.missing, imported.found.left_over) == ((), ())
    for name, tensor in model.state_dict().items():
        assert torch.equal(imported.found.tensors[name], tensor), name
    other = build_model(candidate, {"class": 3}, seed=1)
    initialise(other, candidate, str(path))
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_a_part_without_its_other_half_is_left_over(tmp_path, trained):
    candidate, _, state = trained
    gone = next(name for name in state if name.endswith("mixer.high.weight"))
    del state[gone]
    imported = import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", candidate=candidate)
    assert gone.replace("high", "low").removeprefix("module.") in imported.found.left_over
    assert any(name.startswith("insertions.") and name.endswith("mix.weight") for name in imported.found.missing)


def test_without_its_candidate_a_file_names_no_module_of_a_user(tmp_path, trained):
    _, _, state = trained
    with pytest.raises(UserError, match="does not hold the weights of micro_bottleneck"):
        import_weights(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", backbone=BACKBONE, frames=2, resolution=32)
