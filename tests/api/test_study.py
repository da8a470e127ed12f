"""A study from Python: of values, of classes and names; and what is wrong with a part is one line."""

import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from gsfnas.api import Study, StudySettings, Watcher
from gsfnas.errors import UserError
from gsfnas.evaluators import Evaluator, Measurement
from gsfnas.executors.local import LocalExecutor
from gsfnas.samplers import Anchors, Proposal, Random, Sampler
from gsfnas.stoppers import Stopper
from gsfnas.storages.journal import JournalStorage
from gsfnas.study import load_study
from gsfnas.testing.fake import BUDGET, FakeEvaluator, fake_price, make_space

SMALL = [
    "backbone.width=0.25",
    "train.epochs=1",
    "train.warm_start=0",
    "data.train_clips=48",
    "data.val_clips=24",
    "data.test_clips=24",
]


def make(tmp_path, *, evaluator=None, trials=6, workers=1, **parts):
    settings = StudySettings("mine", trials=trials, replicates=1, runs=str(tmp_path / "runs"))
    executor = parts.pop("executor", LocalExecutor(workers))
    study = Study(
        make_space(),
        evaluator or FakeEvaluator(tmp_path),
        settings,
        executor=executor,
        device="cpu",
        measures_latency=False,
        watcher=Watcher(),
        **parts,
    )
    study.parts = type(study.parts)(**{**vars(study.parts), "price": fake_price})
    return study


class InOrder(Sampler):
    """The space from its beginning to its end."""

    def propose(self, history, asked):
        seen = {proposal.candidate for proposal in asked}
        return next((Proposal(one, 0, history.budget) for one in history.space if one not in seen), None)


def test_a_study_is_made_of_values_and_tells_how_it_stands(tmp_path):
    study = make(tmp_path, sampler=Random())
    with pytest.raises(UserError, match="unknown study 'mine'"):
        study.status()
    record = study.run()
    assert len(record.records) == 6
    assert study.record() == record == load_study(tmp_path / "runs", "mine")
    assert (study.status().status, study.status().done) == ("complete", 6)
    assert study.best().value("val_top1") == max(one.value("val_top1") for one in record.records)
    assert study.report(tmp_path / "reports") == tmp_path / "reports" / "mine" / "report.html"


def test_a_list_of_samplers_is_all_that_is_asked(tmp_path):
    record = make(tmp_path, sampler=[Anchors(), InOrder()]).run()
    assert [one.phase for one in record.records] == ["anchor", "anchor", *["search"] * 4]
    space = list(make_space())
    assert [one.candidate for one in record.records[2:]] == space[1:5]


def test_a_sampler_sees_only_what_has_ended_before_the_lag(tmp_path):
    seen = []

    class Watching(InOrder):
        def propose(self, history, asked):
            seen.append([record.outcome for record in history.records])
            return super().propose(history, asked)

    make(tmp_path, sampler=[Watching()], trials=8).run()
    assert [outcomes.count("complete") for outcomes in seen if len(outcomes) < 8] == [0, 0, 0, 0, 0, 1, 2, 3]
    assert all(outcomes[-4:] == ["running"] * len(outcomes[-4:]) for outcomes in seen)


def propose_with(function):
    return type("Broken", (Sampler,), {"propose": lambda self, history, asked: function(history, asked)})()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            lambda h, a: Proposal(h.space.empty, 0, h.budget),
            "proposed candidate c1-.*, replicate 0, once more; a sampler must not",
        ),
        (lambda h, a: Proposal(h.space.empty, 0, 99), "with 99 epochs, but every run of this study has 3"),
        (lambda h, a: h.space.empty, "returned a Candidate; return Proposal\\(candidate, replicate, budget\\)"),
        (lambda h, a: (h.space.empty, -1, h.budget), "a proposal is"),
        (lambda h, a: (make_space(9).full, 0, h.budget), "which is not in space 'placement'"),
        (lambda h, a: (h.space.full, 1, h.budget), "proposed replicate 1 of c1-.*, which has no first run that it sees"),
        (
            lambda h, a: (h.space.empty, len(h.records), h.budget),
            "proposed replicate 1 of c1-.*, which has no first run that it sees to be complete",
        ),
        (lambda h, a: 1 // 0, "sampler 'Broken' failed \\(ZeroDivisionError: .*test_study.py, line"),
    ],
)
def test_a_sampler_that_proposes_what_cannot_be_is_one_line(tmp_path, function, said):
    with pytest.raises(UserError, match=said) as caught:
        make(tmp_path, sampler=[propose_with(function)]).run()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "given", "said"),
    [
        ("sampler", object(), "sampler 'object' has no method 'propose'; every sampler has propose"),
        ("sampler", "tpee", "unknown sampler 'tpee'; did you mean 'tpe'"),
        ("stopper", Random(), "stopper 'Random' has no method 'stops'"),
        ("executor", "slurm", "unknown executor 'slurm'"),
        ("storage", object(), "storage 'object' has no method 'holds'"),
        ("evaluator", Random(), "evaluator 'Random' has no method 'evaluate'"),
        ("sampler", "json:loads", "of Python's standard library"),
        ("sampler", "no_such_module:X", "cannot import 'no_such_module'"),
    ],
)
def test_a_part_that_is_none_is_one_line(tmp_path, part, given, said):
    with pytest.raises(UserError, match=said) as caught:
        make(tmp_path, **{part: given})
    assert "\n" not in str(caught.value)


