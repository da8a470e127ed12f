"""Spaces whose insertions are for sites of their own."""

import itertools

import pytest

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.errors import UserError
from gsfnas.space import Space

from ._bind import bound, shipped

MICRO = backbone_ref("micro")
SITES = backbone_sites(MICRO, 32)


def bind(data: dict[str, object]):  # type: ignore[no-untyped-def]
    return Space.from_dict(data).bind(MICRO, SITES, frames=4, resolution=32)


def test_each_insertion_stands_at_its_own_sites() -> None:
    space = bound("mixed", frames=4)
    kinds = {site.kind: {option for option in here if option} for site, here in zip(space.sites, space.options, strict=True)}
    assert {kind: {option.module for option in here} for kind, here in kinds.items()} == {
        "after": {"gate_shift_fuse"},
        "replace": {"temporal_conv"},
        "consensus": {"temporal_pooling"},
    }
    assert space.size == 2**17
    assert len(space.full.insertions) == 17
    assert shipped("mixed").modules == ("gsf", "temporal_conv", "temporal_pooling")


def test_sites_of_several_insertions_hold_each_of_them() -> None:
    data = {
        "sites": {"pattern": "layer1.0.*"},
        "insertions": [
            {"module": "tsm", "ratio": [0.25, 0.5], "sites": {"pattern": ["layer1.0.conv1", "layer1.0.conv2"]}},
            {"module": "gsf", "sites": {"pattern": "layer1.0.conv2"}},
            {"module": "tdn"},
        ],
    }
    space = bind(data)
    choices = {site.name: len(here) for site, here in zip(space.sites, space.options, strict=True)}
    assert choices == {"layer1.0.conv1.before": 2, "layer1.0.conv1": 4, "layer1.0.conv2.before": 2, "layer1.0.conv2": 5}
    assert space.size == 2 * 4 * 2 * 5 == len(list(space))


def test_a_replaced_block_takes_the_place_of_all_that_is_in_it() -> None:
    data = {
        "insertions": [
            {"module": "gsf", "sites": {"pattern": "layer3.*.conv1"}},
            {"module": "temporal_conv", "sites": {"role": "block", "kind": "replace", "pattern": "layer3.*"}},
        ]
    }
    space = bind(data)
    # In each of two blocks: nothing, GSF within it, or another block instead.
    assert space.size == 3 * 3 == len({candidate.key for candidate in space})
    together = [{name for name, _ in candidate.insertions} for candidate in space]
    assert not any({"layer3.0.conv1", "layer3.0.replace"} <= names for names in together)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"insertions": [{"module": "gsf", "sites": "conv1"}]}, "`sites` of an insertion of space 's' must be a mapping"),
        ({"insertions": [{"module": "gsf", "sites": {"role": "conv9"}}]}, "space 's' asks for sites conv9, but"),
        (
            {"insertions": [{"module": "temporal_conv", "sites": {"role": "conv1"}}]},
            "temporal_conv stands at sites of kind replace, but layer1.0.conv1.before is of kind before",
        ),
        (
            {
                "insertions": [{"module": "gsf", "sites": {"role": "conv1", "kind": "after"}}, {"module": "tsm"}],
                "sites": {"role": ["conv1", "conv2"], "kind": "after"},
                "couple": [{"same": "choice", "role": ["conv1", "conv2"]}],
            },
            "couples sites that may hold different insertions, such as layer1.0.conv1",
        ),
    ],
)
def test_mistakes_are_said_in_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as refused:
        bind({"name": "s", **change})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_neighbours_and_keys_hold_in_a_mixed_space() -> None:
    space = bound("mixed", frames=4)
    full = space.full
    near = list(itertools.islice(space.neighbours(full), 20))
    assert len(near) == 17
    assert all(space.decode(space.encode(one)) == one for one in near)


def test_a_space_says_its_rules() -> None:
    space = {
        "name": "s",
        "sites": {"role": ["conv1", "conv2"], "kind": "after"},
        "insertions": [{"module": "gsf", "ratio": 0.25}],
        "couple": [{"role": "conv1", "same": "choice"}, {"within": "block", "same": "module"}],
    }
    assert bind(space).rules_text == (
        "the same at each or at none: layer1.0.conv1, layer1.1.conv1 and 6 more",
        "the same at each that is not empty: layer1.0.conv1, layer1.0.conv2; and so in 7 more blocks",
    )
    replaced = [
        {"module": "gsf", "ratio": 0.25, "sites": {"role": "conv1", "kind": "after"}},
        {"module": "temporal_conv", "sites": {"role": "block", "kind": "replace"}},
    ]
    assert bind({"name": "s", "insertions": replaced}).rules_text == (
        "where one of 8 layers is replaced, as layer1.0, the sites inside it are empty",
    )
