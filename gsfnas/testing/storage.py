"""Tests that every storage must pass. Inherit ``StorageConformance`` and provide the storage:

    class TestMine(StorageConformance):
        @pytest.fixture
        def storage(self):
            return Mine()

Some tests start a process and kill it, so the storage must be picklable, as also in a study with several workers.
"""

import copy
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gsfnas.errors import UserError
from gsfnas.metrics import objectives_of
from gsfnas.record import Latency, Outcome, ProtocolScore, Record
from gsfnas.storages import Storage, StudyStorage
from gsfnas.storages._attributes import ASKED, CONFIGURATION, DESIGN, ENDED, ENVIRONMENT
from gsfnas.storages.base import Run
from gsfnas.study import StudySettings
from gsfnas.testing._small import Threads, UnevenEvaluator, comparable, fake_record, run_small
from gsfnas.testing.fake import BUDGET, make_space

NAME = "small"
_IDENTITY = {"recipe": "r1-a", "data": "d1-a", "budget": BUDGET}
_ENVIRONMENT = {"python": "3.11", "devices": ["cpu"], "deep": {"a": [1, 2.5, None, True]}}
_CONFIGURATION = {"train": {"epochs": BUDGET}}
_ASKED = {"trials": 8, "replicates": 2, "configuration": "c", "study_yaml": "study: {trials: 8}\n"}
_TIMEOUT_S = 60


