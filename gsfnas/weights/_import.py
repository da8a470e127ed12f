"""A public checkpoint into a file of our own: which candidate it is, what of it fits, and the safetensors that say both."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError
from gsfnas.files import write
from gsfnas.model import build_model
from gsfnas.spec import FAMILY, spec_of
from gsfnas.weights._initialise import fit, pixels_of_file
from gsfnas.weights._match import Match, require_backbone
from gsfnas.weights._names import and_more, backbone_prefix, head_part, published_module, shifted_layers
from gsfnas.weights._read import read_file, read_metadata

# Where a backbone's names begin in a state dict: a layer that it always has. For ResNets the numbers of blocks tell which.
_SIGNS = {
    "bninception": re.compile(r"(?:^|\.)inception_3a_1x1\.(?:net\.)?weight$"),
    "inception_v3": re.compile(r"(?:^|\.)mixed_conv_Conv2D\.(?:net\.)?weight$"),
}
_RESNET_BLOCK = re.compile(r"^(?P<prefix>(?:.*?\.)??)layer(?P<stage>[1-4])\.(?P<block>\d+)\.(?P<layer>\w+)")
_RESNETS: Mapping[tuple[str, tuple[int, ...]], str] = {
    ("conv2", (2, 2, 2, 2)): "resnet18",
    ("conv2", (3, 4, 6, 3)): "resnet34",
    ("conv3", (3, 4, 6, 3)): "resnet50",
    ("conv3", (3, 4, 23, 3)): "resnet101",
    ("conv3", (3, 8, 36, 3)): "resnet152",
}
# TSM moves this share of the channels each way, unless its authors were told otherwise; no state dict says it.
_TSM_SHARE = 8
_TSM = dict(zip(("gate", "fuse"), FAMILY["tsm"], strict=True))


@dataclass(frozen=True)
class Imported:
    """What an import made: the candidate, the classes of its head (None without one), what fitted, and the file.

    ``notes`` are sentences on what was assumed, chosen or found odd.
    """

    candidate: Candidate
    classes: int | None
    found: Match
    path: Path
    notes: tuple[str, ...] = ()


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

    Without ``candidate`` it is read from the names and shapes: the backbone, unless given, where published modules stand, and
    on how many channels. What no state dict says are ``frames``, ``resolution`` (224, or 229 for Inception v3), and how many
    channels TSM moves (1/8 each way, as published). Raises UserError for a file of ours or one that is no state dict, a network
    that cannot be told, a module where we have no site, weights of another network, and a file that cannot be written.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"weights are written as safetensors, into a file so called, but got {str(out)!r}")
    state = read_file(source)
    if source.suffix == ".safetensors" and "candidate" in read_metadata(source):
        raise UserError(f"{source} says already of which candidate it is; it can be tested and trained from as it is")
    classes = _classes(state.tensors)
    notes: list[str] = []
    if candidate is None:
        backbone = backbone or guess_backbone(state.tensors, source)
        if resolution is None:
            resolution = 229 if backbone.name == "inception_v3" else 224
        candidate = guess_candidate(state.tensors, backbone, frames, resolution)
        notes += _assumed(candidate, classes)
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
    # Tensors of a file may share their memory, which safetensors do not.
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in found.tensors.items()}
    write(out, safetensors.torch.save(tensors, metadata))
    return Imported(candidate, classes if heads else None, found, out, (*notes, *found.notes))


def guess_backbone(state: Mapping[str, Tensor], source: Path) -> BackboneRef:
    """The backbone that a state dict's names tell. Raises UserError where they tell none."""
    for backbone, sign in _SIGNS.items():
        if any(sign.search(name) for name in state):
            return backbone_ref(backbone)
    # By prefix, of each stage its blocks, and the layers of all.
    blocks: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    layers: dict[str, set[str]] = defaultdict(set)
    for found in filter(None, map(_RESNET_BLOCK.match, state)):
        blocks[found["prefix"]][int(found["stage"])].add(found["block"])
        layers[found["prefix"]].add(found["layer"])
    for prefix, stages in blocks.items():
        last = "conv3" if "conv3" in layers[prefix] else "conv2"
        depths = tuple(len(stages[stage]) for stage in range(1, 5))
        if (last, depths) in _RESNETS:
            return backbone_ref(_RESNETS[last, depths])
    raise UserError(
        f"{source} is of no network that its names tell (the first is {next(iter(state))[:80]!r}); say which with "
        "--backbone or --candidate"
    )


