"""Reports of studies with other objectives: about the first accuracy and the first cost, with their own front."""

import statistics
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from gsfnas.metrics import Metric, objectives_of
from gsfnas.record import StudyRecord
from gsfnas.report import StudyAnalysis, build_report
from gsfnas.report.sections import accuracy, candidates, caveats, comparison, effects, latencies, seeds, strips, summary
from gsfnas.testing import records as synthetic
from gsfnas.testing.section import Page


def study_of(*names: str, study: StudyRecord | None = None) -> StudyRecord:
    """The synthetic study with other objectives; its runs have estimates, and a score that is 100 less validation top-1."""
    study = synthetic.placement_study() if study is None else study

    def changed(record):
        metrics = record.metrics
        if metrics:
            metrics = {**metrics, "score": 100 - metrics["val_top1"], "test_loss": 1.2, "val_score": 5 * metrics["val_top1"]}
        estimates = {"latency_estimate_ms": 11.0 + len(record.candidate.insertions)}
        return replace(record, metrics=metrics, estimates=estimates)

    records, replicates = (tuple(map(changed, some)) for some in (study.records, study.replicates))
    return replace(study, records=records, replicates=replicates, objectives=objectives_of(names))


CASES = [
    ("val_top1",),
    ("val_top1", "latency_estimate_ms"),
    ("val_loss", "params"),
    ("min:score", "macs_ptflops"),
    ("params", "val_top1", "macs_fvcore", "latency_estimate_ms"),
    ("max:val_score", "train_loss"),
    ("params",),
    ("min:seconds", "saved_bytes"),
]


@pytest.mark.parametrize("names", CASES)
@pytest.mark.parametrize("kind", ["placement", "rows", "running", "bare", "failed"])
def test_every_report_is_written(names, kind, tmp_path) -> None:
    study = study_of(*names, study=synthetic.STUDIES[kind]())
    page = build_report(
        study, tmp_path / "report", ["default"] if kind == "placement" else ["summary", "candidates", "accuracy"]
    )
    words = Page(page.read_text(encoding="utf-8")).words()
    assert "nan" not in words.lower().split()
    for metric in () if kind in ("bare", "failed") else study.objectives:
        assert metric.short_heading in words or metric.label in words


def dominates(one, other, objectives: tuple[Metric, ...]) -> bool:
    losses = [[metric.loss(record.value(metric)) for metric in objectives] for record in (one, other)]
    return losses[0] != losses[1] and all(mine <= theirs for mine, theirs in zip(*losses, strict=True))


@pytest.mark.parametrize("names", CASES)
def test_the_front_is_what_nothing_dominates(names) -> None:
    analysis = StudyAnalysis(study_of(*names))
    front = {record.number for record in analysis.front}
    expected = {
        record.number
        for record in analysis.ranked
        if not any(dominates(other, record, analysis.objectives) for other in analysis.ranked)
    }
    assert front == expected
    losses = [analysis.accuracy.loss(record.value(analysis.accuracy)) for record in analysis.ranked]
    assert losses == sorted(losses)


def test_the_axes_are_those_of_the_objectives() -> None:
    analysis = StudyAnalysis(study_of("val_top1", "latency_estimate_ms"))
    axes = accuracy.axes_of(analysis)
    points = accuracy.accuracy_points(analysis)
    plot = accuracy.plot(points, axes)
    go.Figure(plot)
    assert plot["layout"]["xaxis"]["title"]["text"] == "Estimated latency (ms)"
    assert plot["layout"]["yaxis"]["title"]["text"] == "Top-1 (%)"
    assert {point.cost for point in points} == {record.estimates["latency_estimate_ms"] for record in analysis.ranked}
    shown = accuracy.Accuracy().show(analysis)
    assert shown.title == "Accuracy against estimated latency"
    assert "Latency is estimated for one clip" in shown.figure.caption


def test_an_accuracy_without_a_test_split_has_one_panel() -> None:
    analysis = StudyAnalysis(study_of("min:score", "macs_fvcore"))
    axes = accuracy.axes_of(analysis)
    plot = accuracy.plot(accuracy.accuracy_points(analysis), axes)
    go.Figure(plot)
    assert "xaxis2" not in plot["layout"]
    assert plot["layout"]["yaxis"]["title"]["text"] == "score"
    assert plot["data"][0]["y"] == [record.metrics["score"] for record in analysis.front]
    assert [column.label for column in candidates.candidates(analysis).columns].count("score") == 1
    assert len(seeds.seeds(analysis).columns) == 4
    assert len(effects.sites(analysis).columns) == 5
    assert "the best by score" in strips.strips_note(analysis).replace("best by", "the best by", 1)


