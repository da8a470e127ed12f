"""Spaces with rules and bounds against the list of all that a product holds, checked one by one."""

import itertools
import pickle
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError
from gsfnas.space import BoundSpace, Limit, RestrictedSpace, Space, _members, parse_bounds, restricted
from gsfnas.space._selection import Selection

BACKBONE = BackboneRef("x")


def site(layer: str, kind: Any = "after", channels: int = 8) -> Site:
    """A site of a layer ``stage.block.convolution``, of a block, or of a stage."""
    parts = layer.split(".")
    role = ("stage", "block", parts[-1])[len(parts) - 1]
    name = layer if kind == "after" else f"{layer}.{kind}"
    return Site(name, layer, ".".join(parts[:2]), role, kind, channels, 8, 8, is_default=True)


LAYERS = ["a", "a.0", "a.0.c1", "a.0.c2", "a.1", "a.1.c1", "a.1.c2", "b", "b.0", "b.0.c1", "b.0.c2"]
SITES = [
    site(layer, kind, 4 * (1 + index % 3)) for index, layer in enumerate(LAYERS) for kind in ("after", "before", "replace")
]
RULE = st.fixed_dictionaries(
    {"same": st.sampled_from(["choice", "module"]), "within": st.sampled_from(["network", "block"])},
    optional={
        "kind": st.sampled_from(["after", "replace"]),
        "role": st.sampled_from([["c1"], ["c2"], ["c1", "c2"], ["block"]]),
    },
)


def resolve(where: Site, insertion: Mapping[str, Any]) -> Insertion | None:
    """Half-channels: two insertions may be the same at a narrow site, and none at all."""
    channels = where.channels * int(insertion["eighths"]) // 8
    return Insertion.of("m", {"channels": channels}) if channels else None


def bind(sites: list[Site], eighths: list[int], rules: list[dict[str, Any]], *, optional: bool = True) -> BoundSpace:
    space = {"name": "s", "insertions": [{"eighths": number} for number in eighths], "couple": rules, "optional": optional}
    # By name, since no role or kind selects sites of every kind.
    selection = Selection((), tuple(one.name for one in sites))
    return replace(Space.from_dict(space), sites=selection).bind(BACKBONE, sites, frames=8, resolution=32, resolve=resolve)


def selects(rule: Mapping[str, Any], where: Site) -> bool:
    """Blocks and stages are selected by their role, replaced layers by their kind; a rule without either selects all."""
    if "role" not in rule and "kind" not in rule:
        return True
    is_named = where.role in rule.get("role", ["c1", "c2"])
    return is_named and (where.kind == rule["kind"] if "kind" in rule else where.kind != "replace")


def keeps(
    sites: list[Site], held: Mapping[Site, Insertion | None], eighths: list[int], rule: Mapping[str, Any], opt: bool
) -> bool:
    """Whether what the sites hold is what some choice for each group of the rule gives."""
    chosen = [one for one in sites if selects(rule, one)]
    groups = {one.block if rule["within"] == "block" else "": [] for one in chosen}
    for one in chosen:
        groups[one.block if rule["within"] == "block" else ""].append(one)

    def fits(group: list[Site], number: int) -> bool:
        may_be_empty = rule["same"] == "module" and opt
        return all((held[one] is None and may_be_empty) or held[one] == resolve(one, {"eighths": number}) for one in group)

    return all(
        (opt and all(held[one] is None for one in group)) or any(fits(group, number) for number in eighths)
        for group in groups.values()
        if len(group) > 1
    )


@st.composite
def spaces(draw: st.DrawFn) -> tuple[BoundSpace, set[Candidate]]:
    """A space of up to six sites and rules, and its candidates one by one."""
    sites = draw(st.lists(st.sampled_from(SITES), min_size=1, max_size=6, unique=True))
    eighths = draw(st.lists(st.sampled_from([1, 2, 3, 8]), min_size=1, max_size=3, unique=True))
    optional = draw(st.booleans())
    rules = [rule for rule in draw(st.lists(RULE, max_size=2)) if any(selects(rule, one) for one in sites)]
    options = [{resolve(one, {"eighths": number}) for number in eighths} | ({None} if optional else set()) for one in sites]
    found = set()
    for point in itertools.product(*options):
        held = dict(zip(sites, point, strict=True))
        filled = [one for one in sites if held[one] is not None]
        if any(one.holds(other) for one, other in itertools.permutations(filled, 2)):
            continue
        if all(keeps(sites, held, eighths, rule, optional) for rule in rules):
            found.add(Candidate(BACKBONE, 8, 32, tuple((one.name, held[one]) for one in filled)))  # type: ignore[misc]
    if not found:
        with pytest.raises(UserError, match="no candidate keeps the rules between the sites of space 's'"):
            bind(sites, eighths, rules, optional=optional)
        return bind([SITES[0]], [1, 8], []), set(bind([SITES[0]], [1, 8], []))
    return bind(sites, eighths, rules, optional=optional), found


