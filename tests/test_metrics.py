"""Metrics know when they are known, how they are written, and become objectives under their names."""

import pytest

from gsfnas.errors import UserError
from gsfnas.metrics import (
    DEFAULT_OBJECTIVES,
    METRICS,
    accuracy_of,
    cost_of,
    counterpart,
    metric_of,
    objectives_of,
)

COSTS = {"params", "macs_fvcore", "macs_ptflops", "activations", "saved_bytes", "latency_estimate_ms"}


def test_costs_are_known_before_a_run_and_all_else_after_it() -> None:
    assert {key for key, metric in METRICS.items() if metric.known == "before"} == COSTS


def test_every_metric_has_its_texts() -> None:
    for key, metric in METRICS.items():
        assert metric.key == key
        assert all((metric.label, metric.noun, metric.brief, metric.axis, metric.short_heading))


def test_objectives_have_the_direction_of_the_table_or_their_own() -> None:
    names = ["val_loss", "macs_fvcore", "max:score", "min:epochs"]
    found = objectives_of(names)
    assert [metric.key for metric in found] == ["val_loss", "macs_fvcore", "score", "epochs"]
    assert [metric.better for metric in found] == ["lower", "lower", "higher", "lower"]
    assert [metric.objective for metric in found] == names
    assert objectives_of([metric.objective for metric in found]) == found
    assert objectives_of(["max:val_top1"]) == objectives_of(["val_top1"])
    assert objectives_of([metric.objective for metric in DEFAULT_OBJECTIVES]) == DEFAULT_OBJECTIVES


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "must be a list of 1 to 4 metrics, but got []"),
        (["val_top1", "params", "macs_fvcore", "activations", "saved_bytes"], "must be a list of 1 to 4 metrics, but got"),
        ("val_top1", "must be a list of 1 to 4 metrics, but got 'val_top1'"),
        (["val_top1", "max:val_top1"], "must name a metric once, but got val_top1 twice"),
        (["val_topp1"], "unknown metric 'val_topp1'; did you mean 'val_top1'? (choices: activations, epochs"),
        (["score"], "written max:NAME or min:NAME"),
        (["min:val_top1"], "val_top1 is better the higher it is, so write val_top1 instead of min:val_top1"),
        (["epochs"], "epochs has no direction, so write max:epochs or min:epochs"),
        (["most:score"], "is max:NAME or min:NAME, but got 'most:score'"),
        (["max:"], "is max:NAME or min:NAME, but got 'max:'"),
        (["max:a\nb"], "is max:NAME or min:NAME, but got"),
        ([3], "must name metrics, but got 3"),
    ],
)
def test_what_are_no_objectives_is_refused_in_one_line(names, message) -> None:
    with pytest.raises(UserError) as caught:
        objectives_of(names)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_metric_of_one_task_is_like_that_of_all() -> None:
    verb = metric_of("val_top1.verb")
    assert (verb.label, verb.unit, verb.better, verb.known) == ("Validation top-1, verb", "%", "higher", "after")
    assert objectives_of(["val_top1.verb"]) == (verb,)
    with pytest.raises(UserError, match=r"unknown metric 'params\.verb'"):
        objectives_of(["params.verb"])


def test_the_test_split_has_a_counterpart_of_each_metric_of_validation() -> None:
    assert counterpart(METRICS["val_top1"]) == METRICS["test_top1"]
    score = counterpart(*objectives_of(["min:val_score"]))
    assert score is not None
    assert (score.key, score.better) == ("test_score", "lower")
    assert counterpart(METRICS["macs_fvcore"]) is None
    assert counterpart(metric_of("score")) is None


def test_a_study_is_about_one_accuracy_and_one_cost() -> None:
    for names, accuracy, cost in (
        (["val_top1", "macs_fvcore"], "val_top1", "macs_fvcore"),
        (["params", "val_loss", "val_top1"], "val_loss", "params"),
        (["val_top1"], "val_top1", "macs_fvcore"),
        (["params"], "params", "params"),
    ):
        objectives = objectives_of(names)
        assert (accuracy_of(objectives).key, cost_of(objectives).key) == (accuracy, cost)


def test_a_value_is_said_on_one_line() -> None:
    assert METRICS["val_top1"].said(0.8125) == "val 81.2%"
    assert METRICS["val_top1"].said(0.0812, width=6) == "val   8.1%"
    assert METRICS["macs_fvcore"].said(52_684_000) == "0.05268 GMACs"
    assert METRICS["latency_estimate_ms"].said(12.3456) == "12.35 ms of estimated latency"
    assert METRICS["val_loss"].said(0.51234) == "val loss 0.5123"
    assert metric_of("score").said(None) == "score not run"


def test_a_missing_value_is_the_worst() -> None:
    for metric in DEFAULT_OBJECTIVES:
        assert metric.loss(None) > metric.loss(-(10**9) if metric.better == "higher" else 10**15)
    assert METRICS["val_top1"].loss(0.7) < METRICS["val_top1"].loss(0.6)
    assert METRICS["val_loss"].loss(0.6) < METRICS["val_loss"].loss(0.7)
