"""The cost of a module that has no closed form: counted once on the module alone, and remembered on disk."""

import contextlib
import copy
import dataclasses
import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gsfnas import checked
from gsfnas.backbone import build_backbone
from gsfnas.candidate import BackboneRef, Insertion, Site
from gsfnas.component import blaming, fingerprint, is_outside, load, source_hash
from gsfnas.cost._count import count_fvcore, count_ptflops
from gsfnas.cost._memory import saved_bytes
from gsfnas.errors import UserError
from gsfnas.files import CannotWriteError, default_cache, read_text, write
from gsfnas.model import counting_module
from gsfnas.modules import ModuleCost, spec_of

_COUNTERS = ("torch", "fvcore", "ptflops")
_FIELDS = tuple(field.name for field in dataclasses.fields(ModuleCost))


def module_cost(backbone: BackboneRef, site: Site, insertion: Insertion, frames: int) -> ModuleCost:
    """The cost that a module adds at a site for one clip: in closed form where its spec has one, else counted.

    It is counted on one clip of the features that the module receives at ``site``, by both counters. What the module replaces
    is subtracted. Counts are kept in the cache folder; a damaged file there is counted again. Raises UserError for a module
    whose output has another shape than its site asks for.
    """
    spec = spec_of(insertion.module)
    with blaming(spec, "module"):
        spec.check(site, insertion)
        cost = spec.cost(site, insertion, frames)
        return _remembered(backbone, site, insertion, frames) if cost is None else cost


def _remembered(backbone: BackboneRef, site: Site, insertion: Insertion, frames: int) -> ModuleCost:
    path = _folder() / f"{_identity(backbone, site, insertion, frames)}.json"
    cost = _read(path)
    if cost is None:
        cost = _counted(backbone, site, insertion, frames)
        # Without a file it is counted again the next time.
        with contextlib.suppress(CannotWriteError):
            write(path, json.dumps(dataclasses.asdict(cost)) + "\n")
    return cost


def _folder() -> Path:
    return default_cache() / "costs"


def _identity(backbone: BackboneRef, site: Site, insertion: Insertion, frames: int) -> str:
    """A hash of all that a count depends on; of the backbone only where a layer of it is replaced."""
    parts: dict[str, Any] = {
        "module": [insertion.module, list(insertion.parameters), source_hash(spec_of(insertion.module))],
        "shape": [site.kind, site.channels, site.height, site.width, site.out_channels, site.out_height, site.out_width],
        "frames": frames,
        "versions": [version(name) for name in _COUNTERS],
    }
    if site.kind == "replace":
        code = fingerprint(load(backbone.name, "backbone")) if is_outside(backbone.name) else ""
        parts["layer"] = [str(backbone), code, site.layer]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _read(path: Path) -> ModuleCost | None:
    if not path.is_file():
        return None
    try:
        values = checked.mapping(json.loads(read_text(path)), str(path))
        # What a module takes away may be more than it adds.
        return ModuleCost(**{name: checked.integer(checked.field(values, name), name, least=-(2**63)) for name in _FIELDS})
    except (UserError, ValueError):
        return None


def _counted(backbone: BackboneRef, site: Site, insertion: Insertion, frames: int) -> ModuleCost:
    spec = spec_of(insertion.module)
    layer = _layer(backbone, site.layer) if site.kind == "replace" else None
    with torch.random.fork_rng(devices=[]):
        module = spec.build(site, insertion, frames, layer=copy.deepcopy(layer))
    is_consensus = site.kind == "consensus"
    size = (site.channels,) if is_consensus else (site.channels, site.height, site.width)
    wanted = spec.output(site, insertion, frames) if is_consensus else None
    given = (frames, site.out_channels, site.out_height, site.out_width) if wanted is None else tuple(wanted)
    clip = torch.zeros(1, frames, *size)
    with torch.no_grad():
        found = tuple(module.eval()(clip[0]).shape)
    if found != given:
        raise UserError(f"module {insertion.module!r} at {site.name} must return features of {given}, but returns {found}")
    cost = _cost(module, clip)
    return cost if layer is None else _minus(cost, _cost(copy.deepcopy(layer), clip))


def _cost(module: nn.Module, clip: Tensor) -> ModuleCost:
    memory = saved_bytes(module.train(), clip[0].clone().requires_grad_())
    params = sum(parameter.numel() for parameter in module.parameters())
    form = _OfClip(counting_module(module)).eval()
    fvcore = count_fvcore(form, clip)
    return ModuleCost(params, fvcore.operations, count_ptflops(form, clip), fvcore.activations, memory)


def _minus(one: ModuleCost, other: ModuleCost) -> ModuleCost:
    return ModuleCost(*(getattr(one, name) - getattr(other, name) for name in _FIELDS))


class _OfClip(nn.Module):
    """(1, T, ...) -> the module's output on the T frames: counters want a batch of one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, clip: Tensor) -> Any:
        return self.module(clip.flatten(0, 1))


@lru_cache(maxsize=256)
def _layer(backbone: BackboneRef, name: str) -> nn.Module:
    return _network(backbone).get_submodule(name)


@lru_cache(maxsize=2)
def _network(backbone: BackboneRef) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return build_backbone(backbone)
