"""State dicts under the names of the public code of GSM and GSF, made of networks of our own.

The names are those of https://github.com/swathikirans/GSF and /GSM, written down a second time. Where their modules stand is a
table from our sites to their modules, with ``{}`` for gsf or gsm.
"""

import torch
from torch import Tensor

from gsfnas.backbone import backbone_sites
from gsfnas.candidate import BackboneRef, Candidate
from gsfnas.model import VideoModel
from gsfnas.modules import resolve

BN_INCEPTION = {
    **{f"{block}.1x1": f"{{}}_inception_{block}_1x1" for block in ("3a", "3b", "4a", "4b", "4c", "4d", "5a", "5b")},
    **{f"{block}.3x3_reduce": f"{{}}_inception_{block}_3x3_reduce" for block in ("3c", "4e")},
}
INCEPTION_V3 = {
    "mixed.1x1": "{}_mixed_conv_Conv2D",
    **{f"mixed_{number}.1x1": f"{{}}_mixed_{number}_conv_Conv2D" for number in (1, 2, 4, 5, 6, 7, 9, 10)},
    "mixed_3.3x3": "{}_mixed_3_conv_Conv2D",
    "mixed_8.3x3_reduce": "{}_mixed_8_tower_conv_Conv2D",
}
RESNET50 = {
    f"layer{stage}.{block}.conv3": f"layer{stage}.{block}.{{}}"
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3))
    for block in range(blocks)
}
PLACES = {"bninception": BN_INCEPTION, "inception_v3": INCEPTION_V3, "resnet50": RESNET50}


def candidate_of(backbone: BackboneRef, resolution: int, module: str = "gsf", ratio: float = 1.0) -> Candidate:
    """Clips of two frames, and a module wherever the public code has one."""
    sites = {site.name: site for site in backbone_sites(backbone, resolution)}
    insertions = ((name, resolve(sites[name], {"module": module, "ratio": ratio})) for name in PLACES[backbone.name])
    return Candidate(backbone, 2, resolution, tuple((name, insertion) for name, insertion in insertions if insertion))


def shaken(model: VideoModel, seed: int = 0) -> VideoModel:
    """The model in eval mode, with no tensor as it was initialised."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(7)
        else:
            noise = 0.02 * torch.randn(tensor.shape, generator=generator)
            tensor.add_(noise.abs() if name.endswith("running_var") else noise)
    return model.eval()


def published(model: VideoModel, candidate: Candidate, module: str = "gsf") -> dict[str, Tensor]:
    """What the public code would have in ``model_state_dict``: the whole network, wrapped by DataParallel."""
    modules = {site.replace(".", "-"): place.format(module) for site, place in PLACES[candidate.backbone.name].items()}
    state = {}
    for name, tensor in model.state_dict().items():
        owner, _, rest = name.partition(".")
        key, _, part = rest.partition(".")
        if owner == "heads":
            state[f"module.new_fc.{part}"] = tensor
        elif owner == "backbone":
            state[f"module.base_model.{rest}"] = tensor
        elif part.startswith("fuse."):
            for number, half in enumerate(tensor.chunk(2), start=1):
                state[f"module.base_model.{modules[key]}.channel_conv{number}.{part.removeprefix('fuse.')}"] = half.clone()
        else:
            theirs = part.replace("gate.norm.", "bn.").replace("gate.", "conv3D.")
            state[f"module.base_model.{modules[key]}.{theirs}"] = tensor
    return state


def public_imagenet(model: VideoModel, head: str) -> dict[str, Tensor]:
    """As ImageNet weights were published: the layers alone, without counters, and a classifier of 1000 classes."""
    state = {
        name.removeprefix("backbone."): tensor
        for name, tensor in model.state_dict().items()
        if name.startswith("backbone.") and not name.endswith("num_batches_tracked")
    }
    return state | {f"{head}.weight": torch.randn(1000, 8), f"{head}.bias": torch.randn(1000)}


def as_caffe_port(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The BatchNorms' tensors with an axis of length 1 in front."""
    return {
        name: tensor[None] if name.rpartition(".")[0].endswith(("_bn", "_batchnorm")) else tensor
        for name, tensor in state.items()
    }
