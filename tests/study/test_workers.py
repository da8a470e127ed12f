"""Several worker processes: the same numbers, each candidate once, and a study that survives the death of a worker."""

from collections import Counter

import pytest

from gsfnas.errors import UserError
from gsfnas.executors.local import num_cores, share_devices
from gsfnas.study._scheduler import before_lag
from gsfnas.testing.fake import make_space
from gsfnas.train import resolve_device

from .same import numbers
from .test_propose import history, record_of


@pytest.mark.parametrize(("workers", "slow"), [(2, "0.02"), (3, "0.01")])
def test_several_workers_make_the_study_of_one(lab, workers, slow):
    one = lab.run(trials=14)
    lab.order("slow", slow)
    several = lab.run(trials=14, runs=str(lab.folder / "several"), workers=workers)
    assert [record.phase for record in several.records].count("search") == 5
    assert [record.candidate.key for record in several.records] == [record.candidate.key for record in one.records]
    assert numbers(several) == numbers(one)


def test_a_proposal_sees_what_came_before_the_lag_alone(lab):
    records = tuple(record_of(candidate, number) for number, candidate in enumerate(list(make_space(6))[:6]))
    seen = before_lag(history(make_space(6), records), 4).records
    assert seen[:2] == records[:2]
    assert {record.outcome for record in seen[2:]} == {"running"}
    assert [record.metrics for record in seen[2:]] == [{}] * 4


def test_more_workers_than_the_lag_wait_and_change_nothing(lab):
    one = lab.run(trials=14, lag=1)
    several = lab.run(trials=14, lag=1, workers=4, runs=str(lab.folder / "several"))
    assert numbers(several) == numbers(one)
    assert "study.lag=1 lets at most 2 runs of the search go side by side" in lab.printed[-1]


def test_no_candidate_is_trained_twice_and_both_work(lab):
    lab.order("slow", "0.02")
    study = lab.run(trials=12, workers=2)
    assert set(Counter(lab.evaluations).values()) == {1}
    assert len(lab.evaluations) == len(study.records) + len(study.replicates)
    prepared = [entry for entry in lab.log if entry["what"] == "prepare"]
    assert len({entry["process"] for entry in prepared}) == 2
    assert {entry["threads"] for entry in prepared} == {max(1, num_cores() // 2)}


def test_a_dead_worker_is_replaced_and_its_run_taken_up(lab):
    lab.order("die", "5")
    study = lab.run(trials=8, workers=2)
    assert [record.outcome for record in study.records] == ["complete"] * 8
    assert all([epoch.epoch for epoch in record.curve] == [1, 2, 3] for record in study.records)
    assert "died (signal 9)" in lab.printed[-1]
    assert max(Counter(lab.evaluations).values()) == 2


def test_a_candidate_that_kills_its_process_fails_in_the_end(lab):
    lab.order("poison", "6")
    study = lab.run(trials=6, workers=2)
    full = study.records[1]
    assert (full.outcome, full.error) == ("failed", "its process died 3 times")
    assert Counter(lab.evaluations)[full.candidate.key, full.seed] == 3
    assert [record.outcome for record in study.records].count("complete") == 5


def test_a_worker_that_the_user_must_help_stops_all(lab):
    lab.order("full", "6")
    with pytest.raises(UserError, match="no space left"):
        lab.run(workers=2)


def test_a_complete_study_starts_no_process(lab):
    lab.run(trials=4)
    log = lab.log
    lab.run(trials=4, workers=2)
    assert lab.log == log


def test_without_a_choice_every_worker_has_the_named_device():
    assert share_devices(3, "cpu") == ["cpu"] * 3
    assert share_devices(1, "auto") == [str(resolve_device("auto"))]
