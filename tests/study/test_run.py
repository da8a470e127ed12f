import io
import math
import time
from collections import Counter

import numpy as np
import pytest
from rich.console import Console

from gsfnas.errors import UserError
from gsfnas.evaluators import Evaluator, Measurement
from gsfnas.record import Latency, best, pareto_front
from gsfnas.study import list_studies, load_study, training_seed
from gsfnas.testing.fake import BUDGET, make_space, metrics_of

from .same import timeless


def phases(study):
    return Counter(record.phase for record in study.records)


def test_a_study_holds_both_anchors_half_a_design_and_distinct_candidates(lab):
    space = make_space()
    study = lab.run(trials=16)
    assert phases(study) == {"anchor": 2, "design": 8, "search": 6}
    assert [record.candidate for record in study.records[:2]] == [space.empty, space.full]
    assert len({record.candidate.key for record in study.records}) == 16
    assert [record.number for record in study.records] == list(range(16))
    for column in space.sites:
        held = sum(column.name in dict(r.candidate.insertions) for r in study.records if r.phase == "design")
        assert held == 4
    assert (study.name, study.space, study.space_size, study.sites, study.classes) == (
        "placement",
        "placement",
        64,
        space.sites,
        20,
    )


def test_a_record_says_what_was_measured(lab):
    study = lab.run(trials=4)
    for record in study.records:
        assert record.outcome == "complete"
        assert record.seed == training_seed(0, record.candidate.key, 0)
        assert record.metrics == metrics_of(record.candidate, record.seed, BUDGET, True)
        assert [epoch.epoch for epoch in record.curve] == [1, 2, 3]
        assert record.curve[0].metrics == metrics_of(record.candidate, record.seed, 1, False)
        assert study.environments[record.environment] == {"python": "3.11"}
        assert study.configurations[record.configuration]["train"] == {"epochs": BUDGET}
        assert record.device == "cpu"
    assert study.study_yaml == "study: {}\n"


def test_anchors_and_best_are_run_with_three_seeds(lab):
    # Full is costly but not always best: with this noise the study's best is known only from the records.
    study = lab.run(trials=10)
    wanted = {record.candidate for record in study.records[:2]} | {best(study.records).candidate}
    assert Counter(record.candidate for record in study.replicates) == dict.fromkeys(wanted, 2)
    assert {record.replicate for record in study.replicates} == {1, 2}
    seeds = {(record.candidate.key, record.seed) for record in (*study.records, *study.replicates)}
    assert len(seeds) == len(study.records) + len(study.replicates)
    assert not lab.run(trials=4, name="single", replicates=1).replicates


def test_a_complete_study_is_only_read(lab):
    first = lab.run()
    log = lab.log
    assert timeless(lab.run()) == timeless(first) == timeless(load_study(lab.folder / "runs", "placement"))
    assert lab.log == log


def test_more_trials_extend_a_study_and_keep_what_it_has(lab):
    first = lab.run(trials=8)
    second = lab.run(trials=20)
    assert second.records[:8] == first.records
    assert len({record.candidate for record in second.records}) == 20
    assert phases(second) == {"anchor": 2, "design": 10, "search": 8}
    assert Counter(lab.evaluations).most_common(1)[0][1] == 1, "nothing is trained twice"
    assert lab.run(trials=4).records == second.records, "fewer trials take nothing away"


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_an_exhausted_space_ends_the_study_with_a_line(lab, sampler):
    study = lab.run(make_space(3), trials=30, sampler=sampler)
    assert len(study.records) == 8 == len({record.candidate for record in study.records})
    assert "the space is exhausted: all 8 candidates are evaluated (30 asked)" in lab.printed[-1]
    assert list_studies(lab.folder / "runs")[0].status == "complete"
    assert len(lab.evaluations) == len(set(lab.evaluations))


def test_an_empty_anchor_outside_the_space_is_evaluated(lab):
    space = make_space(2, (0.25, 0.5), optional=False)
    study = lab.run(space, trials=30)
    assert study.records[0].candidate == space.empty
    assert len(study.records) == 5


def test_a_failing_candidate_is_recorded_and_the_study_goes_on(lab):
    lab.order("fail", "3")
    study = lab.run(trials=24)
    bad = [record for record in study.records if record.outcome == "failed"]
    assert bad
    assert len(study.records) == 24
    for record in study.records:
        assert (record.outcome == "failed") == (len(record.candidate.insertions) == 3)
    assert bad[0].error == "RuntimeError: out of memory: tried to allocate 4 GiB"
    assert bad[0].metrics == {}
    assert [epoch.epoch for epoch in bad[0].curve] == [1]
    assert not {record.candidate for record in bad} & {record.candidate for record in pareto_front(study.records)}


