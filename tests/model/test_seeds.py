"""Initial weights follow from the seed, and an insertion changes no others."""

import torch
from space._bind import bound

from gsfnas.model import build_model


def test_an_insertion_changes_no_other_initial_weight() -> None:
    space = bound("placement")
    fullest = build_model(space.full, {"class": 3, "verb": 2}, seed=7).state_dict()
    for candidate in (space.empty, *space.neighbours(space.full)):
        for name, value in build_model(candidate, {"verb": 2, "class": 3}, seed=7).state_dict().items():
            assert torch.equal(value, fullest[name]), name


def test_weights_are_a_function_of_the_seed_and_the_generators_are_left_alone() -> None:
    candidate = bound("placement").full
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = build_model(candidate, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = build_model(candidate, seed=3).state_dict(), build_model(candidate, seed=4).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    for name in ("backbone.conv1.weight", "insertions.layer1-0-conv1.fuse.weight", "heads.class.weight"):
        assert not torch.equal(one[name], other[name]), name


def test_two_sites_of_one_shape_start_differently() -> None:
    insertions = build_model(bound("placement").full).insertions
    first, second = insertions["layer2-1-conv1"], insertions["layer2-2-conv1"]
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
