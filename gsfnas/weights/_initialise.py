"""The weights that training begins with: the seed's, ImageNet's, or a file's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.errors import UserError
from gsfnas.model import VideoModel, insertion_name
from gsfnas.weights._match import Match, match, require_backbone
from gsfnas.weights._names import and_more, as_ours, backbone_prefix, shifted_layers
from gsfnas.weights._normalization import CAFFE, CAFFE_BACKBONES, IMAGENET, InputNormalization
from gsfnas.weights._read import read_file, read_metadata
from gsfnas.weights._state import State

SCRATCH, OF_IMAGENET = "scratch", "imagenet"
# The weights of torchvision, which the paper's code starts from, where timm has them under this tag.
_TAG = "tv_in1k"


def initialise(model: VideoModel, candidate: Candidate, init: str) -> tuple[InputNormalization, Match | None]:
    """Loads what ``init`` names into a freshly built model, and says what pixels its weights expect and what fitted.

    ``scratch`` loads nothing; ``imagenet`` the backbone's weights of ImageNet, through timm; anything else is a file, of which
    the backbone must fit whole, and insertions and heads are taken as far as they fit. Raises UserError where they do not.
    """
    if init == SCRATCH:
        return IMAGENET, None
    if init == OF_IMAGENET:
        tensors, pixels = _imagenet(candidate.backbone)
        state = State(tensors)
        what = "those that timm has for ImageNet"
    else:
        path = Path(init)
        state, pixels, what = read_file(path), pixels_of_file(path, candidate.backbone), init
    found = fit(state, model)
    require_backbone(found, what, str(candidate.backbone))
    model.load_state_dict(dict(found.tensors), strict=False)
    return pixels, found


def fit(state: State, model: VideoModel) -> Match:
    """What of a public or an own state dict fits a model. Raises UserError where its names mean one place twice."""
    sites = [inserted.site for inserted in model._inserted]
    places = {site.layer: insertion_name(site.name) for site in sites if site.kind == "after"}
    wanted = frozenset(name.removeprefix("backbone.") for name in model.state_dict() if name.startswith("backbone."))
    prefix = backbone_prefix(state.tensors, wanted)
    tensors = _from_layers(state.tensors, prefix, model)
    found = match(as_ours(tensors, prefix, wanted, places, next(iter(model.heads))), model)
    before = {site.layer for site in sites if site.kind == "before"}
    lacking = [layer for layer in shifted_layers(state.tensors, prefix, wanted) if layer not in before]
    notes = list(state.notes)
    if lacking:
        notes.append(f"the file's names say that TSM stands before {and_more(lacking)}, where this network has no module")
    return replace(found, notes=(*notes, *found.notes))


def _from_layers(tensors: Mapping[str, Tensor], prefix: str, model: VideoModel) -> dict[str, Tensor]:
    """Of a backbone's own state with modules in it (``layer1.0.conv1.after.gate.weight``) those under our names."""
    slots = {f"{prefix}{one.site.layer}.{one.slot}.": f"insertions.{insertion_name(one.site.name)}." for one in model._inserted}
    renamed = {}
    for name, tensor in tensors.items():
        slot = next((slot for slot in slots if name.startswith(slot)), None)
        renamed[name if slot is None else slots[slot] + name.removeprefix(slot)] = tensor
    return renamed


def pixels_of_file(path: Path, backbone: BackboneRef) -> InputNormalization:
    """What the weights in a file expect: as its metadata says, or as public ones of that backbone do."""
    if path.suffix == ".safetensors":
        metadata = read_metadata(path)
        if "pixels" in metadata:
            return InputNormalization.from_text(metadata["pixels"])
        if "candidate" in metadata:
            # Written before weights said so: all were trained on these.
            return IMAGENET
    return CAFFE if backbone.name in CAFFE_BACKBONES else IMAGENET


def _imagenet(ref: BackboneRef) -> tuple[dict[str, Tensor], InputNormalization]:
    """timm's weights and the pixels that they were trained on."""
    import timm

    name = ref.name
    if name in CAFFE_BACKBONES and not ref.options:
        raise UserError(
            f"timm has no ImageNet weights for {name}; import the public ones once with gsfnas weights import FILE --backbone "
            f"{name}, then train.init=FILE"
        )
    if ref.options or ":" in name or not timm.is_model(name) or not timm.is_model_pretrained(name):
        raise UserError(f"there are no ImageNet weights for backbone {ref}; ask for train.init=scratch, or a file of weights")
    tags = timm.list_pretrained(f"{name}.*")
    full = f"{name}.{_TAG}" if f"{name}.{_TAG}" in tags else name
    try:
        network: nn.Module = timm.create_model(full, pretrained=True, num_classes=0)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise UserError(
            f"the ImageNet weights of {full} could not be fetched ({reason}); fetch them where there is a network and ask for "
            "train.init=FILE, or for train.init=scratch"
        ) from None
    config: Any = network.pretrained_cfg
    mean, std = ((a * 255, b * 255, c * 255) for a, b, c in (config["mean"], config["std"]))
    return {f"backbone.{layer}": tensor for layer, tensor in network.state_dict().items()}, InputNormalization(mean, std)
