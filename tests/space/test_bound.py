"""A space on a backbone: counted, enumerated, sampled, and its points' neighbours."""

import itertools
import random
import time
from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError
from gsfnas.space import BoundRows, BoundSpace, Space

from ._bind import bound

MODULES = st.sampled_from(["gsf", "gsm", "tsm", "tdn", "tsn"])
RATIOS = st.lists(st.sampled_from([0.125, 0.25, 0.3, 0.5, 0.75, 1.0]), min_size=1, max_size=3)
INSERTION = st.builds(lambda module, ratios: {"module": module, "ratio": ratios}, MODULES, RATIOS)


@st.composite
def small_spaces(draw: st.DrawFn) -> BoundSpace:
    """Up to three sites of the narrow network, where many ratios touch the same channels."""
    names = draw(st.lists(st.sampled_from(SITES), min_size=1, max_size=3, unique=True))
    insertions = draw(st.lists(INSERTION, min_size=1, max_size=2))
    return bound({"sites": {"pattern": names}, "insertions": insertions, "optional": draw(st.booleans())}, width=0.25)


SITES = ["layer1.0.conv1", "layer1.2.conv2.before", "layer2.1.conv2", "layer3.0.conv1", "layer3.1.conv2"]


@given(small_spaces())
def test_size_is_the_number_of_distinct_keys(space: BoundSpace) -> None:
    keys = [candidate.key for candidate in space]
    assert len(keys) == len(set(keys)) == space.size


@given(small_spaces(), st.integers(0, 2**32))
def test_what_is_sampled_or_enumerated_belongs_and_encodes(space: BoundSpace, seed: int) -> None:
    candidates = [space.sample(random.Random(seed)), *itertools.islice(space, 5)]
    for candidate in candidates:
        assert candidate in space
        assert space.decode(space.encode(candidate)) == candidate
        assert candidate == Candidate.from_json(candidate.to_json())


@given(small_spaces(), st.integers(0, 2**32))
def test_neighbours_are_all_that_differ_at_one_site(space: BoundSpace, seed: int) -> None:
    here = space.sample(random.Random(seed))
    code = space.encode(here)
    expected = {candidate.key for candidate in space if sum(space.encode(candidate)[site] != code[site] for site in code) == 1}
    found = [candidate.key for candidate in space.neighbours(here)]
    assert len(found) == len(set(found)) == sum(len(options) - 1 for options in space.options)
    assert set(found) == expected


def test_a_point_of_each_space_comes_from_a_trial() -> None:
    for name in ("placement", "full"):
        space = bound(name)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        for _ in range(5):
            trial = study.ask()
            candidate = space.suggest(trial)
            assert candidate in space
            assert space.encode(candidate) == trial.params


def test_placement_is_every_subset() -> None:
    space = bound("placement")
    assert space.size == 256
    held = [frozenset(name for name, _ in candidate.insertions) for candidate in space]
    sites = [site.name for site in space.sites]
    assert set(held) == {frozenset(chosen) for n in range(9) for chosen in itertools.combinations(sites, n)}
    assert (held[0], held[-1]) == (frozenset(), frozenset(sites))
    assert (space.empty, space.full) == (next(iter(space)), list(space)[-1])
    assert {insertion for _, insertion in space.full.insertions} == {
        Insertion.of("gate_shift_fuse", {"channels": channels}) for channels in (4, 8, 16)
    }


def test_sampling_is_uniform_over_the_space() -> None:
    space = bound({"sites": {"pattern": SITES[:2]}, "insertions": [{"module": ["gsf", "tsm"]}]})
    generator = random.Random(0)
    counts: dict[str, int] = {}
    for _ in range(900):
        key = space.sample(generator).key
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 9
    assert all(60 < count < 145 for count in counts.values())