def test_a_loss_that_is_no_number_fails_the_candidate_even_an_anchor(lab):
    lab.order("nan", "0")
    study = lab.run()
    assert study.records[0].outcome == "failed"
    assert study.records[0].error == "FloatingPointError: the training loss is nan in epoch 2, step 7"
    assert study.records[0].candidate not in {record.candidate for record in study.replicates}
    assert len(study.records) == 8


class Told(Evaluator):
    """Tells measurements as they are given, for every candidate."""

    budget = BUDGET

    def __init__(self, *measurements):
        self.measurements = measurements

    def evaluate(self, candidate, *, seed, replicate, budget, resume_from=None):
        yield from self.measurements


def whole(number, *, is_last=False, **metrics):
    return Measurement(number, {"val_top1": 0.5} | metrics, is_last=is_last)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ([whole(1), whole(2, test_loss=math.inf)], "FloatingPointError: test_loss is inf after epoch 2"),
        ([whole(1, train_loss=math.nan)], "FloatingPointError: train_loss is nan after epoch 1"),
        (
            [whole(1, val_top1=55.0)],
            "ValueError: the evaluator measured val_top1 = 55.0; it is a fraction, from 0 to 1",
        ),
        (
            [whole(1), whole(2, **{"test_top5.verb": -0.5})],
            "ValueError: the evaluator measured test_top5.verb = -0.5; it is a fraction, from 0 to 1",
        ),
        ([whole(1), whole(3, is_last=True)], "RuntimeError: the evaluator told epoch 3 where epoch 2 is due"),
        ([whole(1), whole(1)], "RuntimeError: the evaluator told epoch 1 where epoch 2 is due"),
        ([whole(2, is_last=True)], "RuntimeError: the evaluator told epoch 2 where epoch 1 is due"),
        ([whole(0)], "RuntimeError: the evaluator told epoch 0 where epoch 1 is due"),
        ([whole(1), whole(2)], "RuntimeError: the evaluator ended after 2 of 3 epochs"),
    ],
)
def test_what_a_journal_could_not_say_fails_the_candidate(lab, told, error):
    study = lab.run(trials=2, replicates=1, evaluator=Told(*told))
    assert [record.error for record in study.records] == [error] * 2


def test_a_fraction_may_be_rounded_and_other_metrics_have_no_range(lab):
    values = {"test_top1": 1 + 1e-7, "score": 55.0, "train_loss": 7.0}
    told = [whole(number, is_last=number == 3, **values) for number in (1, 2, 3)]
    study = lab.run(trials=2, replicates=1, evaluator=Told(*told))
    assert [record.metrics for record in study.records] == [{"val_top1": 0.5, **values}] * 2


def test_numbers_of_any_library_are_kept_as_plain_ones(lab):
    told = [whole(number, is_last=number == 3, val_top5=np.float32(0.5), parts=np.int64(2)) for number in (1, 2, 3)]
    study = lab.run(trials=2, replicates=1, evaluator=Told(*told))
    for record in study.records:
        assert record.metrics == record.curve[-1].metrics == {"val_top1": 0.5, "val_top5": 0.5, "parts": 2}
    assert lab.run(trials=2, replicates=1, evaluator=Told(*told)) == study


@pytest.mark.parametrize(
    ("returned", "said"), [(0.5, "a float"), (None, "None"), ({"val_top1": 0.5}, "a dict"), (whole(1), "a Measurement")]
)
def test_an_evaluator_that_returns_its_result_fails_the_candidate(lab, returned, said):
    class Returns(Told):
        def evaluate(self, candidate, **options):
            return returned

    study = lab.run(trials=2, replicates=1, evaluator=Returns())
    assert study.records[0].error == f"TypeError: `evaluate` must yield Measurements, but returned {said}"


def test_what_an_error_says_is_harmless_on_a_terminal(lab):
    class Fails(Told):
        def evaluate(self, candidate, **options):
            raise OSError("no clip \x1b[31m\udce9.mp4")
            yield

    study = lab.run(trials=2, replicates=1, evaluator=Fails())
    assert study.records[0].error == "OSError: no clip \\x1b[31m\\xe9.mp4"


