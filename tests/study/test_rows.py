"""A study of named rows: all of them, each with every seed; and runs that another study has made."""

from collections import Counter

import pytest

from gsfnas.candidate import BackboneRef
from gsfnas.errors import UserError
from gsfnas.space import Space
from gsfnas.storages.journal import JournalStorage
from gsfnas.study import StudySettings, load_study, plan_study, summarise_study, training_seed
from gsfnas.testing.fake import BUDGET, make_sites

ROWS = {
    "GSF": [{"module": "gsf"}],
    "TSN": [],
    "first": [{"pattern": "s0", "module": "gsf"}],
    "all": [{"module": "gsf", "ratio": 1.0}],
}


def rows_space(rows=ROWS, name="table"):
    return Space.from_dict({"name": name, "rows": rows}).bind(BackboneRef("micro"), make_sites(4), frames=8, resolution=32)


def lab_rows(lab, rows=ROWS, **changes):
    return lab.run(rows_space(rows), **({"name": "table", "trials": 24} | changes))


def test_every_row_is_run_with_every_seed_and_nothing_else(lab):
    study = lab_rows(lab)
    keys = dict(study.rows)
    assert list(keys) == list(ROWS)
    assert keys["GSF"] == keys["all"], "ratio 1 is the default: one candidate under two names"
    assert [record.candidate.key for record in study.records] == list(dict.fromkeys(keys.values()))
    assert {record.phase for record in study.records} == {"row"}
    runs = Counter(record.candidate.key for record in (*study.records, *study.replicates))
    assert runs == dict.fromkeys(keys.values(), 3)
    for record in (*study.records, *study.replicates):
        assert record.seed == training_seed(0, record.candidate.key, record.replicate)
    assert load_study(lab.folder / "runs", "table") == study
    assert summarise_study(lab.folder / "runs", "table").status == "complete"


def test_progress_calls_rows_by_their_names(lab):
    lab_rows(lab, rows={name: ROWS[name] for name in ("TSN", "first")}, replicates=2)
    lines = [line for line in lab.printed[0].splitlines() if line.startswith("[")]
    assert [line.partition(": ")[0] for line in lines] == [
        *("[1/4] row TSN (0 modules)", "[2/4] row first (1 module)"),
        *("[3/4] replicate 2 TSN (0 modules)", "[4/4] replicate 2 first (1 module)"),
    ]


def test_rows_take_no_notice_of_what_came_out(lab):
    one = lab_rows(lab, runs=str(lab.folder / "one"))
    lab.order("slow", "0.01")
    two = lab_rows(lab, workers=2)
    assert [record.candidate for record in one.records] == [record.candidate for record in two.records]
    results = [{(r.candidate, r.seed, r.value("val_top1")) for r in study.replicates} for study in (one, two)]
    assert results[0] == results[1]


def test_a_row_that_fails_does_not_take_the_others_with_it(lab):
    lab.order("fail", "1")
    study = lab_rows(lab)
    assert [record.outcome for record in study.records] == ["complete", "complete", "failed"]
    assert len(study.replicates) == 4


def test_a_study_of_rows_that_was_stopped_goes_on(lab):
    lab.order("interrupt", "7")
    with pytest.raises(KeyboardInterrupt):
        lab_rows(lab)
    study = lab_rows(lab)
    assert len(study.records) + len(study.replicates) == 9
    assert max(Counter(lab.evaluations).values()) <= 2


def test_other_rows_under_the_same_name_are_refused(lab):
    lab_rows(lab)
    with pytest.raises(UserError, match="was begun with another configuration"):
        lab_rows(lab, ROWS | {"last": [{"pattern": "s3", "module": "gsf"}]})


def test_what_another_study_has_run_is_taken_over(lab):
    first = lab_rows(lab, {"GSF": ROWS["GSF"], "TSN": []}, name="first")
    evaluated = len(lab.evaluations)
    second = lab_rows(lab, name="second")
    assert len(lab.evaluations) - evaluated == 3, "one row of three is new, with three seeds"
    known = {record.run_id: record for record in (*first.records, *first.replicates)}
    for record in (*second.records, *second.replicates):
        assert record.source == ("first" if record.run_id in known else None)
        if record.source:
            told = known[record.run_id]
            assert (record.metrics, record.seconds, record.environment) == (told.metrics, told.seconds, told.environment)
            assert [epoch.metrics for epoch in record.curve] == [epoch.metrics for epoch in told.curve]
            assert record.configuration in second.configurations
    assert "from study first" in lab.printed[-1]
    front = second.records[0].candidate.key
    assert any(lab.folder.glob(f"runs/second/checkpoints/{front}-*/weights.safetensors"))


@pytest.mark.parametrize("change", [{"recipe": "r1-b"}, {"data": "d1-b"}, {"budget": 2}, {"seed": 1}])
def test_other_recipes_data_budgets_and_seeds_are_not_taken_over(lab, change):
    lab_rows(lab, name="first")
    second = lab_rows(lab, name="second", **change)
    assert {record.source for record in (*second.records, *second.replicates)} == {None}


def test_a_taken_over_run_is_told_with_its_first_source(lab):
    lab_rows(lab, name="b-first")
    lab_rows(lab, name="a-second")
    third = lab_rows(lab, name="third")
    assert {record.source for record in third.records} == {"b-first"}


def test_the_plan_counts_rows_and_their_seeds():
    plan = plan_study(StudySettings("table"), rows_space(), JournalStorage(), 10.0, workers=2)
    assert (plan.rows, plan.candidates, plan.replicates, plan.seconds) == (3, 3, 6, 50.0)


def test_the_plan_knows_what_other_studies_have_run(lab):
    lab_rows(lab, {"GSF": ROWS["GSF"], "TSN": []}, name="first")
    known = {"recipe": "r1-a", "data": "d1-a", "budget": BUDGET}
    plan = plan_study(lab.settings(name="table", trials=24), rows_space(), JournalStorage(), 10.0, **known)
    assert (plan.known, plan.seconds) == (6, 30.0)
    known["recipe"] = "r1-b"
    assert plan_study(lab.settings(name="table", trials=24), rows_space(), JournalStorage(), 10.0, **known).known == 0
