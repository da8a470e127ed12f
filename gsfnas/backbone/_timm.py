"""Networks of timm by name. In the ResNet family sites are before and after convolutions, in others after convolutions.

timm: https://github.com/huggingface/pytorch-image-models. No weights are loaded.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from torch import nn

from gsfnas.backbone._default_sites import convolution_places
from gsfnas.backbone._site_spec import SiteSpec, around
from gsfnas.deprecations import torch_jit_ignored
from gsfnas.errors import UserError, shown


def check_timm_name(name: str, own: Sequence[str]) -> None:
    """Raises UserError if timm does not know ``name``, suggesting a similar name of timm or of ``own``.

    Also raises UserError for a name with a tag of pretrained weights.
    """
    with torch_jit_ignored():
        import timm

    base, dot, tag = name.partition(".")
    if not timm.is_model(base):
        near = get_close_matches(name[:100], [*own, *timm.list_models()], n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(
            f"unknown backbone {shown(name)}{hint} (choices: {', '.join(own)}, any CNN of timm by its name, such as resnet50, "
            "or package.module:factory)"
        )
    if dot:
        raise UserError(f"backbone {name!r} names the weights {tag!r}, but none are loaded: ask for {base!r}")


def build_timm(name: str) -> nn.Module:
    """Builds a network of timm without its classifier: (N, 3, H, W) -> (N, num_features). Raises UserError if timm cannot."""
    try:
        with torch_jit_ignored():
            import timm

            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        raise UserError(f"timm cannot build {name!r}: {str(error).splitlines()[0]}") from None
    # Some networks (such as MobileNetV3) have a wider layer between pooling and classifier.
    network.num_features = getattr(network, "head_hidden_size", None) or network.num_features
    return network


def resnet_places(network: nn.Module) -> Sequence[SiteSpec] | None:
    """Sites before and after each convolution of timm's residual blocks; None if the network has no such block.

    The default is after the last convolution of a block, before its normalisation, as in table 4 of the Gate-Shift-Fuse paper.
    """
    with torch_jit_ignored():
        from timm.models.resnet import BasicBlock, Bottleneck

    roles = {BasicBlock: ("conv1", "conv2"), Bottleneck: ("conv1", "conv2", "conv3")}
    blocks = [(name, roles[type(module)]) for name, module in network.named_modules() if type(module) in roles]
    return [place for name, names in blocks for place in around(name, names, names[-1])] or None


def timm_places(network: nn.Module) -> Sequence[SiteSpec]:
    return resnet_places(network) or convolution_places(network)
