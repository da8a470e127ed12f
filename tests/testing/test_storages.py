"""The journal passes the suite that strangers inherit, and a storage that breaks a rule does not."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from gsfnas.storages.journal import JournalStorage, JournalStudy
from gsfnas.testing.storage import NAME, StorageConformance, begun


class TestJournal(StorageConformance):
    @pytest.fixture
    def storage(self):
        return JournalStorage()


class Broken(JournalStorage):
    """A journal with one of these faults."""

    def __init__(self, fault):
        object.__setattr__(self, "fault", fault)

    def open(self, folder, name, access="read"):
        if self.fault == "any name":
            name = NAME
        if self.fault == "touches":
            with (folder / "seen").open("a") as file:
                file.write(access)
        if self.fault == "makes" and not self.holds(folder):
            access = "create"
        return BrokenStudy(folder, name, access, self.fault)

    def running(self, folder, name):
        return nullcontext() if self.fault == "runs twice" else super().running(folder, name)


class BrokenClaim:
    left = ""

    def note(self, text):
        pass

    release = remove = lambda self: None


class MuteClaim(BrokenClaim):
    """A claim whose holder cannot be told."""

    def __init__(self, claim):
        self.claim = claim
        self.release, self.remove = claim.release, claim.remove


class BrokenStudy(JournalStudy):
    def __init__(self, folder, name, access, fault):
        self.fault = fault
        super().__init__(folder, name, access)

    def runs(self):
        found = super().runs()
        if self.fault == "backwards":
            return found[::-1]
        if self.fault == "forgets":
            return [replace(run, num_crashes=0) for run in found]
        if self.fault == "rounds":
            return [
                replace(run, record=replace(run.record, metrics={name: round(v, 3) for name, v in run.record.metrics.items()}))
                for run in found
            ]
        return found

    def claim(self, folder_name):
        if self.fault == "claims":
            return BrokenClaim()
        found = super().claim(folder_name)
        return found if found is None or self.fault != "mute" else MuteClaim(found)

    def claiming(self):
        return nullcontext() if self.fault == "all at once" else super().claiming()

    def latencies(self):
        return () if self.fault == "loses" else super().latencies()

    @property
    def is_complete(self):
        return self.fault == "complete" or super().is_complete


# A test that fails leaves locks open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("makes", "test_a_folder_holds_a_study_once_it_is_created"),
        ("complete", "test_the_header_and_attributes_are_read_back"),
        ("rounds", "test_numbers_are_read_back_exactly"),
        ("backwards", "test_runs_are_in_order_and_replicates_come_last"),
        ("forgets", "test_crashes_are_counted"),
        ("loses", "test_later_measurements_are_read_back"),
        ("claims", "test_a_run_has_one_claim_at_a_time"),
        ("mute", "test_a_claim_ends_with_its_process"),
        ("all at once", "test_claiming_excludes_other_workers"),
        ("touches", "test_reading_changes_nothing_and_works_on_read_only_files"),
        ("any name", "test_another_name_is_refused"),
    ],
)
def test_a_broken_storage_fails(tmp_path, fault, test):
    storage, folder = Broken(fault), tmp_path / "runs" / NAME
    folder.mkdir(parents=True)
    given = [storage, folder]
    if fault != "makes":
        given.append(begun(JournalStorage() if fault == "complete" else storage, folder))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(StorageConformance(), test)(*given)


def test_a_storage_that_lets_two_run_a_study_fails(tmp_path):
    folder: Path = tmp_path / NAME
    folder.mkdir()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        StorageConformance().test_one_process_runs_a_study(Broken("runs twice"), folder)
