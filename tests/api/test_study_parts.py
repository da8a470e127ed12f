"""A study from Python: what is said of its parts, what it leaves behind, and storages of one's own."""

import pytest

from gsfnas import api
from gsfnas.api import Study, StudySettings
from gsfnas.errors import UserError
from gsfnas.samplers import Random
from gsfnas.stoppers import Stopper
from gsfnas.storages.journal import JournalStorage

from .test_study import InOrder, make


def test_a_part_that_is_refused_leaves_no_study_behind(tmp_path):
    class Local(Random):
        """Of a function, which no other process can import."""

    study = make(tmp_path, sampler=Local(), workers=2)
    with pytest.raises(UserError, match="cannot be sent to worker processes"):
        study.run()
    assert not (tmp_path / "runs").exists()


def test_latency_may_be_left_out_by_a_setting(tmp_path):
    overrides = [f"study.runs={tmp_path}", "study.latency=false"]
    assert not Study.from_config("placement", overrides).measures_latency
    assert Study.from_config("placement", overrides[:1]).measures_latency
    with pytest.raises(UserError, match=r"`study\.latency` must be true or false, but got 1"):
        StudySettings("mine", latency=1)


def test_what_changed_about_the_parts_is_named(tmp_path):
    make(tmp_path, sampler=Random()).run()
    with pytest.raises(UserError, match=r"another configuration \(sampler.name: random -> .*:InOrder \(code [0-9a-f]+\)\)"):
        make(tmp_path, sampler=InOrder()).run()
    with pytest.raises(UserError, match=r"another configuration \(study.stopper: none -> .*\)"):
        make(tmp_path, sampler=Random(), stopper=Never()).run()


class Never(Stopper):
    def stops(self, record, history):
        return False


def test_a_record_is_shown_in_a_line(tmp_path):
    record = make(tmp_path, sampler=Random()).run()
    assert repr(record).startswith("<study 'mine': 6 candidates of space 'placement', best validation top-1 ")
    assert "\n" not in repr(record)


class Elsewhere(JournalStorage):
    """A storage whose folders no shipped one takes for its own."""

    def holds(self, folder):
        return (folder / "mine.txt").exists()

    def open(self, folder, name, access="read"):
        opened = super().open(folder, name, access)
        if access == "create":
            (folder / "journal.log").touch()
            (folder / "mine.txt").touch()
        return opened


def test_studies_of_another_storage_are_read_by_its_name(tmp_path):
    make(tmp_path, sampler=Random(), storage=Elsewhere()).run()
    name = f"{__name__}:Elsewhere"
    runs = tmp_path / "runs"
    assert len(api.load_study(runs, "mine", name).records) == 6
    assert [summary.status for summary in api.list_studies(runs, name)] == ["complete"]
    assert api.summarise_study(runs, "mine", name).done == 6
    with pytest.raises(UserError, match="unknown storage 'journals'; did you mean 'journal'"):
        api.load_study(runs, "mine", "journals")
