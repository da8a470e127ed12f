"""A study searches for the metrics that it was asked to, and for validation top-1 and MACs where nobody said otherwise."""

import json
from dataclasses import dataclass, replace

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from gsfnas.errors import UserError
from gsfnas.metrics import objectives_of
from gsfnas.record import best, pareto_front
from gsfnas.study import list_studies, load_study
from gsfnas.study._configuration import differences
from gsfnas.testing.fake import FakeEvaluator

USUAL = ["val_top1", "macs_fvcore"]


@dataclass
class Scored(FakeEvaluator):
    """Measures ``score`` instead of accuracies: the mean squared distance of the number of modules to three."""

    fails_after: int = 100

    def evaluate(self, candidate, **options):
        for one in super().evaluate(candidate, **options):
            number = len(self.order("count") or "")
            (self.orders / "count").write_text("x" * (number + one.is_last))
            score = {"score": float((len(candidate.insertions) - 3) ** 2)} if number < self.fails_after else {}
            yield replace(one, metrics={"train_loss": 1.0, **score})


def opened(lab, name="placement"):
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(lab.folder / "runs" / name / "journal.log")))
    return optuna.load_study(study_name=name, storage=storage)


def attribute(lab, name):
    lines = (lab.folder / "runs" / "placement" / "journal.log").read_text().splitlines()
    return next(entry["user_attr"][name] for entry in map(json.loads, lines) if name in entry.get("user_attr", {}))


def test_the_usual_objectives_are_not_written_down(lab):
    study = lab.run(trials=4, replicates=1)
    assert [metric.key for metric in study.objectives] == USUAL
    assert "objectives" not in json.dumps(attribute(lab, "gsfnas"))
    assert opened(lab).directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    for record, trial in zip(study.records, opened(lab).trials, strict=True):
        assert trial.values == [record.metrics["val_top1"], record.cost["macs_fvcore"] / 1e9]
        assert record.estimates == {}
    assert lab.run(trials=4, replicates=1, objectives=USUAL) == study


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
@pytest.mark.parametrize(
    "names", [["val_top1"], ["train_loss", "params"], ["macs_ptflops", "test_top1", "val_top1", "activations"]]
)
def test_one_to_four_objectives_in_any_direction(lab, sampler, names):
    study = lab.run(trials=10, sampler=sampler, objectives=names, replicates=2)
    objectives = objectives_of(names)
    assert study.objectives == objectives
    assert load_study(lab.folder / "runs", "placement").objectives == objectives
    assert {record.outcome for record in study.records} == {"complete"}
    assert len({record.candidate for record in study.records}) == 10
    directions = [StudyDirection.MAXIMIZE if one.better == "higher" else StudyDirection.MINIMIZE for one in objectives]
    assert opened(lab).directions == directions
    accuracy = next(one for one in objectives if one.known == "after")
    assert opened(lab, "placement").trials[0].values[objectives.index(accuracy)] == study.records[0].value(accuracy)
    values = [record.value(accuracy) for record in study.records]
    top = best(study.records, objectives)
    assert top.value(accuracy) == (max(values) if accuracy.better == "higher" else min(values))
    assert {record.candidate for record in study.replicates} >= {top.candidate}
    (summary,) = list_studies(lab.folder / "runs")
    assert (summary.best, summary.objectives, summary.status) == (top, objectives, "complete")


def test_a_metric_that_only_the_evaluator_knows(lab):
    study = lab.run(trials=12, evaluator=Scored(lab.folder), objectives=["min:score", "macs_fvcore"], replicates=1)
    assert {record.outcome for record in study.records} == {"complete"}
    top = best(study.records, study.objectives)
    assert len(top.candidate.insertions) == 3
    front = pareto_front(study.records, study.objectives)
    assert [len(record.candidate.insertions) for record in front][-1] == 3
    assert "score 0  " in lab.printed[-1]
    assert "best score 0" in lab.printed[-1]


