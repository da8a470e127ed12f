"""Translates the tensor names of public state dicts to gsfnas names.

gsfnas names: ``backbone.<layer>``, ``insertions.<site>``, ``heads.<task>``. Other code puts the layers under a prefix, such as
``base_model.``, ``backbone.``, ``model.``, ``net.``, or several in a row; it is found by searching for the backbone's layer
names after it.

- GSM and GSF (https://github.com/swathikirans/GSF, /GSM): ``base_model.<layer>`` with the layers' public names, the modules as
  ``gsf_<layer>`` or ``gsm_<layer>`` (Inception) and ``<block>.gsf`` (ResNet, after the third convolution), the head ``new_fc``.
- TSM (https://github.com/mit-han-lab/temporal-shift-module): the same prefix and head; a shift has no weights, but it wraps
  the layer that it precedes, which is then named ``<layer>.net``.
- mmaction2: ``backbone.<layer>``, where ``conv1.conv`` and ``conv1.bn`` are torchvision's ``conv1`` and ``bn1``, and
  ``downsample.conv`` and ``downsample.bn`` its ``downsample.0`` and ``.1``; TSM is ``conv1.conv.net``, and the head
  ``cls_head.fc_cls``.
- ImageNet: the layers without a prefix, and a head under one of several names.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gsfnas.errors import UserError

# The ImageNet classifier's name in torchvision, timm, the Caffe ports, and their TSN variants.
IMAGENET_HEADS = ("fc", "classifier", "top_cls_fc", "last_linear", "fc_action", "head.fc")
_HEAD = re.compile(r"(?:^|\.)(?:new_fc|cls_head\.fc_cls)\.(?P<kind>weight|bias)$")

# Parts of a published module -> parts of ours.
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
# mmaction2's ConvModule (convolution and norm) -> torchvision's two layers.
_CONV_MODULE = {
    re.compile(r"\bconv(\d)\.conv\."): r"conv\1.",
    re.compile(r"\bconv(\d)\.bn\."): r"bn\1.",
    re.compile(r"\bdownsample\.conv\."): "downsample.0.",
    re.compile(r"\bdownsample\.bn\."): "downsample.1.",
}
_MAX_PREFIX_PARTS = 8


def published_module(name: str) -> tuple[str, str] | None:
    """(layer, part) if ``name``, without its prefix, is a tensor of a published GSM or GSF module, else None."""
    found = _MODULE.match(name)
    if found is None:
        return None
    return found["layer"] or f"{found['block']}.conv3", found["part"]


def head_part(name: str) -> str | None:
    """``weight`` or ``bias`` if the tensor belongs to the head of a published video network, else None."""
    found = _HEAD.search(name)
    return None if found is None else found["kind"]


def backbone_prefix(names: Iterable[str], wanted: Collection[str]) -> str:
    """The prefix under which most of the backbone's names (``wanted``) appear; empty if there is none.

    Raises UserError where two prefixes each hold the same number of them, more than half.
    """
    counts: Counter[str] = Counter()
    for name in names:
        for prefix in _prefixes(name):
            if in_backbone(name[len(prefix) :], wanted) is not None:
                counts[prefix] += 1
    most = counts.most_common(2)
    if len(most) == 2 and most[0][1] == most[1][1] > len(wanted) / 2:
        raise UserError(
            f"the file holds the backbone twice, under {most[0][0]!r} and under {most[1][0]!r}; save only one of them"
        )
    return most[0][0] if most else ""


def in_backbone(name: str, wanted: Collection[str]) -> str | None:
    """The backbone's tensor that a public name (without prefix) stands for, or None."""
    return next((each for each, _ in _spellings(name) if each in wanted), None)


def shifted_layers(names: Iterable[str], prefix: str, wanted: Collection[str]) -> list[str]:
    """The layers (or blocks) that TSM precedes, found from ``.net`` in the tensor names, in order."""
    unprefixed = (name[len(prefix) :] for name in names if name.startswith(prefix))
    found = (next((layer for each, layer in _spellings(name) if each in wanted), None) for name in unprefixed)
    return list(dict.fromkeys(layer for layer in found if layer is not None))


def and_more(names: Sequence[str]) -> str:
    """``layer1.0.conv1 and 15 more``."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def to_our_names(
    state: Mapping[str, Tensor], prefix: str, wanted: Collection[str], sites_by_layer: Mapping[str, str], head: str
) -> dict[str, Tensor]:
    """The tensors under gsfnas names.

    ``prefix`` and ``wanted`` are those of ``backbone_prefix``, ``sites_by_layer`` maps a layer to the name of the insertion
    after it, ``head`` is the first task of the model. The two convolutions of a published fusion are concatenated into our
    one; a tensor without a counterpart keeps its name. Raises UserError where two tensors get the same name.
    """
    ours: dict[str, Tensor] = {}
    fusions: dict[str, dict[str, tuple[str, Tensor]]] = {}
    for name, tensor in state.items():
        unprefixed = name.removeprefix(prefix)
        layer = in_backbone(unprefixed, wanted) if name.startswith(prefix) else None
        module = published_module(unprefixed)
        owner, _, kind = unprefixed.rpartition(".")
        our_name = name
        if name.startswith(("insertions.", "heads.")):
            pass
        elif layer is not None:
            our_name = f"backbone.{layer}"
        elif head_part(name) is not None:
            our_name = f"heads.{head}.{kind}"
        elif owner in IMAGENET_HEADS:
            # With the prefix ``backbone.`` it would be taken for a tensor of the backbone.
            our_name = unprefixed if prefix == "backbone." else name
        elif not name.startswith(prefix):
            pass
        elif module is None:
            our_name = f"backbone.{unprefixed}"
        elif module[0] in sites_by_layer and module[1] in _PARTS:
            our_name = f"insertions.{sites_by_layer[module[0]]}.{_PARTS[module[1]]}"
        elif module[0] in sites_by_layer and module[1].startswith(("channel_conv1.", "channel_conv2.")):
            fusions.setdefault(f"insertions.{sites_by_layer[module[0]]}.fuse.{kind}", {})[module[1]] = name, tensor
            continue
        if our_name in ours and our_name.startswith(("backbone.", "insertions.", "heads.")):
            raise UserError(f"two tensors of the file stand for {our_name!r}, one of them is {name!r}")
        ours[our_name] = tensor
    for fusion, parts in fusions.items():
        if len(parts) == 2:
            ours[fusion] = torch.cat([parts[part][1] for part in sorted(parts)])
        else:
            ours.update(parts.values())
    return ours


def _prefixes(name: str) -> Iterator[str]:
    yield ""
    end = 0
    for _ in range(_MAX_PREFIX_PARTS):
        end = name.find(".", end) + 1
        if not end:
            return
        yield name[:end]


def _spellings(name: str) -> Iterator[tuple[str, str | None]]:
    """Possible torchvision names of a tensor (as it is, without ``.net``, translated from mmaction2), each with its TSM layer.

    The layer is the part before ``.net``, or None.
    """
    yield name, None
    yield from _without_net(name)
    if ".conv." in name or ".bn." in name:
        for theirs, same in _CONV_MODULE.items():
            name = theirs.sub(same, name)
        yield name, None
        yield from _without_net(name)


def _without_net(name: str) -> Iterator[tuple[str, str]]:
    layer, net, rest = name.rpartition(".net.")
    if net:
        yield f"{layer}.{rest}", layer
