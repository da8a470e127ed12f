"""A public checkpoint into a file of our own: which candidate it is, what of it fits, and the safetensors that say both."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
from torch import Tensor

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.spec import spec_of
from gsfnas.weights._initialise import fit, pixels_of_file
from gsfnas.weights._match import Match, require_backbone
from gsfnas.weights._names import PUBLISHED_HEAD, published_module
from gsfnas.weights._read import read_metadata, read_state

# What a state dict of the backbone always has; for ResNets the numbers of blocks tell.
_SIGNS = {"bninception": "inception_3a_1x1.weight", "inception_v3": "mixed_conv_Conv2D.weight"}
_RESNETS: Mapping[tuple[str, tuple[int, ...]], str] = {
    ("conv2", (2, 2, 2, 2)): "resnet18",
    ("conv2", (3, 4, 6, 3)): "resnet34",
    ("conv3", (3, 4, 6, 3)): "resnet50",
    ("conv3", (3, 4, 23, 3)): "resnet101",
    ("conv3", (3, 8, 36, 3)): "resnet152",
}


@dataclass(frozen=True)
class Imported:
    """What an import made: the candidate, the classes of its head (None without one), what fitted, and the file."""

    candidate: Candidate
    classes: int | None
    found: Match
    path: Path


def import_weights(
    source: Path,
    out: Path,
    *,
    backbone: BackboneRef | None = None,
    candidate: Candidate | None = None,
    frames: int = 8,
    resolution: int | None = None,
    task: str = "class",
) -> Imported:
    """Writes what ``source`` holds as safetensors under our names, with the candidate, heads and pixels in its metadata.

    Without ``candidate`` it is read from the names and shapes: the backbone, unless given, and after which layers published
    modules stand, on how many channels. What no state dict says are ``frames`` and ``resolution`` (224, or 229 for Inception
    v3). Raises UserError for a file of ours or one that is no state dict, a network that cannot be told, and weights of another
    one.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"weights are written as safetensors, into a file so called, but got {str(out)!r}")
    state = read_state(source)
    if source.suffix == ".safetensors" and "candidate" in read_metadata(source):
        raise UserError(f"{source} says already of which candidate it is; it can be tested and trained from as it is")
    if candidate is None:
        backbone = backbone or guess_backbone(state, source)
        if resolution is None:
            resolution = 229 if backbone.name == "inception_v3" else 224
        candidate = guess_candidate(state, backbone, frames, resolution)
    classes = _classes(state)
    model = build_model(candidate, {task: classes or 1})
    found = fit(state, model)
    require_backbone(found, str(source), str(candidate.backbone))
    is_whole = all(f"heads.{task}.{kind}" in found.tensors for kind in ("weight", "bias"))
    heads = {task: classes} if classes and is_whole else {}
    if not heads:
        found = replace(found, missing=tuple(name for name in found.missing if not name.startswith("heads.")))
    metadata = {
        "candidate": candidate.to_json(),
        "heads": json.dumps(heads),
        "pixels": pixels_of_file(source, candidate.backbone).to_text(),
        "source": source.name,
    }
    _write(out, found.tensors, metadata)
    return Imported(candidate, classes if heads else None, found, out)


def guess_backbone(state: Mapping[str, Tensor], source: Path) -> BackboneRef:
    """The backbone that a state dict's names tell. Raises UserError where they tell none."""
    names = {name.removeprefix("base_model.").removeprefix("backbone.") for name in state}
    for backbone, sign in _SIGNS.items():
        if sign in names:
            return backbone_ref(backbone)
    blocks = tuple(
        len({found[1] for name in names if (found := re.match(rf"layer{stage}\.(\d+)\.", name))}) for stage in range(1, 5)
    )
    last = "conv3" if "layer1.0.conv3.weight" in names else "conv2"
    if (last, blocks) in _RESNETS:
        return backbone_ref(_RESNETS[last, blocks])
    raise UserError(
        f"{source} is of no network that its names tell (the first is {next(iter(state))!r}); say which with --backbone or "
        "--candidate"
    )


def guess_candidate(state: Mapping[str, Tensor], backbone: BackboneRef, frames: int, resolution: int) -> Candidate:
    """The candidate whose published modules a state dict holds. Raises UserError for one after a layer that has no site."""
    sites = {site.layer: site for site in backbone_sites(backbone, resolution) if site.kind == "after"}
    insertions: dict[str, Insertion] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        module = published_module(name.removeprefix("base_model."))
        if module is not None:
            parts.setdefault(module[0], {})[module[1]] = tensor
    for layer, tensors in parts.items():
        if layer not in sites:
            raise UserError(f"a module stands after {layer!r}, where backbone {backbone} has no site")
        if "conv3D.weight" not in tensors or tensors["conv3D.weight"].ndim != 5:
            raise UserError(f"the module after {layer!r} lacks its gate's convolution")
        touched = 2 * tensors["conv3D.weight"].shape[1]
        fuse = "learnable" if "channel_conv1.weight" in tensors else "sum"
        insertion = spec_of("gate_shift_fuse").resolve(sites[layer], {"channels": touched, "fuse": fuse})
        assert insertion is not None
        insertions[sites[layer].name] = insertion
    return Candidate(backbone, frames, resolution, tuple(sorted(insertions.items())))


def _classes(state: Mapping[str, Tensor]) -> int | None:
    """Outputs of a published network's head; the classifier of ImageNet is none of ours."""
    weight = state.get(f"{PUBLISHED_HEAD}.weight")
    return None if weight is None or weight.ndim != 2 else int(weight.shape[0])


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """The whole file or none."""
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