def test_a_study_whose_first_candidates_all_fail_stops(lab):
    lab.order("fail", "all")
    with pytest.raises(UserError, match="the first 3 candidates all failed: RuntimeError: out of memory") as caught:
        lab.run()
    assert "\n" not in str(caught.value)
    assert len(lab.evaluations) == 3


def test_only_the_weights_of_the_front_and_the_anchors_stay(lab):
    study = lab.run(trials=16)
    kept = {record.candidate for record in (*pareto_front(study.records), *study.records[:2])}
    assert len(kept) < 16
    folder = lab.folder / "runs" / "placement" / "checkpoints"
    expected = {f"{r.candidate.key}-{r.seed}/weights.safetensors" for r in study.records if r.candidate in kept}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == expected
    assert len(list(folder.iterdir())) == len(kept)


def test_hours_start_no_candidate_after_the_limit_and_the_same_call_goes_on(lab):
    lab.order("slow", "0.05")
    study = lab.run(trials=16, hours=0.5 / 3600)
    assert 2 <= len(study.records) < 16
    assert all(record.outcome == "complete" for record in study.records)
    assert "candidates; the same command goes on" in lab.printed[-1]
    assert list_studies(lab.folder / "runs")[0].status == "unfinished"
    (lab.folder / "slow").unlink()
    assert len(lab.run(trials=16).records) == 16


def test_latency_is_measured_once_for_each_complete_candidate(lab):
    lab.order("fail", "2")
    asked = []

    def measure(device):
        def latency(candidate):
            asked.append((device, candidate.key))
            median = 1.0 + 4.0 * (len([one for one in asked if one == asked[-1]]) != 3)
            return Latency(candidate.key, median, 0.5, 9.5, device, 1, "float32")

        return latency

    study = lab.run(trials=12, latency=measure("cpu"), latency_device="cpu")
    complete = {record.candidate.key for record in study.records if record.outcome == "complete"}
    assert 0 < len(complete) < 12
    assert {latency.key for latency in study.latencies} == complete
    # Several rounds over all of them, not one candidate after the other; the least disturbed round counts.
    assert len(asked) == 5 * len(complete)
    assert {key for _, key in asked[: len(complete)]} == complete
    assert {latency.median_ms for latency in study.latencies} == {1.0}
    lab.run(trials=12, latency=measure("cpu"), latency_device="cpu")
    assert len(asked) == 5 * len(complete)
    again = lab.run(trials=12, latency=measure("h100"), latency_device="h100")
    assert Counter(latency.device for latency in again.latencies) == {"cpu": len(complete), "h100": len(complete)}


def test_a_latency_that_cannot_be_measured_is_named_and_passed_over(lab):
    def measure(candidate):
        raise RuntimeError("no such kernel")

    assert lab.run(trials=2, latency=measure).latencies == ()
    assert "RuntimeError: no such kernel" in lab.printed[-1]


def test_progress_prints_a_line_a_run_with_the_best_and_the_time_left(lab):
    lab.run(trials=4)
    lines = [line for line in lab.printed[-1].splitlines() if line.startswith("[")]
    assert len(lines) == 4 + 2 * 2
    assert "best val" in lines[1]
    assert "left" in lines[1]
    assert "\x1b" not in lab.printed[-1]


def test_no_run_is_left_in_the_lock_folder(lab):
    lab.run(trials=4)
    assert list((lab.folder / "runs" / "placement" / "locks").iterdir()) == []


def test_a_study_of_another_seed_has_other_runs(lab):
    first, second = lab.run(), lab.run(name="other", seed=1)
    assert {record.seed for record in first.records}.isdisjoint(record.seed for record in second.records)
    assert [r.candidate for r in first.records] != [r.candidate for r in second.records]


def test_proposals_of_one_worker_are_reproducible(lab):
    first, second = lab.run(trials=14), lab.run(trials=14, runs=str(lab.folder / "again"))
    assert timeless(second) == timeless(first)


def test_a_small_study_takes_little_time_beside_its_training(lab):
    start = time.monotonic()
    lab.run(trials=12)
    assert time.monotonic() - start < 20


def test_a_terminal_shows_bars_and_the_same_lines(lab):
    text = io.StringIO()
    lab.run(trials=4, console=Console(file=text, width=120, force_terminal=True))
    shown = text.getvalue()
    assert "\x1b[" in shown
    assert "8/8 runs" in shown
    assert "[8/8] replicate 3" in shown
