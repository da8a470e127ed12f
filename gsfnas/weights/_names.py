"""From the names of public state dicts to ours.

Ours: ``backbone.<layer>``, ``insertions.<site>``, ``heads.<task>``. The published code of GSM and GSF
(https://github.com/swathikirans/GSF, /GSM) has ``base_model.<layer>`` with the layers' public names, the modules as
``gsf_<layer>`` or ``gsm_<layer>`` (Inception) and ``<block>.gsf`` (ResNet, after the third convolution), and the head
``new_fc``. Public ImageNet weights have the layers alone and a head under one of several names.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# A classifier of ImageNet, in torchvision, timm, the Caffe ports, and their TSN variants.
IMAGENET_HEADS = ("fc", "classifier", "top_cls_fc", "last_linear", "fc_action", "head.fc")
PUBLISHED_HEAD = "new_fc"

# A published module's parts, as ours.
_PARTS = {
    "conv3D.weight": "gate.weight",
    "conv3D.bias": "gate.bias",
    "bn.weight": "gate.norm.weight",
    "bn.bias": "gate.norm.bias",
    "bn.running_mean": "gate.norm.running_mean",
    "bn.running_var": "gate.norm.running_var",
    "bn.num_batches_tracked": "gate.norm.num_batches_tracked",
}
_MODULE = re.compile(r"^(?:(?:gsf|gsm)_(?P<layer>\w+)|(?P<block>[\w.]+)\.(?:gsf|gsm))\.(?P<part>[\w.]+)$")


def published_module(name: str) -> tuple[str, str] | None:
    """(layer, part) of a tensor of a published GSM or GSF module, without ``base_model.``; None for another."""
    found = _MODULE.match(name)
    if found is None:
        return None
    return found["layer"] or f"{found['block']}.conv3", found["part"]


def as_ours(state: Mapping[str, Tensor], places: Mapping[str, str], head: str) -> dict[str, Tensor]:
    """The tensors under our names. ``places`` maps a layer to the site after it, ``head`` is our first head's name.

    A published fusion has two convolutions, which are one of ours; a tensor without a counterpart keeps its own name.
    """
    ours: dict[str, Tensor] = {}
    fusions: dict[str, dict[str, tuple[str, Tensor]]] = {}
    for name, tensor in state.items():
        bare = name.removeprefix("base_model.")
        module = published_module(bare)
        owner, _, kind = bare.rpartition(".")
        if name.partition(".")[0] in ("backbone", "insertions", "heads"):
            ours[name] = tensor
        elif owner == PUBLISHED_HEAD:
            ours[f"heads.{head}.{kind}"] = tensor
        elif owner in IMAGENET_HEADS:
            ours[name] = tensor
        elif module is None:
            ours[f"backbone.{bare}"] = tensor
        elif module[0] not in places:
            ours[name] = tensor
        elif module[1] in _PARTS:
            ours[f"insertions.{places[module[0]]}.{_PARTS[module[1]]}"] = tensor
        elif module[1].startswith(("channel_conv1.", "channel_conv2.")):
            fusions.setdefault(f"insertions.{places[module[0]]}.fuse.{kind}", {})[module[1]] = name, tensor
        else:
            ours[name] = tensor
    for fusion, parts in fusions.items():
        if len(parts) == 2:
            ours[fusion] = torch.cat([parts[part][1] for part in sorted(parts)])
        else:
            ours.update(parts.values())
    return ours
