"""Interruptions of every kind: afterwards the same call goes on, and the records are those of an undisturbed study."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gsfnas.errors import UserError
from gsfnas.storages._locks import study_lock
from gsfnas.study import StudySettings, list_studies, load_study, summarise_study
from gsfnas.testing.fake import FakeEvaluator

from .conftest import Lab
from .same import timeless

PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from {package}.conftest import Lab
from gsfnas.cli._signals import stopping
def run():
    lab = Lab(Path({folder!r}))
    try:
        lab.run(**{changes!r})
    finally:
        print(lab.printed[-1], end="")
if __name__ == "__main__":
    if {is_command}:
        with stopping(until_exit=True) as stop:
            try:
                run()
            except KeyboardInterrupt:
                sys.exit(stop.code)
    else:
        run()
"""


def start(lab, *, is_command=False, **changes):
    """The study in a process of its own, which takes signals as the command line does where it ``is_command``."""
    text = PROGRAM.format(path=sys.path, package=__package__, folder=str(lab.folder), changes=changes, is_command=is_command)
    program = lab.folder / "program.py"
    program.write_text(text)
    return subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.fixture
def undisturbed(tmp_path):
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    return timeless(Lab(folder).run(trials=12))


@pytest.mark.parametrize("order", ["die", "lose"])
def test_killed_again_and_again_it_ends_with_the_same_records(lab, undisturbed, order):
    """``die``: before a measurement is written; ``lose``: between a checkpoint and its measurement."""
    for after in (2, 11, 15):
        lab.order(order, str(after))
        process = start(lab, trials=12)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, out
    assert summarise_study(lab.folder / "runs", "placement").status == "unfinished"
    assert timeless(lab.run(trials=12)) == undisturbed
    assert "goes on after epoch" in lab.printed[-1]
    # Each of the three was taken up from its checkpoint, not begun again.
    assert max(Counter(lab.evaluations).values()) == 2
    assert sum(entry["what"] == "evaluate" and entry["after"] > 0 for entry in lab.log) >= 2


def test_an_evaluator_that_tells_no_epoch_twice_loses_none(lab, undisturbed):
    lab.order("lose", "5")
    process = start(lab, trials=12)
    process.communicate(timeout=60)
    study = lab.run(trials=12, evaluator=FakeEvaluator(lab.folder, repeats_last=False))
    assert timeless(study) == undisturbed
    assert [[epoch.epoch for epoch in record.curve] for record in study.records] == [[1, 2, 3]] * 12


def test_a_replicate_is_taken_up_too(lab, undisturbed):
    lab.order("die", str(3 * 12 + 2))
    process = start(lab, trials=12)
    process.communicate(timeout=60)
    assert load_study(lab.folder / "runs", "placement").replicates[0].outcome == "running"
    assert timeless(lab.run(trials=12)) == undisturbed


def test_ctrl_c_stops_at_once_and_the_same_call_goes_on(lab, undisturbed):
    lab.order("interrupt", "8")
    with pytest.raises(KeyboardInterrupt) as caught:
        lab.run(trials=12)
    assert "stopped; the same command goes on" in lab.printed[-1]
    assert lab.log[-1]["what"] == "close"
    # The traceback is still held, as a notebook does; the run is free nevertheless.
    assert caught.value is not None
    assert timeless(lab.run(trials=12)) == undisturbed


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_the_whole_process_group(lab, workers):
    lab.order("slow", "0.3")
    process = start(lab, trials=12, workers=workers)
    until = time.monotonic() + 30
    while len(lab.evaluations) < workers and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert process.returncode != 0
    assert out.count("Traceback") == out.count("KeyboardInterrupt") == 1, "only the parent speaks"
    count = len(lab.log)
    time.sleep(0.7)
    assert len(lab.log) == count, "no worker works on"
    (lab.folder / "slow").unlink()
    assert len(lab.run(trials=12).records) == 12


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("is_group", [True, False])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_job_system_or_a_lost_terminal_stops_as_ctrl_c_does(lab, workers, is_group, sign):
    lab.order("slow", "0.3")
    process = start(lab, is_command=True, trials=12, workers=workers)
    until = time.monotonic() + 60
    while len(lab.evaluations) < workers and time.monotonic() < until:
        time.sleep(0.05)
    (os.killpg if is_group else os.kill)(process.pid, sign)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + sign
    assert out.splitlines() == ["stopped; the same command goes on where study 'placement' is"]
    assert not any(is_alive(entry["process"]) for entry in lab.log), "all have ended with the parent"
    (lab.folder / "slow").unlink()
    study = lab.run(trials=12)
    assert [record.outcome for record in study.records] == ["complete"] * 12, "none is taken for failed"