def cost(where: str, insertion: Insertion, metric: str) -> int:
    """Some of them negative, as where a module replaces a layer that is dearer."""
    return random.Random(f"{where} {insertion.parameters} {metric}").randrange(-3, 12)


def price(candidate: Candidate, metric: str = "params") -> int:
    return 100 + sum(cost(where, insertion, metric) for where, insertion in candidate.insertions)


def limits(space: BoundSpace, *bounds: str) -> list[Limit]:
    return [
        Limit.of(
            bound,
            100,
            [
                [0 if option is None else cost(one.name, option, bound.metric) for option in options]
                for one, options in zip(space.sites, space.options, strict=True)
            ],
        )
        for bound in parse_bounds(list(bounds))
    ]


def is_same_set(space: BoundSpace, expected: set[Candidate]) -> None:
    listed = list(space)
    assert len(listed) == len(set(listed)) == space.size
    assert set(listed) == expected
    assert all(candidate in space for candidate in listed)


@settings(deadline=None, max_examples=200)
@given(spaces())
def test_a_space_with_rules_is_what_brute_force_finds(pair: tuple[BoundSpace, set[Candidate]]) -> None:
    space, expected = pair
    is_same_set(space, expected)
    for point in itertools.islice(itertools.product(*space.options), 100):
        candidate = space._candidate(point)
        assert (candidate in space) == (candidate in expected)


@settings(deadline=None, max_examples=200)
@given(spaces(), st.sampled_from(["<=", "<", ">=", ">"]), st.data())
def test_within_bounds_are_those_that_cost_no_more(
    pair: tuple[BoundSpace, set[Candidate]], operator: str, data: st.DataObject
) -> None:
    """One bound, and two: the limits are costs that candidates have, so that `<` and `<=` differ."""
    space, expected = pair
    first = data.draw(st.sampled_from(sorted(expected)))
    texts = [f"params{operator}{price(first)}", f"activations>={price(first, 'activations')}"]
    compare = {"<=": int.__le__, "<": int.__lt__, ">=": int.__ge__, ">": int.__gt__}[operator]
    one = {candidate for candidate in expected if compare(price(candidate), price(first))}
    two = {candidate for candidate in one if price(candidate, "activations") >= price(first, "activations")}
    for bounds, members in ((texts[:1], one), (texts, two)):
        if members:
            bounded = restricted(space, limits(space, *bounds))
            is_same_set(bounded, members)
            assert bounded.size_interval is None
            assert all((candidate in bounded) == (candidate in members) for candidate in expected)
            assert bounded.extreme(lambda s, o: (0 if o is None else cost(s.name, o, "params"),)) in members
            cheapest = bounded.extreme(lambda s, o: (0 if o is None else cost(s.name, o, "params"),))
            assert price(cheapest) == min(map(price, members))
        else:
            with pytest.raises(UserError, match=r"no candidate of space 's'.* the nearest that is possible is"):
                restricted(space, limits(space, *bounds))


@settings(deadline=None, max_examples=100)
@given(spaces(), st.data())
def test_neighbours_differ_at_one_site_or_in_one_coupled_group(
    pair: tuple[BoundSpace, set[Candidate]], data: st.DataObject
) -> None:
    space, expected = pair
    here = data.draw(st.sampled_from(sorted(expected)))
    found = list(space.neighbours(here))
    assert len(found) == len(set(found))
    assert set(found) <= expected - {here}
    tied = space._tied if isinstance(space, RestrictedSpace) else []
    names = [{space.sites[position].name for position in group} for group in tied]
    before = dict(here.insertions)
    for other in expected - {here}:
        after = dict(other.insertions)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if len(changed) == 1:
            assert other in found
        elif other in found:
            assert any(changed <= group for group in names)


CONV = [site(f"a.{block}.c{number}") for block in range(3) for number in (1, 2)]


