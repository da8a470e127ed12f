"""Operations of one clip under a named counting convention, derived from the price."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.convention import Convention
from gsfnas.cost._count import count_ptflops
from gsfnas.cost._price import DEFAULT_HEADS, price
from gsfnas.deprecations import torch_jit_ignored
from gsfnas.model import build_model, counting_form

# ptflops 0.7.5 counts pooling twice: as a module, and again as the functional that the module calls.
_PTFLOPS_POOLING = 2
_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class Counted:
    """Parameters (with the heads as given) and operations of one clip under a convention."""

    params: int
    operations: int

    @property
    def params_m(self) -> float:
        return self.params / 1e6

    @property
    def giga(self) -> float:
        """Operations in units of 10^9."""
        return self.operations / 1e9


def count_operations(candidate: Candidate, convention: Convention, heads: Mapping[str, int] = DEFAULT_HEADS) -> Counted:
    """Parameters and operations of one clip of ``candidate`` under ``convention``, with heads (task -> classes).

    Raises UserError as ``price`` does.
    """
    params = price(candidate, heads).total.params
    if convention.head_classes is not None:
        heads = {"class": convention.head_classes}
    total = price(candidate, heads).total
    operations = total.macs_fvcore if convention.counter == "fvcore" else total.macs_ptflops
    if convention.counter == "ptflops" and convention.pooling != _PTFLOPS_POOLING:
        pooled = _pooled(candidate.backbone, candidate.resolution) * candidate.frames
        operations -= (_PTFLOPS_POOLING - convention.pooling) * pooled
    return Counted(params, convention.factor * operations)


@lru_cache(maxsize=64)
def fused_activations(backbone: BackboneRef, resolution: int) -> int:
    """ptflops operations of one frame for activations that timm fuses into BatchNorm; 0 where nothing is fused.

    ptflops misses the activation within timm's ``BatchNormAct2d``. The counting form makes it a separate module, so that
    fused and separate activations count the same; this is the difference between the two counts.
    """
    with torch_jit_ignored():
        from timm.layers.norm_act import BatchNormAct2d

    model = build_model(Candidate(backbone, 1, resolution), {"class": 1}).eval()
    if not any(isinstance(module, BatchNormAct2d) for module in model.modules()):
        return 0
    clip = torch.zeros(1, 1, 3, resolution, resolution)
    return count_ptflops(counting_form(model), clip) - count_ptflops(model, clip)


@lru_cache(maxsize=64)
def _pooled(backbone: BackboneRef, resolution: int) -> int:
    """Input elements of all pooling layers of the plain network, for one frame."""
    form = counting_form(build_model(Candidate(backbone, 1, resolution), {"class": 1}))
    read: list[int] = []
    for module in form.modules():
        if isinstance(module, _POOLING):
            module.register_forward_hook(lambda layer, args, output: read.append(args[0].numel()))
    with torch.no_grad():
        form(torch.zeros(1, 1, 3, resolution, resolution))
    return sum(read)