def guess_candidate(state: Mapping[str, Tensor], backbone: BackboneRef, frames: int, resolution: int) -> Candidate:
    """The candidate whose published modules a state dict holds. Raises UserError for one where the backbone has no site."""
    sites = {(site.kind, site.layer): site for site in backbone_sites(backbone, resolution)}
    with torch.random.fork_rng(devices=[]):
        wanted = frozenset(build_backbone(backbone).state_dict())
    prefix = backbone_prefix(state, wanted)
    insertions: dict[str, Insertion] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        module = published_module(name.removeprefix(prefix).removeprefix("base_model."))
        if module is not None:
            parts.setdefault(module[0], {})[module[1]] = tensor
    for layer, tensors in parts.items():
        if ("after", layer) not in sites:
            raise UserError(f"a module stands after {layer!r}, where backbone {backbone} has no site")
        site = sites["after", layer]
        if "conv3D.weight" not in tensors or tensors["conv3D.weight"].ndim != 5:
            raise UserError(f"the module after {layer!r} lacks its gate's convolution")
        touched = 2 * tensors["conv3D.weight"].shape[1]
        fuse = "learnable" if "channel_conv1.weight" in tensors else "sum"
        insertion = spec_of("gate_shift_fuse").resolve(site, {"channels": touched, "fuse": fuse})
        assert insertion is not None
        insertions[site.name] = insertion
    for layer in shifted_layers(state, prefix, wanted):
        if ("before", layer) not in sites:
            raise UserError(f"the file's names say that TSM stands before {layer!r}, where backbone {backbone} has no site")
        site = sites["before", layer]
        if shift := _published_tsm(site):
            insertions[site.name] = shift
    return Candidate(backbone, frames, resolution, tuple(sorted(insertions.items())))


def _published_tsm(site: Site) -> Insertion | None:
    """TSM as published: an eighth of the channels, rounded down, from the next frame, as many more from the previous one."""
    moved = 2 * (site.channels // _TSM_SHARE)
    if moved % 4:
        raise UserError(f"TSM before {site.layer!r} moves {moved} of {site.channels} channels, but ours moves a multiple of 4")
    return spec_of("gate_shift_fuse").resolve(site, {"channels": moved, **_TSM}) if moved else None


def _assumed(candidate: Candidate, classes: int | None) -> list[str]:
    """What names and shapes left open."""
    insertions = ((site.removesuffix(".before"), dict(insertion.parameters)) for site, insertion in candidate.insertions)
    tsm = [layer for layer, parameters in insertions if parameters.items() >= _TSM.items()]
    if tsm:
        return [
            f"the names say that TSM stands before {and_more(tsm)}; how many channels it moves no state dict says: taken is "
            f"1/{_TSM_SHARE} each way, as published (another is given with --candidate), and no temporal pool"
        ]
    if classes and not candidate.insertions:
        return [
            "the names tell of no module between the frames, so it is taken as TSN; one without weights, whose names are lost, "
            "is given with --candidate"
        ]
    return []


def _classes(state: Mapping[str, Tensor]) -> int | None:
    """Outputs of a published network's head; the classifier of ImageNet is none of ours."""
    weights = [tensor for name, tensor in state.items() if head_part(name) == "weight"]
    return int(weights[0].shape[0]) if len(weights) == 1 and weights[0].ndim == 2 else None