@dataclass
class AfterTheFirst(Stopper):
    """Ends every run of a candidate with few modules."""

    most: int = 2

    def stops(self, run, history):
        assert all(record.outcome != "running" for record in history.records)
        return len(run.candidate.insertions) <= self.most


@pytest.mark.parametrize(("phase", "said"), [("mine", "but has 'mine'"), ("replicate", "but has"), ("design", "laid down")])
def test_a_phase_that_cannot_be_recorded_leaves_a_study_that_can_be_read(tmp_path, phase, said):
    sampler = type("Phased", (InOrder,), {"phase": phase})()
    with pytest.raises(UserError, match=said):
        make(tmp_path, sampler=[sampler]).run()
    assert load_study(tmp_path / "runs", "mine").records == ()


class Talks(Stopper):
    def stops(self, run, history):
        return "no"


def test_a_stopper_answers_yes_or_no(tmp_path):
    with pytest.raises(UserError, match="stopper 'Talks' must answer True or False, but got 'no'"):
        make(tmp_path, stopper=Talks()).run()


def test_what_is_no_space_and_no_list_is_said_at_once(tmp_path):
    with pytest.raises(UserError, match=r"`space` must be a space on a backbone, as gsfnas\.api\.bind_space makes it"):
        Study("placement", FakeEvaluator(tmp_path), "mine")
    with pytest.raises(UserError, match=r"`overrides` must be a list of texts, such as \['study.trials=4'\]"):
        Study.from_config("placement", "study.trials=4")


def test_a_stopper_ends_runs_and_they_are_recorded_as_stopped(tmp_path):
    record = make(tmp_path, stopper=AfterTheFirst, trials=12).run()
    stopped = [one for one in record.records if one.outcome == "stopped"]
    assert stopped
    assert {len(one.candidate.insertions) <= 2 for one in stopped} == {True}
    assert {(len(one.curve), one.error) for one in stopped} == {(1, f"stopped after epoch 1 of {BUDGET}")}
    assert all(len(one.curve) == BUDGET for one in record.records if one.outcome == "complete")
    assert load_study(tmp_path / "runs", "mine") == record
    study = make(tmp_path, stopper=AfterTheFirst, trials=12)
    assert study.run() == record
    assert "stopped after epoch 1" in study.report(tmp_path / "reports").with_name("report.md").read_text()
    with pytest.raises(UserError, match="begun with another configuration"):
        make(tmp_path, stopper=AfterTheFirst(most=3), trials=12).run()


class Once(FakeEvaluator):
    def prepare_once(self, space, context):
        self.log("once")
        if self.take_one("stop"):
            raise KeyboardInterrupt


def test_what_is_prepared_once_is_prepared_once_and_again_where_it_was_stopped(tmp_path):
    (tmp_path / "stop").write_text("1")
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, evaluator=Once(tmp_path)).run()
    make(tmp_path, evaluator=Once(tmp_path)).run()
    make(tmp_path, evaluator=Once(tmp_path), trials=8).run()
    assert (tmp_path / "log").read_text().count('"once"') == 2