def test_workers_die_with_their_parent(lab):
    lab.order("slow", "20")
    process = start(lab, trials=12, workers=2)
    until = time.monotonic() + 30
    while len(lab.evaluations) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=10)
    workers = {entry["process"] for entry in lab.log}
    assert len(workers) == 2
    until = time.monotonic() + 5
    while any(map(is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))


def is_alive(process):
    """Whether a process of this number works; one that nobody has waited for does not."""
    stat = Path(f"/proc/{process}/stat")
    if not Path("/proc").exists():
        return subprocess.run(["ps", "-p", str(process)], capture_output=True).returncode == 0
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_study_is_run_by_one_process_at_a_time(lab):
    settings = StudySettings("placement", runs=str(lab.folder / "runs"))
    settings.folder.mkdir(parents=True)
    with (
        study_lock(settings.folder, "placement"),
        pytest.raises(UserError, match="'placement' is being run by process") as caught,
    ):
        lab.run()
    assert "\n" not in str(caught.value)
    assert len(lab.run().records) == 8


def test_a_running_study_can_be_listed(lab):
    lab.run(trials=4)
    settings = StudySettings("placement", runs=str(lab.folder / "runs"))
    with study_lock(settings.folder, "placement"):
        assert [(s.name, s.status) for s in list_studies(settings.runs)] == [("placement", "running")]


@pytest.mark.parametrize("torn", [b'{"op_code":4,"worker_id', b"\x00\x00"])
def test_a_torn_last_line_is_mended(lab, undisturbed, torn):
    lab.order("die", "8")
    process = start(lab, trials=12)
    process.communicate(timeout=60)
    with (lab.folder / "runs" / "placement" / "journal.log").open("ab") as file:
        file.write(torn)
    assert load_study(lab.folder / "runs", "placement").records, "reading passes over it"
    assert timeless(lab.run(trials=12)) == undisturbed


def test_what_a_kill_in_the_last_instant_leaves_is_swept(lab, undisturbed):
    """Between the end of a run in the journal and the removal of its lock and its checkpoints."""
    lab.run(trials=12)
    folder = lab.folder / "runs" / "placement"
    kept = sorted(path.relative_to(folder) for path in (folder / "checkpoints").rglob("*"))
    names = [f"{record.candidate.key}-{record.seed}" for record in undisturbed.records]
    for name in names:
        (folder / "checkpoints" / name).mkdir(exist_ok=True)
        for file in ("last.pt", "previous.pt", "last.pt.12.partial"):
            (folder / "checkpoints" / name / file).write_text("3")
    # A run may also have its lock and not yet its line.
    for name in (*names, "c1-0123456789abcdef-7"):
        (folder / "locks" / name).write_text("a call of before")
    (folder / "locks" / "letter.txt").write_text("mine")
    (folder / "checkpoints" / "mine").mkdir()
    assert timeless(lab.run(trials=12)) == undisturbed
    assert [path.name for path in (folder / "locks").iterdir()] == ["letter.txt"]
    (folder / "checkpoints" / "mine").rmdir()
    assert sorted(path.relative_to(folder) for path in (folder / "checkpoints").rglob("*")) == kept


def test_a_run_that_goes_on_keeps_its_lock_and_its_checkpoint(lab, undisturbed):
    lab.order("die", "8")
    start(lab, trials=12).communicate(timeout=60)
    (run,) = [run for run in load_study(lab.folder / "runs", "placement").records if run.outcome == "running"]
    lab.order("interrupt", "1")
    with pytest.raises(KeyboardInterrupt):
        lab.run(trials=12)
    assert (lab.folder / "runs" / "placement" / "checkpoints" / f"{run.candidate.key}-{run.seed}" / "last.pt").exists()
    assert timeless(lab.run(trials=12)) == undisturbed
