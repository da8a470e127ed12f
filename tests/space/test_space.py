"""A space as its file says it: selection of sites, expansion of lists, refusals."""

from typing import Any

import pytest

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.errors import UserError
from gsfnas.space import Space
from gsfnas.spec import label

from ._bind import bound, shipped

GSF = {"module": "gsf", "ratio": 0.25}


def names(sites: dict[str, Any], backbone: str = "resnet18", resolution: int = 64) -> list[str]:
    space = Space.from_dict({"name": "s", "sites": sites, "insertions": [GSF]})
    return [site.name for site in space.select(backbone_sites(backbone_ref(backbone), resolution))]


def test_one_file_serves_many_backbones() -> None:
    sizes = {"micro": 8, "resnet18": 8, "resnet50": 16, "bninception": 10, "convnext_nano": 14, "efficientnet_b0": 16}
    for backbone, sites in sizes.items():
        assert bound("placement", backbone, resolution=64).size == 2**sites


def test_sites_by_role_kind_and_pattern() -> None:
    blocks = [f"layer{stage}.{index}" for stage in range(1, 5) for index in range(2)]
    assert names({"role": "default"}) == [f"{block}.conv2" for block in blocks]
    assert names({"role": "conv1", "kind": "before"}) == [f"{block}.conv1.before" for block in blocks]
    assert names({"role": "conv1", "kind": "after"}) == [f"{block}.conv1" for block in blocks]
    assert names({"pattern": "layer3.*.conv2"}) == ["layer3.0.conv2", "layer3.1.conv2"]
    assert names({"pattern": ["layer1.0.conv1", "layer4.1.conv1"]}) == ["layer1.0.conv1", "layer4.1.conv1"]
    assert names({"role": "default", "pattern": "layer2.*"}) == ["layer2.0.conv2", "layer2.1.conv2"]
    assert len(names({"role": ["conv1", "conv2"], "kind": "after"})) == 16


def test_sites_of_bninception_are_named_as_people_name_them() -> None:
    assert names({"pattern": "4?.1x1"}, "bninception") == ["4a.1x1", "4b.1x1", "4c.1x1", "4d.1x1"]


def test_lists_stand_for_their_product_and_equal_choices_count_once() -> None:
    """At 16 channels a quarter and 0.3 both touch 4; gate 0 with sum is the identity."""
    space = {
        "sites": {"pattern": "layer1.0.conv1"},
        "insertions": [{"module": ["gsf", "tsm", "tsn"], "ratio": [0.25, 0.3, 1.0]}],
    }
    (options,) = bound(space).options
    assert [label(option) for option in options] == ["-", "gsf:4", "gsf:16", "tsm:4", "tsm:16"]


def test_a_space_need_not_allow_an_empty_site() -> None:
    space = {"sites": {"role": "default"}, "insertions": [GSF, {"module": "tsm"}], "optional": False}
    assert bound(space).size == 2**8
    assert bound(space).empty not in bound(space)


def test_what_full_yaml_says_of_one_wide_site() -> None:
    """Three gates, two fusions, five ratios and nothing."""
    assert {len(options) for options in bound("full", "resnet50", resolution=64).options} == {31}
    assert len(shipped("full").insertions) == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site": {}}, r"unknown field of a space 'site'; did you mean 'sites'\?"),
        ({"sites": {"roles": "conv1"}}, r"unknown field of a space's sites 'roles'; did you mean 'role'\?"),
        ({"sites": "default"}, "`sites` of a space must be a mapping of role, pattern or kind, but got 'default'"),
        ({"insertions": []}, r"space 's' must list at least one insertion, but got \[\]"),
        ({"insertions": "gsf"}, "must list at least one insertion, but got 'gsf'"),
        ({"insertions": ["gsf"]}, "an insertion must be a mapping with a `module`, but got 'gsf'"),
        ({"insertions": [{"module": []}]}, "must list at least one insertion, but each has an empty list"),
        ({"sites": {"role": "conv9"}}, r"asks for sites conv9, but the backbone has none \(roles: conv1, conv2, default\)"),
        ({"sites": {"role": "conv1", "kind": "between"}}, "asks for sites conv1 of kind between, but the backbone has none"),
        ({"sites": {"pattern": "layer9.*"}}, r"no site of space .* matches layer9\.\*"),
        ({"insertions": [{"module": "gsff"}]}, r"unknown module 'gsff'; did you mean 'gsf'\?"),
        (
            {"insertions": [{"module": "gsf", "ration": 1}]},
            "unknown parameter of gate_shift_fuse 'ration'; did you mean",
        ),
        ({"insertions": [{"module": "gsf", "ratio": 1.25}]}, r"layer1\.0\.conv1: `ratio` must be in \(0, 1\], but got 1\.25"),
        ({"insertions": [{"module": "gsf", "ratio": 0}]}, r"`ratio` must be in \(0, 1\], but got 0"),
        ({"insertions": [{"module": "gsf", "gate": 1}]}, "module 'gsf' fixes `gate` to learnable"),
        ({"insertions": [{"module": "gate_shift_fuse", "gate": 2}]}, "`gate` must be one of learnable, 1, -1, 0, but got 2"),
        ({"insertions": [{"module": "gsf", "channels": 6}]}, "`channels` must be a multiple of 4 from 4 to 16, but got 6"),
    ],
)
def test_mistakes_are_said_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        bound({"name": "s", "insertions": [GSF]} | change)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(UserError, match="a space must be a mapping of name, sites and insertions, but got list"):
        Space.from_dict([GSF])
