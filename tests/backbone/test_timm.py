"""timm's networks: roles of the ResNet family, convolutions of the others, names."""

import pytest
import torch

from gsfnas.backbone import backbone_ref, build_backbone
from gsfnas.errors import UserError

from ._listed import listed_sites


@pytest.mark.parametrize(
    ("name", "blocks", "roles", "default"),
    [("resnet18", 8, 2, "conv2"), ("resnet26", 8, 3, "conv3"), ("resnet50", 16, 3, "conv3"), ("resnet101", 33, 3, "conv3")],
)
def test_resnets_have_roles_after_and_before(name: str, blocks: int, roles: int, default: str) -> None:
    sites = listed_sites(backbone_ref(name), 64)
    assert len(sites) == blocks * roles * 2
    assert sum(site.kind == "before" for site in sites) == blocks * roles
    chosen = [site for site in sites if site.is_default]
    assert len(chosen) == blocks
    assert {(site.role, site.kind) for site in chosen} == {(default, "after")}


def test_resnet50_sites_at_224() -> None:
    sites = {site.name: site for site in listed_sites(backbone_ref("resnet50"), 224)}
    site = sites["layer3.2.conv3"]
    assert (site.layer, site.block, site.channels, site.height, site.width) == ("layer3.2.conv3", "layer3.2", 1024, 14, 14)
    # Published TSM stands here: before the first convolution, inside the residual branch, on the block's input.
    assert (sites["layer3.2.conv1.before"].channels, sites["layer3.2.conv1.before"].height) == (1024, 14)
    assert (sites["layer3.0.conv2.before"].height, sites["layer3.0.conv2"].height) == (28, 14)


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("convnext_nano", "stages.0.blocks.0.conv_dw", "stages.3.blocks.1.conv_dw", 14),
        ("mobilenetv3_small_100", "blocks.0.0.conv_pw", "blocks.5.0.conv", 12),
        ("efficientnet_b0", "blocks.0.0.conv_pw", "blocks.6.0.conv_pwl", 16),
    ],
)
def test_other_networks_default_to_the_last_convolution_of_a_block(name: str, first: str, last: str, count: int) -> None:
    ref = backbone_ref("timm", {"name": name})
    sites = listed_sites(ref, 64)
    default = [site.name for site in sites if site.is_default]
    assert (default[0], default[-1], len(default)) == (first, last, count)
    assert all(site.role == site.name.rpartition(".")[2] and site.channels >= 4 for site in sites)
    features = build_backbone(ref).eval()(torch.zeros(1, 3, 64, 64))
    assert features.shape == (1, build_backbone(ref).num_features)


def test_any_convolution_can_be_picked_by_its_name() -> None:
    roles = {site.role for site in listed_sites(backbone_ref("efficientnet_b0"), 64)}
    assert {"conv_stem", "conv_pw", "conv_dw", "conv_pwl", "conv_reduce", "conv_expand", "conv_head"} == roles


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown backbone 'resnet5O'; did you mean 'resnet50'\?"):
        backbone_ref("resnet5O")
    with pytest.raises(UserError, match="did you mean 'micro'"):
        backbone_ref("mikro")


def test_a_tag_of_weights_is_refused() -> None:
    with pytest.raises(UserError, match=r"names the weights 'a1_in1k', but none are loaded: ask for 'resnet50'"):
        backbone_ref("resnet50.a1_in1k")


def test_timm_needs_a_name_and_takes_no_width() -> None:
    with pytest.raises(UserError, match="backbone timm needs the `name`"):
        backbone_ref("timm")
    with pytest.raises(UserError, match="unknown option of backbone resnet18 'width'"):
        backbone_ref("resnet18", {"width": 0.5})


def test_timm_and_the_name_itself_are_one_reference() -> None:
    assert backbone_ref("timm", {"name": "resnet18"}) == backbone_ref("resnet18")
