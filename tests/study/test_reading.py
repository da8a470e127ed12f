"""Reading needs no right to write, one bad study hides no other, and no file of a study is followed out of it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gsfnas.errors import UserError
from gsfnas.storages._locks import FileLock, is_running, study_lock
from gsfnas.study import data_of_study, list_studies, load_study, measure_study, summarise_study

from .test_rows import lab_rows

# Nobody: who may read what all may read, and write nothing.
NOBODY = 65534
READ = """
import json, os, sys
import gsfnas.report, optuna.storages.journal, gsfnas.storages._journal_file
from gsfnas.errors import UserError
from gsfnas.study import list_studies, load_study, summarise_study
os.setgid({nobody}); os.setuid({nobody})
try:
    open({runs!r} + "/new", "w")
    raise SystemExit("it may write")
except PermissionError:
    pass
record = load_study({runs!r}, "placement")
print(json.dumps([len(record.records), summarise_study({runs!r}, "placement").status, [
    (one.name, one.status, one.problem) for one in list_studies({runs!r})
]]))
"""


@pytest.fixture
def folder():
    """A folder whose parents all may enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="to become somebody who may not write, one must be root")
def test_a_study_is_read_by_who_may_not_write(lab, folder):
    lab.run(trials=4, replicates=1)
    lab.run(trials=2, replicates=1, name="secret")
    (lab.folder / "runs" / "secret" / "journal.log").chmod(0o600)
    lab.run(trials=2, replicates=1, name="hidden")
    (lab.folder / "runs" / "hidden").chmod(0o700)
    shutil.copytree(lab.folder / "runs", folder / "runs")
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")}
    code = READ.format(nobody=NOBODY, runs=str(folder / "runs"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records, status, listed = json.loads(done.stdout)
    assert (records, status) == (4, "complete")
    assert {name: (status, problem and problem.partition(": ")[2]) for name, status, problem in listed} == {
        "placement": ("complete", None),
        "secret": ("unreadable", "Permission denied"),
        "hidden": ("unreadable", "Permission denied"),
    }
    assert {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")} == before


def test_reading_opens_nothing_to_write(lab, monkeypatch):
    lab.run(trials=2, replicates=1)
    (lab.folder / "runs" / "placement" / "claim.lock").unlink()
    opened = []
    open_file = os.open

    def watched(path, flags, *rest, **more):
        opened.append((str(path), flags))
        return open_file(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", watched)
    before = sorted(path.name for path in (lab.folder / "runs" / "placement").iterdir())
    assert summarise_study(lab.folder / "runs", "placement").status == "complete"
    assert not [path for path, flags in opened if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)]
    assert {Path(path).name for path, _ in opened} == {"journal.log", "lock"}
    assert sorted(path.name for path in (lab.folder / "runs" / "placement").iterdir()) == before


def test_who_looks_at_a_study_leaves_the_note_of_who_runs_it(lab):
    lab.run(trials=2, replicates=1)
    place = lab.folder / "runs" / "placement"
    with study_lock(place, "placement"):
        assert is_running(place)
        assert list_studies(lab.folder / "runs")[0].status == "running"
        with pytest.raises(UserError, match=f"is being run by process {os.getpid()} on"):
            lab.run(trials=2, replicates=1)
    assert not is_running(place)


def test_a_study_that_cannot_be_read_is_listed_and_hides_no_other(lab):
    lab.run(trials=2, replicates=1, name="good")
    runs = lab.folder / "runs"
    for name in ("pipe", "folder", "damaged", "foreign", "renamed", "odd name"):
        (runs / name).mkdir()
    os.mkfifo(runs / "pipe" / "journal.log")
    (runs / "folder" / "journal.log").mkdir()
    (runs / "damaged" / "journal.log").write_text("letters\n")
    (runs / "foreign" / "journal.log").write_text("")
    for name in ("renamed", "odd name"):
        shutil.copy(runs / "good" / "journal.log", runs / name)
    (runs / "trained").mkdir()
    shutil.copytree(runs / "good", runs / "locked")
    text = (runs / "locked" / "journal.log").read_text().replace('"good', '"locked')
    (runs / "locked" / "journal.log").write_text(text)
    (runs / "locked" / "lock").unlink()
    os.mkfifo(runs / "locked" / "lock")
    found = {one.name: one for one in list_studies(runs)}
    assert (found.pop("good").status, list(found)) == (
        "complete",
        sorted(found, key=lambda name: -found[name].changed.timestamp()),
    )
    assert {one.status for one in found.values()} == {"unreadable"}
    for name, said in {
        "pipe": "it is a pipe or a device, not a regular file",
        "folder": "it is a folder",
        "damaged": "is damaged at line 1: it is no entry of an Optuna journal",
        "foreign": "holds no gsfnas study 'foreign' (it has: nothing)",
        "renamed": "holds no gsfnas study 'renamed' (it has: good, good.measurements)",
        "odd name": "the name of a study must be letters, digits, '.', '_' and '-', but got 'odd name'",
        "locked": "lock: it is a link, a folder, a pipe or a device, not a regular file; remove it",
    }.items():
        assert said in found.pop(name).problem
    assert not found
    assert lab.run(trials=2, replicates=1, name="other").records, "a study that asks what others have made passes over them"


@pytest.mark.parametrize("name", ["../placement", "placement/../placement", "/etc", "..", ".", "", "a\x1b[31m", "a\nb", "x/y"])
def test_a_name_is_no_path(lab, name):
    lab.run(trials=2, replicates=1)
    (lab.folder / "placement").mkdir()
    shutil.copy(lab.folder / "runs" / "placement" / "journal.log", lab.folder / "placement")
    runs = lab.folder / "runs"
    before = sorted(lab.folder.rglob("*"))
    for read in (load_study, summarise_study, data_of_study):
        with pytest.raises(UserError, match="the name of a study must be letters") as caught:
            read(runs, name)
        assert str(caught.value).isprintable()
    with pytest.raises(UserError, match="the name of a study must be letters"):
        measure_study(runs, name, ("accuracy", 1, 1, "test", "d"), lambda record, path: None, None)
    assert sorted(lab.folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["lock", "claim.lock", "journal.log.flock", "locks/{run}"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_lock_that_is_no_file_is_refused_at_once(lab, name, kind):
    """What a lock notes would be written where a link leads."""
    lab.order("interrupt", "2")
    with pytest.raises(KeyboardInterrupt):
        lab.run(trials=2, replicates=1)
    (run,) = load_study(lab.folder / "runs", "placement").records
    path = lab.folder / "runs" / "placement" / name.format(run=f"{run.candidate.key}-{run.seed}")
    path.unlink(missing_ok=True)
    letter = lab.folder / "letter.txt"
    letter.write_text("mine")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(letter)
    with pytest.raises(UserError, match=f"cannot lock {path}: it is a link, a folder, a pipe or a device") as caught:
        lab.run(trials=2, replicates=1)
    assert "\n" not in str(caught.value)
    assert letter.read_text() == "mine"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_weights_are_not_taken_from_where_a_link_of_another_study_leads(lab, what):
    first = lab_rows(lab, {"TSN": []}, name="first")
    weights = next(lab.folder.glob(f"runs/first/checkpoints/*-{first.records[0].seed}/weights.safetensors"))
    secret = lab.folder / "secret" / "weights.safetensors"
    secret.parent.mkdir()
    secret.write_text("secret")
    if what == "file":
        weights.unlink()
        weights.symlink_to(secret)
    else:
        shutil.rmtree(weights.parent)
        weights.parent.symlink_to(secret.parent)
    second = lab_rows(lab, {"TSN": []}, name="second")
    assert {record.source for record in (*second.records, *second.replicates)} == {"first"}
    kept = [path.read_text() for path in lab.folder.glob("runs/second/checkpoints/*/weights.safetensors")]
    assert "secret" not in kept


@pytest.mark.parametrize("state", ["ended", "running", "to come"])
def test_a_link_among_the_checkpoints_is_removed_and_not_followed(lab, state):
    wanted = lab.run(trials=4, replicates=1, name="whole")
    shutil.rmtree(lab.folder / "runs" / "whole")
    lab.order("interrupt", "5")
    with pytest.raises(KeyboardInterrupt):
        lab.run(trials=4, replicates=1)
    run = wanted.records[["ended", "running", "to come"].index(state)]
    place = lab.folder / "runs" / "placement" / "checkpoints" / f"{run.candidate.key}-{run.seed}"
    shutil.rmtree(place, ignore_errors=True)
    victim = lab.folder / "victim"
    victim.mkdir()
    for name in ("last.pt", "letter.txt"):
        (victim / name).write_text("1")
    place.symlink_to(victim)
    assert len(lab.run(trials=4, replicates=1).records) == 4
    assert not place.is_symlink()
    assert {path.name: path.read_text() for path in victim.iterdir()} == {"last.pt": "1", "letter.txt": "1"}


def test_a_lock_reads_little_of_what_is_noted(tmp_path):
    (tmp_path / "lock").write_text("x" * 10**6)
    lock = FileLock.take(tmp_path / "lock")
    assert len(lock.left) == 1000
    lock.release()
