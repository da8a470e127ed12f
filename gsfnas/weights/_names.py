"""Translates the tensor names of public state dicts to gsfnas names.

gsfnas names: ``backbone.<layer>``, ``insertions.<site>``, ``heads.<task>``. Other code puts the layers under a prefix, such as
``base_model.``, ``backbone.``, ``model.``, ``net.``, or several in a row; it is found by searching for the backbone's layer
names after it.

- Modules: as their specs say (``ModuleSpec.published``).
- GSM, GSF and TSM: ``base_model.<layer>`` with the layers' public names, and the head ``new_fc``.
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

from gsfnas.candidate import Kind
from gsfnas.errors import UserError
from gsfnas.modules import PublishedForm

# A published module in a state dict: its form, and the layer at its site.
Place = tuple[PublishedForm, str]

# The ImageNet classifier's name in torchvision, timm, the Caffe ports, and their TSN variants.
IMAGENET_HEADS = ("fc", "classifier", "top_cls_fc", "last_linear", "fc_action", "head.fc")
_HEAD = re.compile(r"(?:^|\.)(?:new_fc|cls_head\.fc_cls)\.(?P<kind>weight|bias)$")

# mmaction2's ConvModule (convolution and norm) -> torchvision's two layers.
_CONV_MODULE = {
    re.compile(r"\bconv(\d)\.conv\."): r"conv\1.",
    re.compile(r"\bconv(\d)\.bn\."): r"bn\1.",
    re.compile(r"\bdownsample\.conv\."): "downsample.0.",
    re.compile(r"\bdownsample\.bn\."): "downsample.1.",
}
_MAX_PREFIX_PARTS = 8


def published_parts(names: Iterable[str], prefix: str, forms: Iterable[PublishedForm]) -> dict[Place, dict[str, str]]:
    """The modules that tensor names show: for each form and layer, the parts, each with its name in the state dict."""
    places: dict[Place, dict[str, str]] = {}
    known = [form for form in forms if not form.wrapper]
    for name in names:
        for form in known:
            if (found := form.find(name.removeprefix(prefix).removeprefix("base_model."))) is not None:
                places.setdefault((form, found[0]), {})[found[1]] = name
    return places


def wrappers_of(forms: Iterable[PublishedForm]) -> list[str]:
    """The attributes under which published modules keep a layer."""
    return [form.wrapper for form in forms if form.wrapper]


def head_part(name: str) -> str | None:
    """``weight`` or ``bias`` if the tensor belongs to the head of a published video network, else None."""
    found = _HEAD.search(name)
    return None if found is None else found["kind"]


def backbone_prefix(names: Iterable[str], wanted: Collection[str], wrappers: Collection[str]) -> str:
    """The prefix under which most of the backbone's names (``wanted``) appear; empty if there is none.

    ``wrappers`` are attributes under which published modules keep a layer. Raises UserError where two prefixes each hold the
    same number of them, more than half.
    """
    counts: Counter[str] = Counter()
    for name in names:
        for prefix in _prefixes(name):
            if in_backbone(name[len(prefix) :], wanted, wrappers) is not None:
                counts[prefix] += 1
    most = counts.most_common(2)
    if len(most) == 2 and most[0][1] == most[1][1] > len(wanted) / 2:
        raise UserError(
            f"the file holds the backbone twice, under {most[0][0]!r} and under {most[1][0]!r}; save only one of them"
        )
    return most[0][0] if most else ""


def in_backbone(name: str, wanted: Collection[str], wrappers: Collection[str]) -> str | None:
    """The backbone's tensor that a public name (without prefix) stands for, or None."""
    return next((each for each, _ in _spellings(name, wrappers) if each in wanted), None)


def wrapped_layers(names: Iterable[str], prefix: str, wanted: Collection[str], wrapper: str) -> list[str]:
    """The layers (or blocks) that a module keeps under ``wrapper``, found from the tensor names, in order."""
    unprefixed = (name[len(prefix) :] for name in names if name.startswith(prefix))
    found = (next((layer for each, layer in _spellings(name, (wrapper,)) if each in wanted), None) for name in unprefixed)
    return list(dict.fromkeys(layer for layer in found if layer is not None))


def and_more(names: Sequence[str]) -> str:
    """``layer1.0.conv1 and 15 more``."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def to_our_names(
    state: Mapping[str, Tensor],
    prefix: str,
    wanted: Collection[str],
    sites: Mapping[tuple[Kind, str], str],
    head: str,
    forms: Collection[PublishedForm],
) -> dict[str, Tensor]:
    """The tensors under gsfnas names.

    ``prefix`` and ``wanted`` are those of ``backbone_prefix``, ``sites`` maps the kind and layer of a site to the name of its
    insertion, ``head`` is the first task of the model, ``forms`` are those of modules. A tensor without a counterpart keeps its
    name. Raises UserError where two tensors get the same name.
    """
    ours: dict[str, Tensor] = {}
    wrappers = wrappers_of(forms)
    within = [name for name in state if name.startswith(prefix) and not name.startswith(("insertions.", "heads."))]
    in_modules: dict[str, tuple[str, Tensor]] = {}
    for (form, layer), parts in published_parts(within, prefix, forms).items():
        slot = sites.get((form.kind, layer))
        for our_part, theirs in form.parts.items():
            if slot is not None and all(part in parts for part in theirs):
                tensors = [state[parts[part]] for part in theirs]
                joined = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
                in_modules |= {parts[part]: (f"insertions.{slot}.{our_part}", joined) for part in theirs}
    for name, tensor in state.items():
        unprefixed = name.removeprefix(prefix)
        layer_name = in_backbone(unprefixed, wanted, wrappers) if name.startswith(prefix) else None
        owner, _, kind = unprefixed.rpartition(".")
        our_name, value = name, tensor
        if name.startswith(("insertions.", "heads.")):
            pass
        elif layer_name is not None:
            our_name = f"backbone.{layer_name}"
        elif head_part(name) is not None:
            our_name = f"heads.{head}.{kind}"
        elif owner in IMAGENET_HEADS:
            # With the prefix ``backbone.`` it would be taken for a tensor of the backbone.
            our_name = unprefixed if prefix == "backbone." else name
        elif name in in_modules:
            our_name, value = in_modules[name]
        elif name.startswith(prefix) and all(form.find(unprefixed) is None for form in forms):
            our_name = f"backbone.{unprefixed}"
        is_another = our_name in ours and not (name in in_modules and ours[our_name] is value)
        if is_another and our_name.startswith(("backbone.", "insertions.", "heads.")):
            raise UserError(f"two tensors of the file stand for {our_name!r}, one of them is {name!r}")
        ours[our_name] = value
    return ours


def _prefixes(name: str) -> Iterator[str]:
    yield ""
    end = 0
    for _ in range(_MAX_PREFIX_PARTS):
        end = name.find(".", end) + 1
        if not end:
            return
        yield name[:end]


def _spellings(name: str, wrappers: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """Possible torchvision names of a tensor: as it is, without a wrapper, translated from mmaction2.

    With each comes the wrapped layer, which is the part before the wrapper, or None.
    """
    yield name, None
    yield from _unwrapped(name, wrappers)
    if ".conv." in name or ".bn." in name:
        for theirs, same in _CONV_MODULE.items():
            name = theirs.sub(same, name)
        yield name, None
        yield from _unwrapped(name, wrappers)


def _unwrapped(name: str, wrappers: Collection[str]) -> Iterator[tuple[str, str]]:
    for wrapper in wrappers:
        layer, found, rest = name.rpartition(f".{wrapper}.")
        if found:
            yield f"{layer}.{rest}", layer