def test_neighbours_of_coupled_sites_change_together() -> None:
    """conv2 of every block or of none; c1 is free: 3 sites with 3 choices, and one group with 3."""
    space = bind(CONV, [2, 8], [{"role": "c2", "same": "choice"}])
    assert space.size == 3**4
    assert len(list(space.neighbours(space.empty))) == 4 * 2
    blocks = bind(CONV, [2, 8], [{"same": "module", "within": "block"}])
    # In a block: both empty, or one or both of them with one of two.
    assert blocks.size == (1 + 2 * 3) ** 3
    # One site is emptied (6), or both sites of a block change to the other insertion (3).
    assert len(list(blocks.neighbours(blocks.full))) == 6 + 3


def test_sites_inside_a_replaced_layer_are_empty() -> None:
    layers = [site("a", "replace"), site("a"), site("a.0", "replace"), site("a.0.c1"), site("a.1.c1"), site("ab.0.c1")]
    space = bind(layers, [8], [])
    # The stage is replaced, or the block, or neither; beside it stand the site after the stage and one of another stage.
    assert space.size == (1 + 2 * (1 + 2)) * 2 * 2
    both = Candidate(
        BACKBONE, 8, 32, (("a.0.c1", Insertion.of("m", {"channels": 8})), ("a.replace", Insertion.of("m", {"channels": 8})))
    )
    with pytest.raises(UserError, match=r"a.0.c1 must be empty, since it is inside a, which is replaced"):
        space.encode(both)
    # As many modules as possible: the inner sites rather than what contains them.
    assert [name for name, _ in space.full.insertions] == ["a", "a.0.c1", "a.1.c1", "ab.0.c1"]


def test_a_row_that_fills_a_replaced_layer_is_refused() -> None:
    rows = {"rows": {"r": [{"pattern": "a.replace", "module": "gsf"}, {"pattern": "a.0.c1", "module": "gsf"}]}}
    with pytest.raises(UserError, match=r"row 'r' .* has a module at a\.0\.c1, which is inside a, but that is replaced"):
        Space.from_dict(rows).bind(
            BACKBONE, [site("a", "replace"), site("a.0.c1")], frames=8, resolution=32, resolve=lambda *_: Insertion("m")
        )


@pytest.mark.parametrize("rules", [[], [{"role": "c2", "same": "choice"}], [{"same": "module", "within": "block"}]])
def test_sampling_is_uniform(rules: list[dict[str, Any]]) -> None:
    space = bind([site("a.0", "replace"), *CONV[:4]], [8], rules)
    bounded = restricted(space, limits(space, "params>100"))
    generator = random.Random(1)
    counts = Counter(bounded.sample(generator) for _ in range(400 * bounded.size))
    assert set(counts) == set(bounded)
    assert all(320 < count < 480 for count in counts.values())


def test_a_plain_product_is_no_restricted_space() -> None:
    assert type(bind(CONV, [2, 8], [])) is BoundSpace
    assert type(bind([site("a"), site("b", "replace")], [8], [])) is BoundSpace


def deep_network() -> list[Site]:
    """53 convolutions in 16 bottlenecks and 4 stages, all of them with all kinds of sites."""
    found = [site("stem.0.c1", kind) for kind in ("after", "before", "replace")]
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        layers = [f"s{stage}", *(f"s{stage}.{block}" for block in range(blocks))]
        layers += [f"s{stage}.{block}.c{number}" for block in range(blocks) for number in (1, 2, 3)]
        found += [site(layer, kind) for layer in layers for kind in ("after", "before", "replace")]
    return found


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"role": "c2", "same": "choice"}, {"role": "c1", "same": "choice"}, {"role": "c3", "same": "choice"}],
        [{"role": ["c1", "c2", "c3"], "same": "module", "within": "block"}, {"role": "c2", "same": "choice"}],
        [{"role": "c1", "same": "module"}, {"role": "block", "kind": "replace", "same": "choice"}],
    ],
)
def test_a_large_network_is_counted_at_once_in_any_order_of_its_sites(rules: list[dict[str, Any]]) -> None:
    sites = deep_network()
    began = time.process_time()
    space = bind(sites, [1, 2, 4], rules)
    assert space.size > 10**20
    assert time.process_time() - began < 3
    shuffled = random.Random(0).sample(sites, len(sites))
    assert bind(shuffled, [1, 2, 4], rules).size == space.size
    assert space.sample(random.Random(0)) in space


