import errno

import pytest

from gsfnas.errors import UserError
from gsfnas.storages.journal import JournalStudy
from gsfnas.study import differences, list_studies, load_study, summarise_study
from gsfnas.testing.fake import FakeEvaluator, make_space


def refused(lab, match, **changes):
    with pytest.raises(UserError, match=match) as caught:
        lab.run(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_configuration_under_one_name_is_refused_with_the_difference(lab):
    lab.run(configuration={"train": {"epochs": 3, "lr": 0.1}})
    line = refused(lab, "begun with another configuration", configuration={"train": {"epochs": 5, "lr": 0.1}})
    assert "train.epochs: 3 -> 5" in line
    assert "train.lr" not in line
    assert "study.name=placement-2" in line
    (lab.folder / "runs" / "placement-2").mkdir()
    assert "study.name=placement-3" in refused(lab, "another", configuration={"train": {"lr": 0.1}})


def test_a_study_begun_under_an_earlier_default_is_told_how_to_go_on(lab):
    """As where the default study's network and data change between two versions."""
    lab.run(configuration={"backbone": {"name": "micro"}, "data": {"name": "twins", "textures": 0, "difficulty": 0.4}})
    now = {"backbone": {"name": "micro18"}, "data": {"name": "twins", "textures": 6, "difficulty": 0.1}}
    line = refused(lab, "another configuration", configuration=now)
    assert "to go on with it as it was begun: backbone=micro data.difficulty=0.4 data.textures=0; for a study" in line


@pytest.mark.parametrize(
    "values", [{"objectives": ["val_top1"]}, {"name": "a b", "proposals": "x"}, {"initial_fraction": None}]
)
def test_what_no_override_takes_back_is_not_offered(lab, values):
    lab.run(configuration={"study": values, "data": {"root": None, "csv": "a,b"}})
    line = refused(lab, "another configuration", configuration={"study": {"seed": 1}, "data": {"csv": "c d"}})
    assert "to go on with it" not in line


def test_what_says_how_much_and_where_may_differ(lab):
    lab.run(trials=4, configuration={"study": {"trials": 4, "workers": 1}, "train": {"device": "cpu"}})
    study = lab.run(trials=6, configuration={"study": {"trials": 6, "workers": 2}, "train": {"device": "cuda"}})
    assert len(study.records) == 6
    assert len(study.configurations) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"data": "d1-b"}, "data: d1-a -> d1-b"), ({"recipe": "r1-b"}, "recipe"), ({"space": make_space(5)}, "5 sites of micro")],
)
def test_other_data_recipe_or_sites_are_refused_even_where_the_configuration_is_equal(lab, changes, said):
    lab.run(trials=2)
    assert said in refused(lab, "another configuration", trials=2, **changes)


def test_differences_name_dotted_keys():
    old, new = {"a": {"b": 1, "c": [1]}, "study": {"trials": 1}}, {"a": {"b": 2, "c": [1]}, "d": 0, "study": {"trials": 9}}
    assert differences(old, new) == ["a.b: 1 -> 2", "d: nothing -> 0"]


def test_a_full_disk_stops_the_study_with_a_line_and_loses_nothing(lab):
    lab.order("full", "6")
    refused(lab, r"no space left for .*checkpoints: .* MiB free; a checkpoint .*; make room")
    assert [record.outcome for record in load_study(lab.folder / "runs", "placement").records] == ["complete", "running"]
    (lab.folder / "full").unlink()
    study = lab.run()
    assert [record.outcome for record in study.records] == ["complete"] * 8


def test_a_disk_that_fills_while_the_journal_is_written_stops_the_study(lab, monkeypatch):
    # A real full disk cannot be had in a test: the storage says what the system would.
    def full(self, run, epoch):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(JournalStudy, "add_epoch", full)
        refused(lab, "no space left for .*make room, then the same command goes on")
    assert len(lab.run().records) == 8


def test_what_is_no_journal_of_ours_is_refused(lab):
    import optuna
    from optuna.storages.journal import JournalFileBackend

    folder = lab.folder / "runs" / "placement"
    folder.mkdir(parents=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    optuna.create_study(storage=storage, study_name="mine")
    refused(lab, "holds no gsfnas study 'placement' .it has: mine")
    optuna.delete_study(storage=storage, study_name="mine")
    study = optuna.create_study(storage=storage, study_name="placement", directions=["maximize", "minimize"])
    study.add_trial(optuna.create_trial(values=[1.0, 2.0]))
    refused(lab, "was not written by gsfnas")


def test_a_journal_of_another_format_is_refused(lab):
    lab.run(trials=2)
    path = lab.folder / "runs" / "placement" / "journal.log"
    path.write_text(path.read_text().replace('"format":1,"version":"', '"format":7,"version":"9.'))
    refused(lab, r"was written by gsfnas 9\..* in format 7, this is .* with format 1", trials=2)
    (summary,) = list_studies(lab.folder / "runs")
    assert (summary.name, summary.status, summary.best) == ("placement", "unreadable", None)
    assert "in format 7" in summary.problem


@pytest.mark.parametrize("damage", ["garbage\n", '{"op_code": \n', "[]\n"])
def test_a_damaged_journal_is_refused_with_its_line(lab, damage):
    lab.run(trials=2)
    path = lab.folder / "runs" / "placement" / "journal.log"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:7], damage, *lines[7:]]))
    refused(lab, "journal.log is damaged at line 8", trials=2)
    with pytest.raises(UserError, match="damaged at line 8"):
        load_study(lab.folder / "runs", "placement")


def test_a_folder_that_cannot_be_used_is_named(lab):
    (lab.folder / "runs").write_text("a file")
    refused(lab, "'placement' cannot use .*runs")


def test_an_unknown_study_is_refused_with_the_nearest(lab):
    lab.run(trials=2)
    with pytest.raises(UserError, match="unknown study 'placment'; did you mean 'placement'"):
        load_study(lab.folder / "runs", "placment")
    there = r"unknown study 'table5' \(choices: placement\): these were begun in .*runs'; begin another with gsfnas study run"
    with pytest.raises(UserError, match=there):
        summarise_study(lab.folder / "runs", "table5")
    with pytest.raises(UserError, match=r"none was begun in .*nowhere"):
        load_study(lab.folder / "nowhere", "placement")


def test_what_the_user_must_mend_stops_the_study_and_leaves_the_run(lab, monkeypatch):
    def prepare(self, space, context):
        raise UserError("no videos in /data")

    with monkeypatch.context() as patch:
        patch.setattr(FakeEvaluator, "prepare", prepare)
        refused(lab, "no videos in /data")
    assert load_study(lab.folder / "runs", "placement").records[0].outcome == "running"
    assert len(lab.run().records) == 8
