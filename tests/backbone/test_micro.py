"""The small residual networks: their blocks, sites and widths."""

import pytest
import torch

from gsfnas.backbone import backbone_ref, build_backbone

from ._listed import listed_sites

SIZES = {
    "micro": (8, [(16, 8, 3), (32, 4, 3), (64, 2, 2)]),
    "micro14": (6, [(8, 16, 2), (16, 8, 2), (32, 4, 1), (64, 2, 1)]),
    "micro18": (8, [(8, 16, 2), (16, 8, 2), (32, 4, 2), (64, 2, 2)]),
    "micro_bottleneck": (16, [(32, 8, 3), (64, 4, 4), (128, 2, 6), (256, 1, 3)]),
}


@pytest.mark.parametrize("name", SIZES)
def test_default_sites_are_one_a_block_with_the_channels_of_its_stage(name: str) -> None:
    blocks, stages = SIZES[name]
    sites = [site for site in listed_sites(backbone_ref(name), 32) if site.is_default]
    assert len(sites) == len({site.block for site in sites}) == blocks
    expected = [(channels, size) for channels, size, depth in stages for _ in range(depth)]
    assert [(site.channels, site.height) for site in sites] == expected
    assert all(site.kind == "after" and site.width == site.height for site in sites)


@pytest.mark.parametrize(("name", "roles"), [("micro", 2), ("micro14", 2), ("micro18", 2), ("micro_bottleneck", 3)])
def test_every_convolution_of_a_block_can_be_met_before_and_after(name: str, roles: int) -> None:
    sites = listed_sites(backbone_ref(name), 32)
    assert len(sites) == SIZES[name][0] * roles * 2
    for site in sites:
        assert site.layer == f"{site.block}.{site.role}"
        assert site.name == site.layer + (".before" if site.kind == "before" else "")


def test_before_sees_what_the_layer_receives() -> None:
    """The first convolution of a stage halves the map and doubles the channels."""
    sites = {site.name: site for site in listed_sites(backbone_ref("micro"), 32)}
    before, after = sites["layer2.0.conv1.before"], sites["layer2.0.conv1"]
    assert (before.channels, before.height) == (16, 8)
    assert (after.channels, after.height) == (32, 4)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("width", ["0.0625", "0.25", "1", "1.5"])
def test_width_scales_the_channels_in_multiples_of_four(name: str, width: str) -> None:
    ref = backbone_ref(name, {"width": width})
    network = build_backbone(ref)
    widest = SIZES[name][1][-1][0]
    assert network.num_features == widest * float(width)
    assert all(site.channels % 4 == 0 and site.channels >= 4 for site in listed_sites(ref, 32))
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, network.num_features)


def test_different_widths_are_different_networks() -> None:
    sizes = [
        sum(parameter.numel() for parameter in build_backbone(backbone_ref("micro", {"width": step / 16})).parameters())
        for step in range(1, 33)
    ]
    assert sizes == sorted(set(sizes))
