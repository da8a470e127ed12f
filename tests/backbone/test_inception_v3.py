"""Inception v3 against what is known of the public model: names, sizes, sites, costs."""

import pytest
import torch

from gsfnas.backbone import backbone_ref, build_backbone
from gsfnas.errors import UserError

from ._listed import listed_sites

REF = backbone_ref("inception_v3")
NARROW = backbone_ref("inception_v3", {"width": 0.25})

# Shapes of the public port's convolutions, some of every kind of block, from its model file.
PUBLIC = {
    "conv_Conv2D": (32, 3, 3, 3),
    "conv_2_Conv2D": (64, 32, 3, 3),
    "conv_3_Conv2D": (80, 64, 1, 1),
    "conv_4_Conv2D": (192, 80, 3, 3),
    "mixed_conv_Conv2D": (64, 192, 1, 1),
    "mixed_tower_conv_1_Conv2D": (64, 48, 5, 5),
    "mixed_1_tower_1_conv_2_Conv2D": (96, 96, 3, 3),
    "mixed_1_tower_2_conv_Conv2D": (64, 256, 1, 1),
    "mixed_3_conv_Conv2D": (384, 288, 3, 3),
    "mixed_3_tower_conv_2_Conv2D": (96, 96, 3, 3),
    "mixed_4_tower_conv_1_Conv2D": (128, 128, 7, 1),
    "mixed_5_tower_1_conv_3_Conv2D": (160, 160, 1, 7),
    "mixed_7_tower_1_conv_4_Conv2D": (192, 192, 7, 1),
    "mixed_8_tower_conv_1_Conv2D": (320, 192, 3, 3),
    "mixed_8_tower_1_conv_1_Conv2D": (192, 192, 7, 1),
    "mixed_9_tower_mixed_conv_Conv2D": (384, 384, 3, 1),
    "mixed_9_tower_1_conv_Conv2D": (448, 1280, 1, 1),
    "mixed_10_tower_1_mixed_conv_1_Conv2D": (384, 384, 1, 3),
    "mixed_10_tower_2_conv_Conv2D": (192, 2048, 1, 1),
}
# Where the published network holds its modules: channels and size of the map.
DEFAULTS = {
    "mixed.1x1": (64, 27),
    "mixed_1.1x1": (64, 27),
    "mixed_2.1x1": (64, 27),
    "mixed_3.3x3": (384, 13),
    "mixed_4.1x1": (192, 13),
    "mixed_5.1x1": (192, 13),
    "mixed_6.1x1": (192, 13),
    "mixed_7.1x1": (192, 13),
    "mixed_8.3x3_reduce": (192, 13),
    "mixed_9.1x1": (320, 6),
    "mixed_10.1x1": (320, 6),
}


def test_state_dict_has_the_names_and_shapes_of_the_public_port() -> None:
    state = build_backbone(REF).state_dict()
    for name, shape in PUBLIC.items():
        assert tuple(state[f"{name}.weight"].shape) == shape
        assert state[f"{name}.bias"].shape == shape[:1]
        assert state[f"{name.removesuffix('_Conv2D')}_batchnorm.weight"].shape == shape[:1]
    # 94 convolutions with weight and bias, each with a BatchNorm of five tensors.
    assert len(state) == 94 * (2 + 5)


def test_sites_are_the_convolutions_of_the_eleven_blocks() -> None:
    sites = listed_sites(REF, 229)
    assert {site.name: (site.channels, site.height) for site in sites if site.is_default} == DEFAULTS
    assert len(sites) == 94 - 5
    assert all(site.kind == "after" and site.layer.endswith("_Conv2D") for site in sites)
    assert {"1x1", "pool_proj", "5x5", "double_7x7_4", "double_3x3_3"} <= {site.role for site in sites}


def test_the_last_block_pools_by_maximum_and_the_others_by_mean() -> None:
    pools = {
        name: type(module).__name__ for name, module in build_backbone(REF).named_modules() if name.endswith("tower_2_pool")
    }
    assert pools.pop("mixed_10_tower_2_pool") == "MaxPool2d"
    assert len(pools) == 8
    assert set(pools.values()) == {"AvgPool2d"}


def test_forked_branches_read_the_same_features() -> None:
    """Both ends of a coarse branch read what the branch made last: 320 + 2 x 384 + 2 x 384 + 192 = 2048 channels."""
    network = build_backbone(REF)
    read: dict[str, int] = {}
    for name in ("mixed_9_tower_mixed_conv_Conv2D", "mixed_9_tower_mixed_conv_1_Conv2D"):
        network.get_submodule(name).register_forward_hook(
            lambda layer, args, output, name=name: read.update({name: id(args[0])})
        )
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 101, 101)).shape == (1, 2048)
    assert len(set(read.values())) == 1


@pytest.mark.parametrize("width", ["0.0625", "0.25", "1.25"])
def test_width_scales_every_site(width: str) -> None:
    ref = backbone_ref("inception_v3", {"width": width})
    network = build_backbone(ref)
    assert network(torch.zeros(1, 3, 101, 101)).shape == (1, network.num_features)
    for narrow, site in zip(listed_sites(ref, 101), listed_sites(REF, 101), strict=True):
        assert narrow.name == site.name
        assert narrow.channels % 4 == 0
        assert abs(narrow.channels - site.channels * float(width)) <= 2 or narrow.channels == 4


def test_it_learns_something_from_a_step() -> None:
    network = build_backbone(NARROW).train()
    network(torch.randn(4, 3, 101, 101)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("resolution", [64, 224])
def test_a_size_that_cannot_be_halved_is_refused_and_says_why(resolution: int) -> None:
    with pytest.raises(UserError, match=f"cannot run on frames of {resolution} px: block mixed_3 halves a map of .* odd"):
        listed_sites(NARROW, resolution)


def test_a_size_that_is_too_small_is_refused() -> None:
    with pytest.raises(UserError, match="cannot run on frames of 8 px"):
        listed_sites(NARROW, 8)


def test_resnet101_has_a_site_after_every_bottleneck() -> None:
    ref = backbone_ref("resnet101")
    default = [site for site in listed_sites(ref, 64) if site.is_default]
    assert len(default) == 3 + 4 + 23 + 3
    assert all(site.role == "conv3" and site.kind == "after" for site in default)
