"""Ranks, front, spread and the rows of trials.csv, against studies small enough to be checked by hand."""

import io
import math
from dataclasses import replace
from itertools import product

import pandas as pd
import pytest
from scipy import stats

from gsfnas.candidate import Candidate
from gsfnas.report._analysis import COLUMNS, LATENCY, TAIL, StudyAnalysis
from gsfnas.report.sections.caveats import caveats
from gsfnas.report.sections.seeds import seeds
from gsfnas.report.sections.summary import summary
from gsfnas.testing import records as synthetic


def test_ranking_and_names() -> None:
    analysis = StudyAnalysis(synthetic.hand_study())
    assert [record.number for record in analysis.ranked] == [2, 1, 3, 0]
    assert {name: record.number for name, record in analysis.named.items()} == {"baseline": 0, "full": 1, "best": 2}


def test_equal_accuracy_ranks_the_cheaper_first() -> None:
    records = [synthetic.record(0, synthetic.placement(0, 1), top1=50), synthetic.record(1, synthetic.placement(1), top1=50)]
    assert StudyAnalysis(synthetic.study_of(records)).best is records[1]


def test_front_is_what_nothing_dominates_on_validation() -> None:
    assert [record.number for record in StudyAnalysis(synthetic.hand_study()).front] == [0, 2]
    analysis = StudyAnalysis(synthetic.placement_study())
    front = {record.number for record in analysis.front}
    for one, other in product(analysis.ranked, repeat=2):
        if other.value("val_top1") >= one.value("val_top1") and other.value("macs_fvcore") < one.value("macs_fvcore"):
            assert one.number not in front


def test_test_accuracy_does_not_move_the_front() -> None:
    study = synthetic.placement_study()
    turned = [
        replace(one, metrics={**one.metrics, "test_top1": 0.5 - one.number / 100}) for one in study.records if one.metrics
    ]
    first = [record.number for record in StudyAnalysis(study).front]
    assert [record.number for record in StudyAnalysis(replace(study, records=tuple(turned))).front] == first


def test_spread_and_noise_over_seeds() -> None:
    analysis = StudyAnalysis(synthetic.hand_study())
    spread = analysis.spread(analysis.baseline, "val_top1")
    assert spread is not None
    assert (spread.seeds, spread.mean, spread.std) == (3, pytest.approx(0.32), pytest.approx(0.02))
    single = analysis.spread(analysis.best, "val_top1")
    assert single is not None
    assert (single.seeds, single.std) == (1, None)
    noise = analysis.noise()
    assert noise is not None
    assert (noise.std, noise.freedom) == (pytest.approx(0.02), 2)
    # t of 0.975 with 2 degrees of freedom is 4.303.
    assert noise.smallest_difference == pytest.approx(4.303 * math.sqrt(2) * 0.02, rel=1e-3)


def test_noise_pools_by_degrees_of_freedom() -> None:
    analysis = StudyAnalysis(synthetic.placement_study())
    spreads = [spread for (_, metric), spread in analysis.spreads.items() if metric == "val_top1" and spread.std is not None]
    noise = analysis.noise()
    assert noise is not None
    assert len(spreads) == 3
    assert noise.freedom == 6
    assert noise.std == pytest.approx(math.sqrt(sum((spread.std or 0) ** 2 for spread in spreads) / 3))
    assert noise.smallest_difference == pytest.approx(stats.t.ppf(0.975, 6) * math.sqrt(2) * noise.std)


def test_trials_hold_every_run_and_its_candidate() -> None:
    study = synthetic.placement_study()
    frame = StudyAnalysis(study).runs
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert tuple(frame.columns[-len(TAIL) :]) == TAIL
    assert len(frame) == 24 + 6
    again = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    by_number = {record.number: record for record in (*study.records, *study.replicates)}
    for row in again.to_dict("records"):
        record = by_number[row["number"]]
        assert Candidate.from_json(row["candidate"]) == record.candidate
        assert row["key"] == record.candidate.key
        assert row["macs_fvcore"] == record.cost["macs_fvcore"]
        if record.metrics:
            assert row["val_top1"] == pytest.approx(record.metrics["val_top1"])
    assert again["on_front"].sum() >= 1
    assert again["error"].notna().sum() == 1


def test_a_failed_run_has_no_rank_and_no_accuracy() -> None:
    frame = StudyAnalysis(synthetic.placement_study()).runs
    row = frame[frame["outcome"] == "failed"].iloc[0]
    assert pd.isna(row["rank"])
    assert pd.isna(row["val_top1"])
    assert not row["on_front"]


def test_latency_takes_the_most_frequent_conditions() -> None:
    analysis = StudyAnalysis(synthetic.multi_study())
    assert analysis.latency_conditions[0] == ("cpu", 1, "float32", 1)
    assert {latency.device for latency in analysis.latencies.values()} == {"cpu"}
    row = analysis.runs.set_index("number").loc[0]
    assert row[list(LATENCY[:1])].item() == pytest.approx(11.0)


def test_a_nan_accuracy_is_no_result() -> None:
    record = synthetic.record(0, synthetic.placement(), "anchor")
    study = synthetic.study_of([replace(record, metrics={"val_top1": math.nan, "test_top1": 0.3})])
    assert StudyAnalysis(study).ranked == ()
    assert StudyAnalysis(study).unfinished == study.records


@pytest.mark.parametrize(
    ("yaml", "configurations", "name"),
    [
        ("data:\n  name: twins\n", {}, "twins"),
        ("data:\n  name: folder\n", {"f": {"data": {"name": "twins"}}}, "folder"),
        ("", {"f": {"data": {"name": "twins"}}}, "twins"),
        ("a: [", {}, None),
        ("", {}, None),
    ],
)
def test_the_data_is_read_from_the_configuration(yaml: str, configurations: dict[str, dict[str, object]], name: str) -> None:
    study = replace(synthetic.bare_study(), study_yaml=yaml, configurations=configurations)
    assert StudyAnalysis(study).data_name == name


@pytest.mark.parametrize(
    ("yaml", "configurations", "is_trained"),
    [
        ("train:\n  epochs: 8\n", {}, True),
        ("", {"f": {"data": {"name": "twins"}, "train": {"epochs": 8}}}, True),
        ("train:\n  epochs: 8\nevaluator:\n  name: train\n", {}, True),
        ("train:\n  epochs: 8\nevaluator:\n  name: table\n", {}, False),
        ("", {"f": {"study": {"trials": 8}, "executor": {"workers": 1}}}, False),
        ("a: [", {}, False),
    ],
)
def test_only_a_study_of_the_evaluator_train_says_trained(
    yaml: str, configurations: dict[str, dict[str, object]], is_trained: bool
) -> None:
    study = replace(synthetic.placement_study(), study_yaml=yaml, configurations=configurations)
    analysis = StudyAnalysis(study)
    assert analysis.is_trained is is_trained
    text = " ".join([summary(analysis), *caveats(analysis), seeds(analysis).caption])
    assert ("trained" in text) is is_trained
    assert ("evaluated" in text) is not is_trained