def test_a_space_of_more_than_ten_to_the_thirty_is_counted_at_once() -> None:
    sites = tuple(
        Site(f"s{number:02}", f"s{number:02}", "b", "conv", "after", 64, 8, 8, is_default=True) for number in range(64)
    )
    space = Space("wide", ({"module": "gsf", "ratio": 0.25}, {"module": "tsm"}, {"module": "gsm"}))
    start = time.perf_counter()
    wide = space.bind(BackboneRef("x"), sites, frames=8, resolution=32)
    assert wide.size == 4**64 > 10**30
    first = [candidate.key for candidate in itertools.islice(wide, 3)]
    neighbours = [candidate.key for candidate in itertools.islice(wide.neighbours(wide.full), 3)]
    assert len(set(first)) == len(set(neighbours)) == 3
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 3}, "the space is bound to micro, 2 frames at 32 px, but the candidate has micro, 3 frames at 32 px"),
        ({"resolution": 64}, "but the candidate has micro, 2 frames at 64 px"),
        ({"backbone": BackboneRef("resnet18")}, "but the candidate has resnet18"),
        ({"insertions": (("layer9", Insertion.of("gate_shift_fuse", {"channels": 4})),)}, "has no site 'layer9'"),
        ({"insertions": (("layer1.0.conv1", Insertion.of("gate_shift_fuse", {"channels": 8})),)}, "does not allow gsf:8 at"),
        ({"insertions": (("layer1.0.conv2", Insertion.of("gate_shift_fuse", {"channels": 4})),)}, "no site 'layer1.0.conv2'"),
    ],
)
def test_strangers_are_not_members(change: dict[str, Any], message: str) -> None:
    space = bound("placement")
    stranger = replace(space.full, **change)
    assert stranger not in space
    with pytest.raises(UserError, match=message):
        space.encode(stranger)
    with pytest.raises(UserError, match=message):
        next(space.neighbours(stranger))


def test_other_things_are_not_members() -> None:
    assert "c1-0" not in bound("placement")


ROWS = {
    "one": [{"pattern": "layer1.0.conv1", "module": "gsf", "ratio": 0.5}],
    "none": [],
    "two": [{"role": "default", "kind": "after", "module": "gsm"}, {"pattern": "layer2.1.conv2", "module": "tsm"}],
    "again": [{"pattern": ["layer1.0.conv1"], "module": "gsf", "ratio": 0.5}],
}


def test_rows_are_the_candidates_that_the_file_lists() -> None:
    space = bound({"name": "table", "rows": ROWS})
    assert isinstance(space, BoundRows)
    rows = dict(space.rows)
    assert list(rows) == list(ROWS)
    assert rows["one"] == rows["again"]
    assert not rows["none"].insertions
    assert list(space) == list(space.candidates) == [rows["one"], rows["none"], rows["two"]]
    assert (space.size, space.full, space.empty) == (3, rows["two"], rows["none"])
    assert dict(rows["two"].insertions).keys() == {*(site.name for site in space.sites)}
    for candidate in space:
        assert candidate in space
        assert space.decode(space.encode(candidate)) == candidate
        assert set(space.neighbours(candidate)) == set(space) - {candidate}
    assert space.sample(random.Random(0)) in space
    # What the sites could hold between them is no member where no row says it.
    other = Candidate(space.backbone, space.frames, space.resolution, rows["two"].insertions[:1])
    assert other not in space
    with pytest.raises(UserError, match="has no row with candidate"):
        space.encode(other)


def test_optuna_suggests_rows() -> None:
    space = bound({"name": "table", "rows": ROWS})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert {space.suggest(study.ask()) for _ in range(20)} == set(space)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "`rows` of space 'table' must map names to lists of placements"),
        ({"a": "gsf"}, "row 'a' of space 'table' must be a list of placements"),
        ({"a": [{"role": "conv1"}]}, "a placement of row 'a' of space 'table' must be a mapping of sites and a `module`"),
        ({"a": [{"module": "gsf", "ratio": [0.5, 1]}]}, "`ratio` of row 'a' of space 'table' must be one value"),
        ({"a": [{"module": "gsf", "ratio": 1.25}]}, r"`ratio` must be in \(0, 1\], but got 1.25"),
        ({"a": [{"pattern": "layer9*", "module": "gsf"}]}, "no site of row 'a' of space 'table' matches layer9"),
        ({"a": [{"role": "1x1", "module": "gsf"}]}, "row 'a' of space 'table' asks for sites 1x1, but the backbone has none"),
        ({"a": [{"module": "gsf"}, {"pattern": "layer1.0.conv1", "module": "gsm"}]}, "two modules for site layer1.0.conv1"),
    ],
)
def test_mistakes_in_rows_are_said_in_one_line(rows: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        bound({"name": "table", "rows": rows})
    assert "\n" not in str(error.value)


def test_rows_and_a_product_do_not_mix() -> None:
    with pytest.raises(UserError, match="has rows, which name their own sites, so it cannot have `insertions`"):
        bound({"name": "table", "rows": ROWS, "insertions": [{"module": "gsf"}]})
