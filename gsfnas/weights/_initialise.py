"""The weights that training starts from: drawn from the seed, ImageNet's, or those of a file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gsfnas.backbone import build_backbone
from gsfnas.candidate import BackboneRef, Candidate, Kind
from gsfnas.deprecations import torch_jit_ignored
from gsfnas.errors import UserError, one_line
from gsfnas.model import VideoModel, build_module, insertion_name
from gsfnas.modules import published_forms
from gsfnas.weights._match import Match, match, require_backbone
from gsfnas.weights._names import and_more, backbone_prefix, to_our_names, wrapped_layers, wrappers_of
from gsfnas.weights._normalization import CAFFE, CAFFE_BACKBONES, IMAGENET, InputNormalization
from gsfnas.weights._read import read_file, read_metadata
from gsfnas.weights._state import State

SCRATCH, FROM_IMAGENET = "scratch", "imagenet"
# timm's tag for torchvision's weights, which the paper's code starts from.
_TAG = "tv_in1k"


def initialise(model: VideoModel, candidate: Candidate, init: str, *, seed: int = 0) -> tuple[InputNormalization, Match | None]:
    """Loads the weights named by ``init`` into a freshly built model; returns their input normalization and the match.

    ``scratch`` loads nothing; ``imagenet`` loads the backbone's ImageNet weights through timm; anything else is a file, whose
    backbone must fit completely, while insertions and heads are loaded where they fit. A module that replaces a layer is made
    again, from the layer with its weights, unless the file has weights of the module itself; ``seed`` is the one that the model
    was built with. Raises UserError for a backbone that does not fit.
    """
    if init == SCRATCH:
        return IMAGENET, None
    if init == FROM_IMAGENET:
        tensors, pixels = _imagenet_weights(candidate.backbone)
        state = State(tensors)
        what = "timm's ImageNet checkpoint"
    else:
        path = Path(init)
        state, pixels, what = read_file(path), normalization_of_file(path, candidate.backbone), init
    replaced = [one for one in model._inserted if one.site.kind == "replace"]
    theirs = tuple(f"insertions.{insertion_name(one.site.name)}." for one in replaced)
    if replaced and not any(name.startswith(theirs) for name in state.tensors):
        found = _fit_before_replacing(state, model, candidate, what, seed)
    else:
        found = fit(state, model, candidate)
        require_backbone(found, what, str(candidate.backbone))
    model.load_state_dict(dict(found.tensors), strict=False)
    return pixels, found


def _fit_before_replacing(state: State, model: VideoModel, candidate: Candidate, what: str, seed: int) -> Match:
    """Makes the modules that replace layers again, from layers with the weights of ``state``, and matches all else."""
    with torch.random.fork_rng(devices=[]):
        plain = VideoModel(build_backbone(candidate.backbone), {}, dict(model.heads.items()), candidate.frames)
    found = fit(state, plain)
    require_backbone(found, what, str(candidate.backbone))
    plain.load_state_dict(dict(found.tensors), strict=False)
    replaced = [one for one in model._inserted if one.site.kind == "replace"]
    for one in replaced:
        one.module = build_module(candidate, one.site, plain.backbone, seed=seed)
    found = fit(state, model, candidate)
    made = tuple(f"insertions.{insertion_name(one.site.name)}." for one in replaced)
    gone = tuple(f"backbone.{one.site.layer}." for one in replaced)
    return replace(
        found,
        missing=tuple(name for name in found.missing if not name.startswith(made)),
        left_over=tuple(name for name in found.left_over if not name.startswith(gone)),
        notes=(*found.notes, f"made from the layers that they replace: {and_more([one.site.name for one in replaced])}"),
    )


def fit(state: State, model: VideoModel, candidate: Candidate | None = None) -> Match:
    """Matches a state dict, public or written by gsfnas, to a model; that of a ``candidate`` with modules from outside.

    Raises UserError where two names mean the same tensor.
    """
    sites = [inserted.site for inserted in model._inserted]
    names: dict[tuple[Kind, str], str] = {(site.kind, site.layer): insertion_name(site.name) for site in sites}
    wanted = frozenset(name.removeprefix("backbone.") for name in model.state_dict() if name.startswith("backbone."))
    forms = published_forms(insertion.module for _, insertion in candidate.insertions) if candidate else published_forms()
    prefix = backbone_prefix(state.tensors, wanted, wrappers_of(forms))
    tensors = _rename_insertions(state.tensors, prefix, model)
    found = match(to_our_names(tensors, prefix, wanted, names, next(iter(model.heads)), forms), model)
    notes = list(state.notes)
    for form in forms:
        layers = wrapped_layers(state.tensors, prefix, wanted, form.wrapper) if form.wrapper else []
        if without_site := [layer for layer in layers if (form.kind, layer) not in names]:
            place = f"{form.title} {form.kind} {and_more(without_site)}"
            notes.append(f"the tensor names place {place}, where this network has no module")
    return replace(found, notes=(*notes, *found.notes))


def _rename_insertions(tensors: Mapping[str, Tensor], prefix: str, model: VideoModel) -> dict[str, Tensor]:
    """Moves modules that are named after their layer (``layer1.0.conv1.after.gate.weight``) to ``insertions.<site>``.

    Such names come from the state dict of a backbone with modules inserted.
    """
    inserted = [one for one in model._inserted if one.site.kind != "replace"]
    slots = {f"{prefix}{one.place}.": f"insertions.{insertion_name(one.site.name)}." for one in inserted}
    renamed = {}
    for name, tensor in tensors.items():
        slot = next((slot for slot in slots if name.startswith(slot)), None)
        renamed[name if slot is None else slots[slot] + name.removeprefix(slot)] = tensor
    return renamed


def normalization_of_file(path: Path, backbone: BackboneRef) -> InputNormalization:
    """The normalization that a file's weights expect: from its metadata, else that of the backbone's public weights."""
    if path.suffix == ".safetensors":
        metadata = read_metadata(path)
        if "pixels" in metadata:
            return InputNormalization.from_text(metadata["pixels"])
        if "candidate" in metadata:
            # An older gsfnas file, written before the metadata had pixels: all used ImageNet's normalization.
            return IMAGENET
    return CAFFE if backbone.name in CAFFE_BACKBONES else IMAGENET


def _imagenet_weights(ref: BackboneRef) -> tuple[dict[str, Tensor], InputNormalization]:
    """timm's weights, and the normalization that they were trained with."""
    with torch_jit_ignored():
        import timm

    name = ref.name
    if name in CAFFE_BACKBONES and not ref.options:
        raise UserError(
            f"timm has no ImageNet weights for {name}; import the public ones once with gsfnas weights import FILE --backbone "
            f"{name}, then train.init=FILE"
        )
    if ref.options or ":" in name or not timm.is_model(name) or not timm.is_model_pretrained(name):
        raise UserError(f"there are no ImageNet weights for backbone {ref}; use train.init=scratch or a weights file")
    tags = timm.list_pretrained(f"{name}.*")
    full = f"{name}.{_TAG}" if f"{name}.{_TAG}" in tags else name
    try:
        with torch_jit_ignored():
            network: nn.Module = timm.create_model(full, pretrained=True, num_classes=0)
    except Exception as error:
        raise UserError(
            f"the ImageNet weights of {full} could not be downloaded ({one_line(error)}); download them on a machine with "
            "internet access and use train.init=FILE, or use train.init=scratch"
        ) from None
    config: Any = network.pretrained_cfg
    mean, std = ((a * 255, b * 255, c * 255) for a, b, c in (config["mean"], config["std"]))
    return {f"backbone.{layer}": tensor for layer, tensor in network.state_dict().items()}, InputNormalization(mean, std)
