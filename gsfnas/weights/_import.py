"""Converts a public checkpoint: infers its candidate, matches its tensors, and writes both as safetensors."""

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
from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.files import write
from gsfnas.model import build_model
from gsfnas.modules import published_forms
from gsfnas.weights._initialise import fit, normalization_of_file
from gsfnas.weights._match import Match, require_backbone
from gsfnas.weights._names import and_more, backbone_prefix, head_part, published_parts, wrapped_layers, wrappers_of
from gsfnas.weights._read import read_file, read_metadata

# A layer that identifies each Inception backbone. A ResNet is identified by its number of blocks in each stage.
_KNOWN_LAYERS = {
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


@dataclass(frozen=True)
class Imported:
    """The result of an import: the candidate, the classes of its head (None without one), the match, and the file written.

    ``notes`` are sentences about assumptions, choices and anything unusual in the file.
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
    """Writes the weights of ``source`` as safetensors under gsfnas names; the metadata has the candidate, heads and pixels.

    Without ``candidate``, the names and shapes of the tensors give the backbone (unless it is passed), the sites that hold a
    published module, and their channels. A state dict does not record ``frames``, ``resolution`` (224 by default, 229 for
    Inception v3) or how many channels TSM shifts (1/8 each way, as published). Raises UserError for a file that gsfnas wrote,
    for one without a state dict, an unknown network, a module where the backbone has no site, weights of another network, and
    an output file that cannot be written.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"weights are written as safetensors, so the file must end in .safetensors, but got {str(out)!r}")
    state = read_file(source)
    if source.suffix == ".safetensors" and "candidate" in read_metadata(source):
        raise UserError(f"{source} already names its candidate; it can be used for testing and training as it is")
    classes = _num_classes(state.tensors)
    notes: list[str] = []
    if candidate is None:
        backbone = backbone or guess_backbone(state.tensors, source)
        if resolution is None:
            resolution = 229 if backbone.name == "inception_v3" else 224
        candidate, assumptions = guess_candidate(state.tensors, backbone, frames, resolution)
        notes += assumptions
        if classes and not candidate.insertions:
            notes.append(
                "the tensor names show no temporal module, so this assumes TSN; if the network has a module without weights, "
                "name it with --candidate"
            )
    model = build_model(candidate, {task: classes or 1})
    found = fit(state, model, candidate)
    require_backbone(found, str(source), str(candidate.backbone))
    is_whole = all(f"heads.{task}.{kind}" in found.tensors for kind in ("weight", "bias"))
    heads = {task: classes} if classes and is_whole else {}
    if not heads:
        found = replace(found, missing=tuple(name for name in found.missing if not name.startswith("heads.")))
    metadata = {
        "candidate": candidate.to_json(),
        "heads": json.dumps(heads),
        "pixels": normalization_of_file(source, candidate.backbone).to_text(),
        "source": source.name,
    }
    # Tensors in a file may share memory; safetensors does not allow that.
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in found.tensors.items()}
    write(out, safetensors.torch.save(tensors, metadata))
    return Imported(candidate, classes if heads else None, found, out, (*notes, *found.notes))


def guess_backbone(state: Mapping[str, Tensor], source: Path) -> BackboneRef:
    """The backbone that a state dict belongs to, from its names. Raises UserError where they match no known backbone."""
    for backbone, pattern in _KNOWN_LAYERS.items():
        if any(pattern.search(name) for name in state):
            return backbone_ref(backbone)
    # For each prefix: the blocks of each stage, and the layer names in all blocks.
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
        f"{source} has the tensor names of no known network (the first is {next(iter(state))[:80]!r}); name the network with "
        "--backbone or --candidate"
    )


def guess_candidate(
    state: Mapping[str, Tensor], backbone: BackboneRef, frames: int, resolution: int
) -> tuple[Candidate, tuple[str, ...]]:
    """The candidate with the published modules of a state dict, and sentences on what names and shapes do not determine.

    Raises UserError for a module where there is no site.
    """
    sites = {(site.kind, site.layer): site for site in backbone_sites(backbone, resolution)}
    with torch.random.fork_rng(devices=[]):
        wanted = frozenset(build_backbone(backbone).state_dict())
    forms = published_forms()
    prefix = backbone_prefix(state, wanted, wrappers_of(forms))
    insertions: dict[str, Insertion] = {}
    notes: list[str] = []
    for (form, layer), parts in published_parts(state, prefix, forms).items():
        if (form.kind, layer) not in sites:
            raise UserError(f"the file has {form.title} {form.kind} {layer!r}, where backbone {backbone} has no site")
        site = sites[form.kind, layer]
        if insertion := form.guess(site, {part: tuple(state[name].shape) for part, name in parts.items()}):
            insertions[site.name] = insertion
    for form in forms:
        assumed: list[str] = []
        for layer in wrapped_layers(state, prefix, wanted, form.wrapper) if form.wrapper else ():
            if (form.kind, layer) not in sites:
                raise UserError(
                    f"the tensor names place {form.title} {form.kind} {layer!r}, where backbone {backbone} has no site"
                )
            site = sites[form.kind, layer]
            if insertion := form.guess(site, {}):
                insertions[site.name] = insertion
                assumed.append(layer)
        if assumed:
            notes.append(f"the tensor names place {form.title} {form.kind} {and_more(assumed)}; {form.assumption}")
    return Candidate(backbone, frames, resolution, tuple(sorted(insertions.items()))), tuple(notes)


def _num_classes(state: Mapping[str, Tensor]) -> int | None:
    """The number of classes of a published video head, or None; an ImageNet classifier does not count as one."""
    weights = [tensor for name, tensor in state.items() if head_part(name) == "weight"]
    return int(weights[0].shape[0]) if len(weights) == 1 and weights[0].ndim == 2 else None
