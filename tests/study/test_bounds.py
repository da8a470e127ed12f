"""Studies of spaces with rules and bounds, on the fake evaluator: nothing outside is ever trained."""

import dataclasses
import random

import pytest

from gsfnas.candidate import Candidate
from gsfnas.component import find
from gsfnas.errors import UserError
from gsfnas.report import build_report
from gsfnas.samplers import SAMPLERS, Design, History, Proposal, Random, Sampler, anchors, distinct_candidates
from gsfnas.samplers._balanced import correlation
from gsfnas.samplers._exchange import exchange_design
from gsfnas.space import BoundRows, parse_bounds
from gsfnas.storages._attributes import header_from_attribute, header_to_attribute
from gsfnas.study import StudySettings, load_study
from gsfnas.study._bounds import within_bounds
from gsfnas.testing._small import fake_record
from gsfnas.testing.fake import BUDGET, fake_price, make_bounded_space, make_coupled_space, make_space

# Each of six sites costs 5e7: at most three of them hold a module, of 64 candidates 42.
BOUND = "macs_fvcore<=1.15e9"


def is_cheap(record) -> bool:
    return len(record.candidate.insertions) <= 3


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_nothing_outside_the_bounds_is_evaluated(lab, sampler):
    study = lab.run(trials=20, replicates=2, sampler=sampler, bounds=(BOUND,))
    assert len(study.records) == 20
    assert all(map(is_cheap, (*study.records, *study.replicates)))
    assert [record.phase for record in study.records] == ["anchor", *["design"] * 10, *["search"] * 9]
    assert not study.records[0].candidate.insertions
    assert "the full candidate is left out: it is not within macs_fvcore<=1150000000" in lab.printed[0]
    assert "empty" not in lab.printed[0]
    assert (study.space_size, study.space_interval, study.bounds) == (42, None, ("macs_fvcore<=1150000000",))
    assert load_study(lab.folder / "runs", "placement").bounds == study.bounds
    build_report(study, lab.folder / "report")
    page = (lab.folder / "report" / "report.md").read_text()
    assert "Of the 42 candidates of the space `placement` within macs\\_fvcore&lt;=1150000000, 20 (48 %) were" in page


def test_a_study_within_bounds_is_the_same_after_it_was_extended_and_with_other_workers(lab):
    first = lab.run(trials=12, bounds=(BOUND,))
    whole = lab.run(trials=18, bounds=(BOUND,), runs=str(lab.folder / "whole"), workers=2)
    extended = lab.run(trials=18, bounds=(BOUND,))
    assert [one.candidate for one in extended.records[:12]] == [one.candidate for one in first.records]
    assert len({one.candidate for one in extended.records}) == len({one.candidate for one in whole.records}) == 18


def test_a_space_within_bounds_is_searched_to_its_end(lab):
    study = lab.run(trials=42, bounds=(BOUND,))
    assert len(study.records) == 42


def test_rules_hold_in_a_study(lab):
    space = make_coupled_space()
    study = lab.run(space, trials=30, replicates=1, bounds=("macs_fvcore<=1.25e9",))
    assert all(record.candidate in space and record.value("macs_fvcore") <= 1.25e9 for record in study.records)
    assert len(study.records) == 30


def test_the_identity_of_a_study_names_its_bounds_only_if_it_has_any(lab):
    lab.run()
    with pytest.raises(UserError, match=r"begun with another configuration \(bounds: nothing -> .*1150000000"):
        lab.run(bounds=(BOUND,))
    lab.run(bounds=(BOUND,), name="bounded")
    with pytest.raises(UserError, match=r"bounds: .*1150000000.* -> .*1100000000"):
        lab.run(bounds=("macs_fvcore<=1.1e9",), name="bounded")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (
            ("macs_fvcore<1e9",),
            "no candidate of space 'placement' has macs_fvcore<1000000000; the nearest .* macs_fvcore=1000000000",
        ),
        (
            ("macs_fvcore<=1.1e9", "macs_fvcore>=1.12e9"),
            "within macs_fvcore<=1100000000 has macs_fvcore>=1120000000; the nearest .* is macs_fvcore=1100000000",
        ),
        (
            ("macs_fvcore<=1.05e9",),
            "study.trials=8, but of space 'placement' 7 candidates are within macs_fvcore<=1050000000; ask",
        ),
    ],
)
def test_bounds_that_leave_too_little_are_refused_before_anything_is_written(lab, bounds, message):
    with pytest.raises(UserError, match=message) as error:
        lab.run(bounds=bounds)
    assert "\n" not in str(error.value)
    assert not (lab.folder / "runs").exists()