def test_what_edited_code_made_is_not_taken_for_what_it_makes_now(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = "from gsfnas.testing.fake import FakeEvaluator\nclass Mine(FakeEvaluator):\n    pass\n"
    (tmp_path / "my_evaluator.py").write_text(code)
    import my_evaluator  # type: ignore[import-not-found]

    first = make(tmp_path, evaluator=my_evaluator.Mine(tmp_path)).run()
    (tmp_path / "my_evaluator.py").write_text(f"{code}    # edited\n")
    with pytest.raises(UserError, match=r"begun with another configuration \(the code of a part of yours has changed since\)"):
        make(tmp_path, evaluator=my_evaluator.Mine(tmp_path)).run()
    assert first.records[0].run_id != make(tmp_path / "shipped", evaluator=FakeEvaluator(tmp_path)).run().records[0].run_id


def test_a_part_of_a_notebook_is_not_sent_to_other_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from gsfnas import Study
            from gsfnas.samplers import Random

            class Mine(Random):
                pass

            study = Study.from_config("placement", {[*SMALL, "study.trials=2", "study.replicates=1"]!r})
            study.parts = type(study.parts)(**{{**vars(study.parts), "sampler": Mine()}})
            try:
                study.run()
            except ValueError as error:
                print(error)
            """
        )
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "is defined in a notebook or in the script that runs it" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.slow
def test_six_lines_of_python_are_the_command(tmp_path, monkeypatch):
    """As a script without any guard, which starts two processes; the command then finds the study complete."""
    overrides = [*SMALL, "study.trials=3", "study.replicates=1", "study.name=six", "workers=2"]
    script = tmp_path / "script.py"
    script.write_text(
        f"from gsfnas import Study\nstudy = Study.from_config('placement', {overrides!r})\nstudy.run()\n"
        "print(study.best().candidate.key)\nprint(study.report())\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    key, page = done.stdout.split()
    assert page == "reports/six/report.html"
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "runs" / "six" / "journal.log").read_bytes()
    from gsfnas.cli import main

    assert main(["study", "run", "placement", *overrides]) == 0
    assert (tmp_path / "runs" / "six" / "journal.log").read_bytes() == before
    assert key.startswith("c1-")


class Duck:
    """What has the one method that makes a part, and nothing else."""

    def propose(self, history, asked):
        return None

    def evaluate(self, candidate, *, seed, replicate, budget, resume_from=None):
        yield None


class Idle(Sampler):
    pass


class Lacking(Evaluator):
    budget = 1

    def evaluate(self, candidate, *, seed, replicate, budget, resume_from=None):
        yield Measurement(1, {"val_top1": 0.5}, is_last=True)


class Budgetless(Evaluator):
    def evaluate(self, candidate, *, seed, replicate, budget, resume_from=None):
        yield Measurement(1, {"val_top1": 0.5}, is_last=True)


class WholeDuck(Duck):
    """What has all methods of an evaluator."""

    budget = 1
    check = take = prepare_once = prepare = close = Duck.evaluate


class Taking(Lacking):
    takes_data = True


@pytest.mark.parametrize(
    ("part", "given", "said"),
    [
        ("sampler", Duck(), "sampler 'Duck' has no method 'plan'; every sampler has propose, plan, num_left"),
        ("sampler", Idle, "sampler 'Idle' has no method 'propose'"),
        ("evaluator", Duck(), "evaluator 'Duck' has no method 'check'"),
        ("evaluator", Budgetless(), "evaluator 'Budgetless' has no attribute 'budget'; every evaluator must define budget$"),
        ("evaluator", WholeDuck(), "evaluator 'WholeDuck' has no attribute 'devices'; derive it from the base class"),
        ("evaluator", type("Boundless", (Lacking,), {"budget": property(lambda self: 1 // 0)})(), ""),
        ("evaluator", Taking(), "evaluator 'Taking' says `takes_data`, but has no attribute 'data'"),
    ],
)
def test_a_part_that_lacks_what_a_study_asks_of_it_is_one_line(tmp_path, part, given, said):
    if not said:
        # Properties are not asked before the study runs.
        assert make(tmp_path, **{part: given}).parts.evaluator is given
        return
    with pytest.raises(UserError, match=said) as caught:
        make(tmp_path, **{part: given})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["check", "prepare", "prepare_once", "identity", "heads"])
def test_an_evaluator_from_outside_that_fails_is_one_line_with_its_place(tmp_path, method):
    def fail(self, *given):
        raise KeyError("no such clip")

    broken = type("Broken", (FakeEvaluator,), {method: property(fail) if method in ("identity", "heads") else fail})
    with pytest.raises(
        UserError, match=r"evaluator 'Broken' failed \(KeyError: 'no such clip', .*test_study.py, line"
    ) as caught:
        make(tmp_path, evaluator=broken(tmp_path)).run()
    assert "\n" not in str(caught.value)


def test_an_executor_from_outside_that_fails_is_one_line(tmp_path):
    class Broken(LocalExecutor):
        def run(self, task, device, tell, say):
            raise KeyError("no such queue")

    with pytest.raises(UserError, match=r"Broken' failed \(KeyError: 'no such queue', .*test_study.py, line"):
        make(tmp_path, executor=Broken(2)).run()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            [Measurement(epoch, {"val_top1": 0.5}) for epoch in (1, 2, 3)],
            "no last measurement: the measurement of epoch 3 lacks is_last=True",
        ),
        ([(1, {"val_top1": 0.5})], "TypeError: an evaluator yields values of Measurement, but one is \\(1, "),
    ],
)
def test_an_evaluator_without_a_last_measurement_fails_its_candidates(tmp_path, told, said):
    class Endless(FakeEvaluator):
        def evaluate(self, candidate, **options):
            return iter(told)

    with pytest.raises(UserError, match=f"the first 3 candidates all failed: .*{said}"):
        make(tmp_path, evaluator=Endless(tmp_path)).run()
    assert {one.outcome for one in load_study(tmp_path / "runs", "mine").records} == {"failed"}


def test_a_study_in_a_storage_from_outside_tells_how_it_stands(tmp_path):
    """Where no shipped storage would find it."""

    class Elsewhere(JournalStorage):
        def holds(self, folder):
            return super().holds(folder / "deep")

        def open(self, folder, name, access="read"):
            (folder / "deep").mkdir(exist_ok=True)
            return super().open(folder / "deep", name, access)

    study = make(tmp_path, storage=Elsewhere())
    with pytest.raises(UserError, match="unknown study 'mine'"):
        study.status()
    record = study.run()
    assert study.record() == record
    assert (study.status().status, study.status().done) == ("complete", 6)
    assert study.report(tmp_path / "reports").exists()