def test_rules_that_tie_everything_together_are_named() -> None:
    rules = [{"pattern": f"s*.{number}*", "same": "module"} for number in range(6)]
    rules += [{"role": role, "kind": kind, "same": "module"} for role in ("c1", "c2", "c3") for kind in ("after", "before")]
    with pytest.raises(UserError, match=r"rule \d+ of `couple` of space 's' couples sites that other rules") as error:
        bind(deep_network(), list(range(1, 30)), rules)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_a_bound_whose_table_is_too_large_is_drawn_from(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Uniform all the same; the size is an estimate, and its interval covers the truth."""
    space = bind([*CONV, site("a.0", "replace")], [2, 8], [])
    exact = restricted(space, limits(space, "params<=110", "activations<=115"))
    within = _members.Diagram.within

    def tight(self: Any, costs: Any, budget: int, most: int = 60) -> Any:
        return within(self, costs, budget, most)

    monkeypatch.setattr(_members.Diagram, "within", tight)
    monkeypatch.setattr(_members, "MAX_ENTRIES", steps * 30)
    drawn = restricted(space, limits(space, "params<=110", "activations<=115"))
    assert exact.size_interval is None
    assert drawn.size_interval is not None
    low, high = drawn.size_interval
    assert low <= exact.size <= high
    assert low <= drawn.size <= high < space.size
    assert set(drawn) == set(exact)
    generator = random.Random(0)
    counts = Counter(drawn.sample(generator) for _ in range(100 * exact.size))
    assert set(counts) == set(exact)
    assert all(50 < count < 160 for count in counts.values())


def test_a_restricted_space_goes_to_other_processes() -> None:
    space = restricted(bind(CONV, [2, 8], [{"role": "c2", "same": "choice"}]), limits(bind(CONV, [2, 8], []), "params<=105"))
    there = pickle.loads(pickle.dumps(space))
    assert there == space
    assert list(there) == list(space)


def test_costs_that_are_no_integers_are_compared_exactly() -> None:
    (bound,) = parse_bounds("params<=0.3")
    limit = Limit.of(bound, 0.1, [[0, 0.1], [0, 0.25]])
    space = restricted(bind([site("a.0.c1"), site("a.1.c1")], [8], []), [limit])
    assert [len(candidate.insertions) for candidate in space] == [0, 1]
    assert limit.value(0) == 0.1


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("conv2", "a rule of `couple` must be a mapping of sites and `same`, but got 'conv2'"),
        ({"role": "c1"}, "`same` of a rule of `couple` must be choice or module, but got None"),
        ({"same": "all"}, "`same` of a rule of `couple` must be choice or module, but got 'all'"),
        ({"same": "module", "within": "stage"}, "`within` of a rule of `couple` must be network or block, but got 'stage'"),
        ({"same": "module", "roles": "c1"}, "unknown field of a rule of `couple` 'roles'; did you mean 'role'"),
        ({"same": "module", "role": "c9"}, "rule 1 of `couple` of space 's' asks for sites c9, but the backbone has none"),
        ({"same": ["module"]}, "`same` of a rule of `couple` must be choice or module"),
    ],
)
def test_mistakes_in_rules_are_one_line(rule: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        bind(CONV, [8], [rule])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rules", ["conv2", 3, {"same": "module"}])
def test_couple_is_a_list(rules: Any) -> None:
    with pytest.raises(UserError, match="`couple` of space 's' must be a list of rules"):
        bind(CONV, [8], rules)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params", "a bound is METRIC, one of <= >= < >, and a number, such as params<=2e5, but got 'params'"),
        ("params=3", "a bound is METRIC"),
        ("params<=", "a bound is METRIC"),
        ("params<=2<=3", "a bound is METRIC"),
        (["params<=2", 3], "a bound is METRIC, one of .* but got 3"),
        ("parms<=3", "unknown metric 'parms'; did you mean 'params'"),
        ("val_top1>=0.5", "on a metric that is known before training .*, but val_top1 is measured"),
        ("params<=2e5x", "the limit of bound 'params<=2e5x' must be a number"),
        ("params<=1e400", "must be a number up to 1e"),
        ({"params": 3}, "bounds are a list such as"),
        (3, "bounds are a list such as"),
    ],
)
def test_mistakes_in_bounds_are_one_line(text: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        parse_bounds(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["[params<=2.02e5,macs_fvcore < 1.93e7]", "params<=202000, macs_fvcore<19300000", ["params<=2.02e5", "macs_fvcore<1.93E7"]],
)
def test_bounds_are_read_from_one_text_or_from_a_list(text: Any) -> None:
    assert [str(bound) for bound in parse_bounds(text)] == ["params<=202000", "macs_fvcore<19300000"]
    assert parse_bounds("[]") == parse_bounds(None) == ()