def test_a_metric_that_does_not_add_up_cannot_be_bounded():
    def price(candidate: Candidate) -> dict[str, int]:
        return {"params": 5 * len(candidate.insertions) ** 2}

    with pytest.raises(UserError, match="params does not add up over the sites of micro"):
        within_bounds(make_space(), parse_bounds("params<=9"), price)
    with pytest.raises(UserError, match="unknown metric 'activations'"):
        within_bounds(make_space(), parse_bounds("activations<=9"), price)


def test_rows_outside_are_left_out_and_named(lab):
    space = make_space(3)
    rows = BoundRows(**vars(space) | {"rows": tuple((f"row {number}", one) for number, one in enumerate(space))})
    study = lab.run(rows, replicates=1, bounds=("macs_fvcore<=1.1e9",))
    assert len(study.records) == 7 == study.space_size
    assert "row 'row 7' is left out: it is not within macs_fvcore<=1100000000" in lab.printed[0]
    with pytest.raises(
        UserError, match="no row of space 'placement' is within macs_fvcore<1; macs_fvcore of its rows: 1000000000 to"
    ):
        lab.run(rows, bounds=("macs_fvcore<1",), name="none")


def test_an_empty_candidate_that_the_space_lacks_is_an_anchor_only_within_the_bounds():
    space = make_space(2, (0.25, 0.5), optional=False)
    above = within_bounds(space, parse_bounds("macs_fvcore>=1.15e9"), fake_price)
    below = within_bounds(space, parse_bounds("macs_fvcore<=1.15e9"), fake_price)
    assert anchors(above) == ()
    assert distinct_candidates(above) == above.size == 1
    assert anchors(below) == (space.empty, space.full)
    assert distinct_candidates(below) == below.size + 1 == 4


@dataclasses.dataclass
class Outside(Sampler):
    candidate: Candidate

    def propose(self, history, asked):
        return self.candidate, 0, history.budget


@pytest.mark.parametrize(("candidate", "bound"), [(make_space().full, BOUND), (make_space().empty, "macs_fvcore>=1.05e9")])
def test_a_sampler_that_proposes_something_outside_is_told(lab, candidate, bound):
    with pytest.raises(UserError, match=r"sampler 'Outside' proposed c1-\w+, which is not in space 'placement'"):
        lab.run(bounds=(bound,), sampler=(Outside(candidate),))


def history(space, records=(), **changes):
    return dataclasses.replace(History(space, 0, 20, 1, BUDGET, tuple(records)), **changes)


def test_a_random_search_within_bounds_is_uniform():
    """Optuna's random sampler would seldom hit the 2 % within the bounds, and neighbours of the front be proposed instead."""
    space = make_bounded_space(12, (0.25,), "macs_fvcore<=1.1e9")
    known = history(space, [fake_record(number, one) for number, one in zip(range(3), space, strict=False)])
    found = [Random().propose(dataclasses.replace(known, seed=seed), ()).candidate for seed in range(160)]
    counts = [sum(len(one.insertions) == number for one in found) for number in range(3)]
    # 1, 12 and 66 candidates: about 2, 24 and 134 draws.
    assert counts[0] < 10
    assert 8 < counts[1] < 45
    assert counts[2] > 110


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_a_sampler_of_optuna_is_asked_again_until_it_is_within_tight_bounds(name):
    space = make_bounded_space(12, (0.25,), "macs_fvcore<=1.1e9")
    records = [fake_record(number, one) for number, one in zip(range(6), space, strict=False)]
    sampler = find(name, SAMPLERS, "sampler")()
    for seed in range(3):
        proposal = sampler.propose(history(space, records, seed=seed), [])
        assert proposal.candidate in space