def test_the_progress_says_the_usual_objectives_as_ever(lab):
    study = lab.run(trials=3, replicates=1)
    first = study.records[0]
    line = f"val {first.metrics['val_top1']:6.1%}  {first.cost['macs_fvcore'] / 1e9:.4g} GMACs  0 s; best val "
    assert line in lab.printed[-1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["val_top1", "val_top1"], "must name a metric once, but got val_top1 twice"),
        (["score"], "unknown metric 'score'"),
        ([], "must be a list of 1 to 4 metrics, but got []"),
        (["val_top1", "params", "macs_fvcore", "activations", "saved_bytes"], "must be a list of 1 to 4 metrics"),
    ],
)
def test_what_are_no_objectives_is_refused(lab, names, message):
    with pytest.raises(UserError) as caught:
        lab.run(objectives=names)
    assert message in str(caught.value)


def test_an_objective_that_is_not_measured_ends_the_study_after_one_run(lab):
    with pytest.raises(UserError) as caught:
        lab.run(evaluator=Scored(lab.folder))
    said = (
        "the evaluator measured no val_top1, an objective of the study; it measured score, train_loss; choose study.objectives"
    )
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(lab.evaluations) == 1
    with pytest.raises(UserError, match="the evaluator measured no val_top1"):
        lab.run(evaluator=Scored(lab.folder))
    assert len(lab.evaluations) == 2


def test_an_objective_that_is_measured_sometimes_fails_the_candidate(lab):
    study = lab.run(trials=4, replicates=1, evaluator=Scored(lab.folder, fails_after=2), objectives=["min:score"])
    assert [record.outcome for record in study.records] == ["complete"] * 2 + ["failed"] * 2
    assert study.records[2].error == "the evaluator measured no score, an objective of the study; it measured train_loss"
    assert load_study(lab.folder / "runs", "placement").records == study.records


def test_other_objectives_are_another_study(lab):
    lab.run(trials=3, replicates=1, objectives=["val_top1"])
    for names in (USUAL, ["val_top1", "params"]):
        with pytest.raises(UserError) as caught:
            lab.run(trials=3, replicates=1, objectives=names)
        assert f"study.objectives: ['val_top1'] -> {names}" in str(caught.value)
    lab.run(trials=3, replicates=1, name="usual")
    with pytest.raises(UserError, match=r"study\.objectives: "):
        lab.run(trials=3, replicates=1, name="usual", objectives=["val_top1"])


def test_configurations_without_objectives_have_the_usual_ones():
    assert differences({"study": {"seed": 0}}, {"study": {"seed": 0, "objectives": USUAL}}) == []
    assert differences({"study": {"seed": 0}}, {"study": {"seed": 0, "objectives": ["val_top1"]}}) == [
        f"study.objectives: {USUAL} -> ['val_top1']"
    ]


def test_a_journal_that_lacks_an_objective_is_refused(lab):
    lab.run(trials=3, replicates=1, objectives=["train_loss"])
    path = lab.folder / "runs" / "placement" / "journal.log"
    path.write_text(path.read_text().replace('"objectives":["train_loss"]', '"objectives":["val_loss"]'))
    with pytest.raises(UserError, match=r"trial 0: `metrics\.val_loss` is missing"):
        load_study(lab.folder / "runs", "placement")
    path.write_text(path.read_text().replace('"objectives":["val_loss"]', '"objectives":["loss"]'))
    with pytest.raises(UserError, match=r"line 3.*unknown metric 'loss'"):
        load_study(lab.folder / "runs", "placement")


def test_a_study_that_was_killed_before_its_header_takes_the_objectives_of_the_next_call(lab, monkeypatch):
    from gsfnas.storages.journal import JournalStudy

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(JournalStudy, "write_header", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.run(objectives=["val_top1"])
    study = lab.run(trials=3, replicates=1)
    assert [metric.key for metric in study.objectives] == USUAL


def test_a_test_metric_may_be_missing_before_the_last_measurement(lab):
    study = lab.run(trials=2, replicates=1, objectives=["test_top1", "macs_fvcore"])
    assert all("test_top1" not in record.curve[0].metrics and "test_top1" in record.metrics for record in study.records)