def test_only_two_objectives_make_a_line() -> None:
    for names, is_line in ((CASES[1], True), (CASES[4], False), (CASES[0], False)):
        analysis = StudyAnalysis(study_of(*names))
        axes = accuracy.axes_of(analysis)
        front = accuracy.plot(accuracy.accuracy_points(analysis), axes)["data"][0]
        assert (front["mode"] == "lines+markers") == is_line
        assert ("(line and rings)" in accuracy.front_note(analysis)) == is_line


def test_sentences_speak_of_the_objectives() -> None:
    analysis = StudyAnalysis(study_of("min:score", "params"))
    text = summary.summary(analysis)
    assert "The best by score holds a module at" in text
    assert "on test" not in text
    assert "more parameters (0.07" in text
    assert "are on the Pareto front of score and parameters." in summary.front(analysis)
    assert summary.worth(analysis).startswith("By score a module helps at `layer2.1.conv1` (−0.1")
    assert "selected by score, which is therefore optimistic" in caveats.caveats(analysis)[1]
    three = StudyAnalysis(study_of("val_top1", "params", "latency_estimate_ms"))
    assert "Pareto front of validation top-1, parameters and estimated latency." in summary.front(three)
    one = StudyAnalysis(study_of("val_top1"))
    assert "Pareto front" not in summary.front(one)


def test_a_lower_loss_is_a_help() -> None:
    analysis = StudyAnalysis(study_of("val_loss", "params"))
    assert analysis.accuracies[1].key == "test_loss"
    analysis = StudyAnalysis(study_of("min:score", "params"))
    values = {effect.name: effect.value for effect in analysis.worths["score"].sites}
    assert min(values, key=lambda name: values[name]) == "layer2.1.conv1"


def test_tables_have_a_place_for_every_objective() -> None:
    analysis = StudyAnalysis(study_of("val_top1", "latency_estimate_ms", "val_loss", "macs_fvcore"))
    labels = [column.label for column in candidates.candidates(analysis).columns]
    for label in ("Val. (%)", "Test (%)", "Latency, est. (ms)", "Validation loss (nats)", "GMACs fvcore"):
        assert labels.count(label) == 1
    rows = {row[0].text: row for row in comparison.comparison(analysis).rows}
    assert rows["Estimated latency (ms)"][1].text == "11.00"
    assert rows["Estimated latency (ms)"][2].text == "19.00"


def test_runs_have_their_estimates_in_the_file() -> None:
    frame = StudyAnalysis(study_of("val_top1", "latency_estimate_ms")).runs
    assert list(frame["latency_estimate_ms"]) == [11.0 + number for number in frame["num_insertions"]]
    assert "latency_estimate_ms" not in StudyAnalysis(synthetic.placement_study()).runs


def test_the_error_of_the_estimates_is_told() -> None:
    study = study_of("val_top1", "latency_estimate_ms")
    analysis = StudyAnalysis(study)
    ratios = [(11 + held) / (11 + 0.9 * held) for held in (len(record.candidate.insertions) for record in analysis.ranked)]
    assert latencies.estimate_ratios(analysis) == pytest.approx(sorted(ratios))
    errors = [abs(ratio - 1) for ratio in ratios]
    shown = latencies.Latencies().show(analysis)
    assert shown.title == "Estimated and measured latency"
    assert f"by at most {100 * max(errors):.1f} %" in shown.sentence
    assert "on 23 built candidates (cpu, 1 thread, float32)" in shown.sentence
    slower = replace(study, latencies=tuple(replace(one, median_ms=one.median_ms / 2) for one in study.latencies))
    factor = 2 * statistics.median(ratios)
    left = max(abs(2 * ratio / factor - 1) for ratio in ratios)
    told = latencies.Latencies().show(StudyAnalysis(slower)).sentence
    assert f"a factor of {factor:.2f} in the median" in told
    assert told.endswith(f"by at most {100 * left:.1f} %.")
    unmeasured = StudyAnalysis(replace(study, latencies=()))
    assert "the error of the estimates is not known" in latencies.Latencies().show(unmeasured).sentence
    assert not latencies.Latencies().applies(StudyAnalysis(synthetic.placement_study()))


def test_a_study_without_the_metric_has_no_result() -> None:
    study = replace(synthetic.hand_study(), objectives=objectives_of(["max:other"]))
    assert StudyAnalysis(study).ranked == ()
    assert "No candidate has a result" in summary.summary(StudyAnalysis(study))


def test_the_texts_name_what_selects() -> None:
    analysis = StudyAnalysis(study_of("val_loss", "params"))
    assert "Left: validation loss, " in accuracy.front_note(analysis)
    assert "are selected on validation loss, " in " ".join(caveats.caveats(analysis))