def test_a_space_of_unknown_size_ends_where_nothing_new_is_drawn(monkeypatch):
    exact = make_bounded_space(6, (0.25,), "macs_fvcore<=1.05e9")
    monkeypatch.setattr("gsfnas.space._members.Diagram.within", lambda *_: None)
    space = make_bounded_space(6, (0.25,), "macs_fvcore<=1.05e9")
    assert space.size_interval is not None
    assert distinct_candidates(space) == space.size_interval[1] >= exact.size == 7
    records = [fake_record(number, candidate) for number, candidate in enumerate(exact)]
    asked = [Proposal(record.candidate, 0, BUDGET) for record in records]
    last = Random().propose(history(space, records[:6], trials=100), asked[:6])
    assert last.candidate == records[6].candidate
    assert Random().propose(history(space, records, trials=100), asked) is None


def test_a_journal_holds_the_interval_of_an_estimated_size(lab, monkeypatch):
    monkeypatch.setattr("gsfnas.space._members.Diagram.within", lambda *_: None)
    study = lab.run(trials=8, replicates=1, bounds=(BOUND,))
    low, high = study.space_interval
    assert low <= study.space_size <= high
    assert load_study(lab.folder / "runs", "placement").space_interval == (low, high)
    build_report(study, lab.folder / "report")
    page = (lab.folder / "report" / "report.md").read_text()
    assert f"Of the about {study.space_size} candidates" in page


@pytest.mark.parametrize("interval", [3, [1], [1, -2], [1, "2"], [1, 2, 3]])
def test_an_interval_that_is_none_is_refused(interval):
    header = header_to_attribute(make_space(), 20, {"recipe": "r", "data": "d", "budget": 1}, "0")
    assert header_from_attribute(header).space_interval is None
    with pytest.raises(UserError, match="`space_interval` must be"):
        header_from_attribute(header | {"space_interval": interval})


def test_a_design_within_bounds_is_more_balanced_than_chance():
    space = make_bounded_space(8, (0.25,), "macs_fvcore<=1.2e9")
    levels = [2] * 8
    points = exchange_design(space, 12, seed=0)
    assert len(set(points)) == 12
    generator = random.Random(0)
    chance = []
    for _ in range(100):
        codes = [space.encode(space.sample(generator)) for _ in range(12)]
        chance.append(correlation(levels, [tuple(code.values()) for code in codes]))
    assert correlation(levels, points) < min(chance)
    assert points == exchange_design(space, 12, seed=0) != exchange_design(space, 12, seed=1)
    counts = [sum(point[column] for point in points) for column in range(8)]
    assert max(counts) - min(counts) <= 1


def test_a_design_repeats_nothing_and_takes_all_that_is_left():
    space = make_bounded_space(4, (0.25,), "macs_fvcore<=1.1e9")
    points = exchange_design(space, 5, seed=0)
    more = exchange_design(space, 100, seed=0, fixed=points, taken=[(0, 0, 0, 0)])
    assert len(set(points) | set(more)) == len(points) + len(more)
    assert len(set(points) | set(more) | {(0, 0, 0, 0)}) == space.size == 11
    plan = Design(0.5).plan(history(space, trials=8))
    assert len(plan) == 4
    assert all(space.decode(dict(zip(("s0", "s1", "s2", "s3"), point, strict=True))) in space for point in plan)


@pytest.mark.parametrize("bounds", ["[params<=2e5]", ["params<=2e5"], ("params<=200000",)])
def test_settings_take_a_text_or_a_list(bounds):
    assert StudySettings("a", bounds=bounds).bounds == ("params<=200000",)


@pytest.mark.parametrize("bounds", [3, "params", ["val_top1>=3"], {"params": 3}])
def test_settings_refuse_what_is_no_bound(bounds):
    with pytest.raises(UserError, match="bound"):
        StudySettings("a", bounds=bounds)
