"""BN-Inception against what is known of the public model: names, sizes, sites."""

import pytest
import torch
from torch import nn

from gsfnas.backbone import backbone_ref, build_backbone
from gsfnas.candidate import Candidate
from gsfnas.cost import price
from gsfnas.errors import UserError

from ._listed import listed_sites

REF = backbone_ref("bninception")

# Shapes of the public port's convolutions, block by block, from its model file.
PUBLIC = {
    "conv1_7x7_s2": (64, 3, 7, 7),
    "conv2_3x3_reduce": (64, 64, 1, 1),
    "conv2_3x3": (192, 64, 3, 3),
    "inception_3a_1x1": (64, 192, 1, 1),
    "inception_3a_double_3x3_1": (96, 64, 3, 3),
    "inception_3b_1x1": (64, 256, 1, 1),
    "inception_3c_3x3": (160, 128, 3, 3),
    "inception_3c_3x3_reduce": (128, 320, 1, 1),
    "inception_3c_double_3x3_2": (96, 96, 3, 3),
    "inception_4a_1x1": (224, 576, 1, 1),
    "inception_4c_pool_proj": (128, 576, 1, 1),
    "inception_4d_1x1": (96, 608, 1, 1),
    "inception_4e_3x3_reduce": (128, 608, 1, 1),
    "inception_4e_double_3x3_2": (256, 256, 3, 3),
    "inception_5a_1x1": (352, 1056, 1, 1),
    "inception_5b_double_3x3_2": (224, 224, 3, 3),
    "inception_5b_pool_proj": (128, 1024, 1, 1),
}
BRANCHES = ("1x1", "3x3_reduce", "3x3", "double_3x3_reduce", "double_3x3_1", "double_3x3_2", "pool_proj")
DEFAULTS = {
    "3a.1x1": (64, 28),
    "3b.1x1": (64, 28),
    "3c.3x3_reduce": (128, 28),
    "4a.1x1": (224, 14),
    "4b.1x1": (192, 14),
    "4c.1x1": (160, 14),
    "4d.1x1": (96, 14),
    "4e.3x3_reduce": (128, 14),
    "5a.1x1": (352, 7),
    "5b.1x1": (352, 7),
}


def test_state_dict_has_the_names_and_shapes_of_the_public_port() -> None:
    state = build_backbone(REF).state_dict()
    for name, shape in PUBLIC.items():
        assert tuple(state[f"{name}.weight"].shape) == shape
        assert state[f"{name}.bias"].shape == shape[:1]
    layers = {name.rpartition(".")[0] for name in state}
    stem = {"conv1_7x7_s2", "conv2_3x3_reduce", "conv2_3x3"}
    blocks = {
        f"inception_{block}_{branch}"
        for block in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
        for branch in BRANCHES
        if block not in ("3c", "4e") or branch not in ("1x1", "pool_proj")
    }
    assert layers == {name + suffix for name in stem | blocks for suffix in ("", "_bn")}
    assert len(state) == 69 * (2 + 5)


def test_sites_are_the_convolutions_of_the_ten_blocks() -> None:
    sites = listed_sites(REF, 224)
    assert {site.name: (site.channels, site.height) for site in sites if site.is_default} == DEFAULTS
    assert len(sites) == 8 * 7 + 2 * 5
    assert all(site.kind == "after" and site.layer == "inception_" + site.name.replace(".", "_") for site in sites)
    assert {site.role for site in sites} == set(BRANCHES)


def test_parameters_are_those_of_table_6() -> None:
    """Table 6 of Gate-Shift-Fuse: 10.45 M with the 174 classes of Something-Something V1."""
    cost = price(Candidate(REF, 8, 64), {"class": 174})
    assert round(cost.total.params / 1e6, 2) == 10.45


@pytest.mark.slow
def test_operations_are_those_of_table_6_but_for_pooling() -> None:
    """Table 6 prints 16.43 GMACs for TSN. ptflops 0.7.5 says 0.024 more: it counts each pooling twice; once gives the print."""
    clip = torch.zeros(8, 3, 224, 224)
    network = build_backbone(REF).eval()
    pooled: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda layer, args, output: pooled.append(args[0].numel()))
    with torch.no_grad():
        network(clip)
    operations = price(Candidate(REF, 8, 224), {"class": 1000}).total.macs_ptflops
    assert round((operations - sum(pooled)) / 1e9, 2) == 16.43
    assert operations / 1e9 == pytest.approx(16.43, abs=0.025)


def test_the_last_block_pools_by_maximum_and_the_others_by_mean() -> None:
    network = build_backbone(REF)
    pools = {name: type(module).__name__ for name, module in network.named_modules() if name.endswith("_pool")}
    maximum = {f"inception_{block}_pool" for block in ("3c", "4e", "5b")}
    assert {name for name, kind in pools.items() if kind == "MaxPool2d"} == maximum
    mean = {name for name in pools if name != "global_pool"} - maximum
    assert {name for name, kind in pools.items() if kind == "AvgPool2d"} == mean


@pytest.mark.parametrize("width", ["0.0625", "0.25", "1.25"])
def test_width_scales_every_site(width: str) -> None:
    ref = backbone_ref("bninception", {"width": width})
    network = build_backbone(ref)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, network.num_features)
    for narrow, site in zip(listed_sites(ref, 64), listed_sites(REF, 64), strict=True):
        assert narrow.name == site.name
        assert narrow.channels % 4 == 0
        assert abs(narrow.channels - site.channels * float(width)) <= 2 or narrow.channels == 4


def test_a_size_that_cannot_be_halved_is_refused_and_says_why() -> None:
    """72 px give maps of 36, 18 and 9."""
    with pytest.raises(UserError, match="cannot run on frames of 72 px: block 3c halves a map of 9 x 9, which must be even"):
        listed_sites(REF, 72)
