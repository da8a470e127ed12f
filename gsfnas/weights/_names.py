"""From the names of public state dicts to ours.

Ours: ``backbone.<layer>``, ``insertions.<site>``, ``heads.<task>``. Elsewhere the layers stand under a prefix, which is found
by looking for the backbone's own names behind it: ``base_model.``, ``backbone.``, ``model.``, ``net.``, or several in a row.

- GSM and GSF (https://github.com/swathikirans/GSF, /GSM): ``base_model.<layer>`` with the layers' public names, the modules as
  ``gsf_<layer>`` or ``gsm_<layer>`` (Inception) and ``<block>.gsf`` (ResNet, after the third convolution), the head ``new_fc``.
- TSM (https://github.com/mit-han-lab/temporal-shift-module): the same prefix and head; a shift has no weights, but it holds the
  layer before which it stands, as ``<layer>.net``.
- mmaction2: ``backbone.<layer>``, where ``conv1.conv`` and ``conv1.bn`` are torchvision's ``conv1`` and ``bn1``, and
  ``downsample.conv`` and ``downsample.bn`` its ``downsample.0`` and ``.1``; TSM is ``conv1.conv.net``, and the head
  ``cls_head.fc_cls``.
- ImageNet: the layers alone, and a head under one of several names.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gsfnas.errors import UserError

# A classifier of ImageNet, in torchvision, timm, the Caffe ports, and their TSN variants.
IMAGENET_HEADS = ("fc", "classifier", "top_cls_fc", "last_linear", "fc_action", "head.fc")
_HEAD = re.compile(r"(?:^|\.)(?:new_fc|cls_head\.fc_cls)\.(?P<kind>weight|bias)$")

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
# mmaction2's convolution with its norm, as torchvision's two layers.
_CONV_MODULE = {
    re.compile(r"\bconv(\d)\.conv\."): r"conv\1.",
    re.compile(r"\bconv(\d)\.bn\."): r"bn\1.",
    re.compile(r"\bdownsample\.conv\."): "downsample.0.",
    re.compile(r"\bdownsample\.bn\."): "downsample.1.",
}
# A prefix has at most so many parts.
_LONGEST_PREFIX = 8


def published_module(name: str) -> tuple[str, str] | None:
    """(layer, part) of a tensor of a published GSM or GSF module, without its prefix; None for another."""
    found = _MODULE.match(name)
    if found is None:
        return None
    return found["layer"] or f"{found['block']}.conv3", found["part"]


def head_part(name: str) -> str | None:
    """``weight`` or ``bias`` of the head of a published video network; None for another tensor."""
    found = _HEAD.search(name)
    return None if found is None else found["kind"]


def backbone_prefix(names: Iterable[str], wanted: Collection[str]) -> str:
    """Behind which prefix a state dict has the most names of a backbone, whose own are ``wanted``; empty where it has none.

    Raises UserError where most of it stands behind two.
    """
    counts: Counter[str] = Counter()
    for name in names:
        for prefix in _prefixes(name):
            if in_backbone(name[len(prefix) :], wanted) is not None:
                counts[prefix] += 1
    most = counts.most_common(2)
    if len(most) == 2 and most[0][1] == most[1][1] > len(wanted) / 2:
        raise UserError(
            f"the backbone stands in the file twice, under {most[0][0]!r} and under {most[1][0]!r}; save that of one alone"
        )
    return most[0][0] if most else ""


def in_backbone(name: str, wanted: Collection[str]) -> str | None:
    """The tensor of a backbone that a public name without its prefix means; None for another."""
    return next((each for each, _ in _spellings(name) if each in wanted), None)


def shifted_layers(names: Iterable[str], prefix: str, wanted: Collection[str]) -> list[str]:
    """The layers (or blocks) before which TSM stands, as the names of what is in them say, in their order."""
    bare = (name[len(prefix) :] for name in names if name.startswith(prefix))
    found = (next((layer for each, layer in _spellings(name) if each in wanted), None) for name in bare)
    return list(dict.fromkeys(layer for layer in found if layer is not None))


def and_more(names: Sequence[str]) -> str:
    """``layer1.0.conv1 and 15 more``."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def as_ours(
    state: Mapping[str, Tensor], prefix: str, wanted: Collection[str], places: Mapping[str, str], head: str
) -> dict[str, Tensor]:
    """The tensors under our names.

    ``prefix`` and ``wanted`` are those of ``backbone_prefix``, ``places`` maps a layer to the site after it, ``head`` is our
    first head's name. A published fusion has two convolutions, which are one of ours; a tensor without a counterpart keeps its
    own name. Raises UserError where two tensors mean the same one of ours.
    """
    ours: dict[str, Tensor] = {}
    fusions: dict[str, dict[str, tuple[str, Tensor]]] = {}
    for name, tensor in state.items():
        bare = name.removeprefix(prefix)
        layer = in_backbone(bare, wanted) if name.startswith(prefix) else None
        module = published_module(bare)
        owner, _, kind = bare.rpartition(".")
        ours_name = name
        if name.startswith(("insertions.", "heads.")):
            pass
        elif layer is not None:
            ours_name = f"backbone.{layer}"
        elif head_part(name) is not None:
            ours_name = f"heads.{head}.{kind}"
        elif owner in IMAGENET_HEADS:
            # Under ``backbone.`` it would be one of the backbone's.
            ours_name = bare if prefix == "backbone." else name
        elif not name.startswith(prefix):
            pass
        elif module is None:
            ours_name = f"backbone.{bare}"
        elif module[0] in places and module[1] in _PARTS:
            ours_name = f"insertions.{places[module[0]]}.{_PARTS[module[1]]}"
        elif module[0] in places and module[1].startswith(("channel_conv1.", "channel_conv2.")):
            fusions.setdefault(f"insertions.{places[module[0]]}.fuse.{kind}", {})[module[1]] = name, tensor
            continue
        if ours_name in ours and ours_name.startswith(("backbone.", "insertions.", "heads.")):
            raise UserError(f"two tensors of the file mean {ours_name!r}, one of them is {name!r}")
        ours[ours_name] = tensor
    for fusion, parts in fusions.items():
        if len(parts) == 2:
            ours[fusion] = torch.cat([parts[part][1] for part in sorted(parts)])
        else:
            ours.update(parts.values())
    return ours


def _prefixes(name: str) -> Iterator[str]:
    yield ""
    end = 0
    for _ in range(_LONGEST_PREFIX):
        end = name.find(".", end) + 1
        if not end:
            return
        yield name[:end]


def _spellings(name: str) -> Iterator[tuple[str, str | None]]:
    """What a name may mean, and the layer that ``.net`` stands behind in it: as it is, without ``.net``, and as mmaction2's."""
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
