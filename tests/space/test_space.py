"""A space as its file says it: selection of sites, expansion of lists, refusals."""

import time
from typing import Any

import pytest

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.errors import UserError
from gsfnas.modules import label
from gsfnas.space import Space

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
        (
            {"sites": {"role": "conv9"}},
            r"asks for sites conv9, but the backbone has none \(roles: block, consensus, conv1, conv2, default, stage\)",
        ),
        (
            {"sites": {"role": "conv1", "kind": "consensus"}},
            "asks for sites conv1 of kind consensus, but the backbone has none",
        ),
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


DEEP: list[Any] = []
for _ in range(2000):
    DEEP = [DEEP]
# Values that no field of a space takes, and those that are too large.
WRONG = [3, 2.5, float("nan"), float("inf"), 10**30, 10**5000, True, None, "", {}, {"a": 1}, [1], [None], [[]], [{}], DEEP]
WRONG += [b"conv1", ("x" * 10**6), ["x"] * 10**6, range(10**9), object(), {1: 2}, {None: 1}, "\0", "\x1b[31m"]


def refusal(space: dict[str, Any]) -> str:
    """What is said where the space cannot be."""
    try:
        bound(space)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("field", ["name", "sites", "insertions", "optional", "couple", "rows"])
def test_a_field_of_a_wrong_type_is_one_line_at_once(field: str) -> None:
    said = [refusal({"name": "s", "insertions": [GSF], field: value}) for value in WRONG]
    assert sum(map(bool, said)) > len(WRONG) / 2
    assert all("\n" not in line and len(line) < 1000 for line in said)


@pytest.mark.parametrize("field", ["role", "pattern", "kind", "module", "ratio"])
def test_a_part_of_a_wrong_type_is_one_line_at_once(field: str) -> None:
    said = [refusal({"rows": {"a": [{"module": "gsf", field: value}]}}) for value in WRONG]
    if field in ("module", "ratio"):
        said += [refusal({"insertions": [{**GSF, field: value}]}) for value in WRONG]
    else:
        said += [refusal({"insertions": [GSF], "sites": {field: value}}) for value in WRONG]
    assert sum(map(bool, said)) > len(WRONG)
    assert all("\n" not in line and len(line) < 1000 for line in said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites": {"role": 3}}, "`role` of a space's sites must be a name or a list of names, but got 3"),
        ({"sites": {"pattern": 1}}, "`pattern` of a space's sites must be a name or a list of names, but got 1"),
        ({"sites": {"role": ["conv1", None]}}, r"must be a name or a list of names, but got \['conv1', None\]"),
        ({"sites": {"kind": ["after"]}}, r"`kind` of a space's sites must be one kind, but got \['after'\]"),
        ({"sites": {1: "conv1"}}, "unknown field of a space's sites '1'"),
        ({"sites": {"pattern": ["x"] * 101}}, "at most 100 names of at most 100 characters"),
        ({"sites": {"pattern": "*a" * 51}}, "at most 100 names of at most 100 characters"),
        ({"sites": []}, r"`sites` of a space must be a mapping of role, pattern or kind, but got \[\]"),
        ({1: 2}, "unknown field of a space '1'"),
        ({"optional": "no"}, "`optional` of space 's' must be true or false, but got 'no'"),
        ({"name": "a\nb"}, r"the name of a space must be text .* but got 'a\\nb'"),
        ({"name": None}, "the name of a space must be text"),
        (
            {"insertions": [{"module": "gsf", "ratio": [[0.5]]}]},
            r"`ratio` of an insertion must be one value or a list of values",
        ),
        ({"insertions": [{"module": "gsf", 1: 2}]}, "a parameter of an insertion must have a name, but got 1"),
        ({"insertions": [{"module": 3}]}, "`module` must be the name of a module, but got 3"),
        ({"insertions": [{"module": "gsf", "ratio": [0.1] * 5001}]}, "at most 5,000 choices per site, but its lists give 5001"),
        ({"insertions": [{"module": ["gsf"] * 10**5, "ratio": [0.1] * 10**5}]}, "its lists give 10000000000"),
        ({"insertions": [{"module": "gsf", "ratio": 10**5000}]}, r"`ratio` must be in \(0, 1\], but got a value of type int"),
    ],
)
def test_what_cannot_be_meant_is_named(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bound({"name": "s", "insertions": [GSF]} | change)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": [{"module": "gsf", 1: 2}]}, "`1` of row 'a' of space 'space' must be one value, but got 2"),
        ({"a": [{"module": "gsf", "role": 3}]}, "`role` of a space's sites must be a name"),
        ({None: []}, "the name of a row of space 'space' must be text"),
        ({"\x1b[31m": []}, "the name of a row of space 'space' must be text"),
        ({1: [], "1": []}, "space 'space' names row '1' twice"),
        ({"a": [GSF] * 5001}, "must have at most 5,000 placements"),
    ],
)
def test_rows_that_cannot_be_meant_are_named(rows: dict[Any, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bound({"rows": rows})


def test_a_row_may_be_called_by_a_number() -> None:
    space = Space.from_dict({"rows": {0.25: [], 7: [GSF]}})
    assert [name for name, _ in space.rows] == ["0.25", "7"]


def test_a_pattern_with_many_stars_is_as_quick_as_another() -> None:
    began = time.process_time()
    with pytest.raises(UserError, match="no site of space 's' matches"):
        bound({"name": "s", "sites": {"pattern": ["*a" * 40 + "!"] * 100}, "insertions": [GSF]})
    assert time.process_time() - began < 2


def test_a_file_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(UserError, match="a space must be a mapping of name, sites and insertions, but got list"):
        Space.from_dict([GSF])