class StorageConformance:
    """The suite. ``storage`` returns the storage; the study's folder is ``folder``."""

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError("a conformance test needs a fixture `storage` that returns a storage")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """The folder of the study, which exists and has the study's name."""
        folder = tmp_path / "runs" / NAME
        folder.mkdir(parents=True)
        return folder

    @pytest.fixture
    def study(self, storage: Storage, folder: Path) -> StudyStorage:
        return begun(storage, folder)

    def test_a_folder_holds_a_study_once_it_is_created(self, storage: Storage, folder: Path) -> None:
        assert not storage.holds(folder)
        assert not storage.holds(folder / "none")
        with pytest.raises(UserError) as caught:
            storage.open(folder, NAME)
        assert "\n" not in str(caught.value)
        study = storage.open(folder, NAME, "create")
        assert storage.holds(folder)
        assert (study.name, study.folder) == (NAME, folder)
        assert (study.header, study.asked, study.runs(), study.is_complete) == (None, None, [], False)

    def test_the_header_and_attributes_are_read_back(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        space = make_space()
        for one in (study, storage.open(folder, NAME), storage.open(folder, NAME, "create")):
            header, asked = one.header, one.asked
            assert header is not None
            assert asked is not None
            assert (header.space, header.space_size, header.classes) == (space.name, space.size, 20)
            assert header.sites == space.sites
            assert dict(header.identity) == _IDENTITY
            assert (asked.trials, asked.configuration, asked.study_yaml) == (8, "c", "study: {trials: 8}\n")
            assert one.design == [(0, 1, 0, 1, 0, 1)]
            assert one.environments == {"e": _ENVIRONMENT}
            assert one.configurations == {"c": _CONFIGURATION}
            assert not one.is_complete
        study.set_attribute(ENDED, _ASKED)
        assert storage.open(folder, NAME).is_complete
        later = storage.open(folder, NAME, "write")
        later.set_attribute(f"{CONFIGURATION}d", {"train": {"epochs": 4}})
        later.set_attribute(ASKED, {**_ASKED, "trials": 9, "configuration": "d"})
        assert not later.is_complete, "more runs were requested than have ended"
        assert set(storage.open(folder, NAME).configurations) == {"c", "d"}

    def test_objectives_and_estimates_come_back(self, storage: Storage, folder: Path) -> None:
        names = ["min:score", "latency_estimate_ms", "val_top1"]
        study = begun(storage, folder, _IDENTITY | {"study": {"objectives": names}})
        record = _record(0, "complete")
        last = replace(record.curve[-1], metrics={**record.metrics, "score": 0.5})
        curve = (*record.curve[:-1], last)
        record = replace(record, curve=curve, metrics=last.metrics, estimates={"latency_estimate_ms": 12.5})
        _add(study, record)
        for one in (study, storage.open(folder, NAME)):
            assert one.header is not None
            assert one.header.objectives == objectives_of(names)
            assert [run.record for run in one.runs()] == [record]

    @pytest.mark.parametrize("outcome", ["complete", "failed", "stopped"])
    def test_a_run_is_read_back(self, storage: Storage, folder: Path, study: StudyStorage, outcome: Outcome) -> None:
        record = _record(0, outcome)
        run = study.start(_started(record), make_space())
        assert (run.part, run.record, run.num_crashes) == ("main", _started(record), 0)
        assert [one.record for one in storage.open(folder, NAME).runs()] == [_started(record)], "a run is listed once it begins"
        for number, epoch in enumerate(record.curve, start=1):
            study.add_epoch(run, epoch)
            (seen,) = storage.open(folder, NAME).runs()
            assert seen.record.curve == record.curve[:number]
        study.finish(run, record)
        for one in (study, storage.open(folder, NAME), storage.open(folder, NAME, "write")):
            assert [run.record for run in one.runs()] == [record]

    def test_runs_are_in_order_and_replicates_come_last(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        first = _record(0, "complete")
        _add(study, first)
        replicate = replace(_record(0, "complete", replicate=1), number=1)
        assert _add(study, replicate).part == "measurements"
        second = _record(1, "failed")
        _add(study, second)
        running = study.start(_started(_record(2, "complete")), make_space())
        found = storage.open(folder, NAME).runs()
        assert [run.record for run in found] == [first, second, running.record, replicate]
        assert [run.part for run in found] == ["main"] * 3 + ["measurements"]
        assert len({(run.part, run.trial) for run in found}) == 4, "each run must have its own trial number"

    def test_numbers_are_read_back_exactly(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        values = {
            "val_top1": 0.1 + 0.2,
            "train_loss": 1e-300,
            "val_loss": 1.1e49,
            "steps": 2**53 + 1,
            "zero": -0.0,
        }
        record = _record(0, "complete")
        last = replace(record.curve[-1], metrics=values)
        record = replace(record, curve=(*record.curve[:-1], last), metrics=values, seconds=0.1)
        record = replace(record, cost={**record.cost, "macs_fvcore": 2**62}, error=None)
        _add(study, record)
        (found,) = storage.open(folder, NAME).runs()
        assert found.record == record
        assert {name: type(value) for name, value in found.record.metrics.items()} == {n: type(v) for n, v in values.items()}

    def test_writers_see_the_runs_of_each_other(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        other = storage.open(folder, NAME, "write")
        first = _add(study, _record(0, "complete"))
        assert [run.record for run in other.runs()] == [first.record]
        second = _add(other, _record(1, "stopped"))
        assert [run.record for run in study.runs()] == [first.record, second.record]

    def test_crashes_are_counted(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        run = study.start(_started(_record(0, "complete")), make_space())
        assert study.add_crash(study.add_crash(run)).num_crashes == 2
        assert [one.num_crashes for one in storage.open(folder, NAME).runs()] == [2]

    def test_later_measurements_are_read_back(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        record = _record(0, "complete")
        _add(study, record)
        key = record.candidate.key
        latency = Latency(key, 1.5, 1.25, 1.75, "cpu", 2, "float32")
        score = ProtocolScore(key, record.seed, "accuracy", 2, 3, "test", 9, 10**10, {"test_top1": 0.25}, "d1-b", "cpu")
        study.add_latency(latency)
        study.add_protocol(score)
        for one in (study, storage.open(folder, NAME)):
            assert one.latencies() == (latency,)
            assert one.protocols() == (score,)
            assert [run.record for run in one.runs()] == [record], "later measurements must not be listed as runs"

    def test_a_run_has_one_claim_at_a_time(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        run = study.start(_started(_record(0, "complete")), make_space())
        other = storage.open(folder, NAME, "write")
        claim = study.claim(run.folder_name)
        assert claim is not None
        assert claim.left == ""
        claim.note("mine")
        assert other.claim(run.folder_name) is None, "a run is claimed twice"
        assert study.claim(run.folder_name) is None, "a run is claimed twice"
        another = other.claim(f"{run.record.candidate.key}-77")
        assert another is not None, "a claim must not block other runs"
        another.remove()
        claim.release()
        claim.release()
        again = other.claim(run.folder_name)
        assert again is not None, "a released run must be free"
        assert again.left == "", "a released claim must leave no note"
        again.remove()

    def test_a_claim_ends_with_its_process(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        """Its note stays, so that the crash can be counted, until ``sweep`` at the next start of the study."""
        first = study.start(_started(_record(0, "complete")), make_space())
        second = f"{make_space().empty.key}-5"
        with _holder(storage, folder, [first.folder_name, second]) as kill:
            assert study.claim(first.folder_name) is None, "a run claimed by another process must not be free"
            assert storage.is_running(folder), "the study must count as running"
            with pytest.raises(UserError), storage.running(folder, NAME):
                pass
            kill()
        claim = _wait_for(lambda: study.claim(first.folder_name))
        assert claim.left == "a note", "the next claim must show the note of the last one"
        claim.release()
        _wait_for(lambda: not storage.is_running(folder))
        study.sweep({first.folder_name})
        swept = study.claim(second)
        assert swept is not None
        assert swept.left == "", "a sweep must remove claims of runs that are not running"
        swept.remove()

    def test_one_process_runs_a_study(self, storage: Storage, folder: Path) -> None:
        storage.open(folder, NAME, "create")
        assert not storage.is_running(folder)
        with storage.running(folder, NAME):
            assert storage.is_running(folder)
            with pytest.raises(UserError) as caught, storage.running(folder, NAME):
                pass
            assert "\n" not in str(caught.value)
        assert not storage.is_running(folder)
        with storage.running(folder, NAME):
            pass

    def test_claiming_excludes_other_workers(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        """Reading the study does not wait for it."""
        inside, largest = [0], [0]

        def work(mine: StudyStorage) -> None:
            for _ in range(5):
                with mine.claiming():
                    inside[0] += 1
                    largest[0] = max(largest[0], inside[0])
                    time.sleep(0.005)
                    inside[0] -= 1

        threads = [threading.Thread(target=work, args=(storage.open(folder, NAME, "write"),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert largest == [1], "several workers are inside `claiming` at once"
        with study.claiming():
            storage.open(folder, NAME).runs()

    def test_reading_changes_nothing_and_works_on_read_only_files(
        self, storage: Storage, folder: Path, study: StudyStorage
    ) -> None:
        _add(study, _record(0, "complete"))
        study.start(_started(_record(1, "complete")), make_space())
        del study
        before = _files(folder)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            reading = storage.open(folder, NAME)
            assert [run.record.number for run in reading.runs()] == [0, 1]
            assert reading.header is not None
            assert abs(time.time() - reading.last_change()) < 24 * 3600
            storage.is_running(folder)
            storage.holds(folder)
        finally:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755 if path.is_dir() else 0o644)
        assert _files(folder) == before

    def test_another_name_is_refused(self, storage: Storage, folder: Path, study: StudyStorage) -> None:
        _add(study, _record(0, "complete"))
        for access in ("read", "write", "create"):
            with pytest.raises(UserError) as caught:
                storage.open(folder, "other", access)
            assert "\n" not in str(caught.value)
        assert [run.record.number for run in storage.open(folder, NAME).runs()] == [0]

    def test_a_study_is_the_same_with_one_worker_and_with_three(self, storage: Storage, tmp_path: Path) -> None:
        one, three = (
            run_small(tmp_path / str(n), make_space(), storage=copy.deepcopy(storage), executor=Threads(n)) for n in (1, 3)
        )
        assert comparable(one) == comparable(three)
        settings = StudySettings(NAME, runs=str(tmp_path / "1" / "runs"))
        assert storage.open(settings.folder, NAME).is_complete

    def test_a_study_that_was_stopped_goes_on(self, storage: Storage, tmp_path: Path) -> None:
        whole = run_small(tmp_path / "whole", make_space(), storage=storage)
        stopped = tmp_path / "stopped"
        stopped.mkdir()
        for after in ("5", "11"):
            (stopped / "interrupt").write_text(after)
            with pytest.raises(KeyboardInterrupt):
                run_small(stopped, make_space(), storage=storage, evaluator=UnevenEvaluator(stopped))
        assert comparable(run_small(stopped, make_space(), storage=storage)) == comparable(whole)
        runs = storage.open(stopped / "runs" / NAME, NAME).runs()
        assert {run.num_crashes for run in runs} == {0}, "stopping a study must not count as a crash"


def begun(storage: Storage, folder: Path, identity: Mapping[str, Any] = _IDENTITY) -> StudyStorage:
    """Creates a study with its header and attributes, written in the order in which a study writes them."""
    study = storage.open(folder, NAME, "create")
    study.write_header(make_space(), 20, identity)
    study.set_attribute(f"{ENVIRONMENT}e", _ENVIRONMENT)
    study.set_attribute(f"{CONFIGURATION}c", _CONFIGURATION)
    study.set_attribute(ASKED, _ASKED)
    study.set_attribute(DESIGN, [(0, 1, 0, 1, 0, 1)])
    return study


def _record(number: int, outcome: Outcome, replicate: int = 0) -> Record:
    """A run with this number; a failed or stopped one has one epoch."""
    candidate = list(make_space())[number * 5 + 1]
    record = fake_record(number, candidate, outcome, replicate=replicate, epochs=BUDGET if outcome == "complete" else 1)
    curve = tuple(replace(one, checkpoint=f"checkpoints/{candidate.key}-{record.seed}/last.pt") for one in record.curve)
    return replace(record, curve=curve, run_id=f"{number:016x}", environment="e", configuration="c", device="cpu")


def _started(record: Record) -> Record:
    """The record as it is when the run begins."""
    return replace(record, outcome="running", metrics={}, curve=(), error=None, device="", seconds=0.0)


def _add(study: StudyStorage, record: Record) -> Run:
    """Writes a run from beginning to end."""
    run = study.start(_started(record), make_space())
    for epoch in record.curve:
        study.add_epoch(run, epoch)
    study.finish(run, record)
    return replace(run, record=record)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _wait_for(question: Any) -> Any:
    """Waits until ``question()`` is true and returns it: what a process held may be free only shortly after its end."""
    until = time.monotonic() + _TIMEOUT_S
    while not (found := question()):
        assert time.monotonic() < until, "locks of a killed process are not released"
        time.sleep(0.02)
    return found


@contextmanager
def _holder(storage: Storage, folder: Path, runs: list[str]) -> Iterator[Any]:
    """Starts a process that runs the study and holds claims; yields a function that kills it."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_hold, args=(storage, folder, runs, sending))
    process.start()

    def kill() -> None:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()

    try:
        assert receiving.poll(_TIMEOUT_S), "another process cannot open the study"
        error = receiving.recv()
        assert error == "", error
        yield kill
    finally:
        process.kill()
        process.join()


def _hold(storage: Storage, folder: Path, runs: list[str], sending: Any) -> None:
    try:
        with storage.running(folder, NAME):
            study = storage.open(folder, NAME, "write")
            claims = [study.claim(run) for run in runs]
            for claim in claims:
                assert claim is not None
                claim.note("a note")
            sending.send("")
            time.sleep(2 * _TIMEOUT_S)
    except BaseException as error:
        sending.send(f"{type(error).__name__}: {error}")
