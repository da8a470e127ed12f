"""The sites of a network that does not list any: after each of its convolutions.

The default sites are derived from the module tree, not from a list of networks: in each element of a sequence (a block of a
stage), the last convolution that is its direct child. That is ``conv_dw`` in ConvNeXt, and the projection ``conv_pwl`` of an
inverted residual in EfficientNet and MobileNetV3.
"""

from torch import nn

from gsfnas.backbone._site_spec import SiteSpec


def convolution_places(network: nn.Module) -> list[SiteSpec]:
    """A site after each convolution, in the order of definition; its role is the last part of the convolution's name."""
    places = []
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    last = {name.rpartition(".")[0]: name for name in names}
    for name in names:
        block, _, role = name.rpartition(".")
        is_element = block.rpartition(".")[2].isdigit()
        places.append(SiteSpec(name, block, role, is_default=is_element and last[block] == name))
    return places
