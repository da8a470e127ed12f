"""Journals as anyone may have written them: a value that cannot be is one line with file, line and value."""

import os

import pytest

from gsfnas.errors import UserError
from gsfnas.study import load_study

from .edited import Journal

BEGIN, EPOCH, HEADER = ("begin", 0), ("epoch:001", 0), ("gsfnas", 0)
ATTRIBUTES = ("user_attrs",)
METRICS = ("user_attr", "epoch:001", "metrics", "val_top1")
CHECKPOINT = ("user_attr", "epoch:001", "checkpoint")
LATENCY = ("user_attrs", "latency")
WRONG = {
    # a run
    "a path as seed": (
        BEGIN,
        (*ATTRIBUTES, "seed"),
        "/../../../../victim",
        "`seed` must be an integer of at least 0, but got '/../../../../victim'",
    ),
    "true as seed": (BEGIN, (*ATTRIBUTES, "seed"), True, "`seed` must be an integer of at least 0, but got True"),
    "a negative seed": (BEGIN, (*ATTRIBUTES, "seed"), -1, "`seed` must be an integer of at least 0, but got -1"),
    "a long seed": (BEGIN, (*ATTRIBUTES, "seed"), 10**300, "`seed` must be an integer below 2^63"),
    "a float as seed": (BEGIN, (*ATTRIBUTES, "seed"), 1.0, "`seed` must be an integer"),
    "no seed": (BEGIN, (*ATTRIBUTES, "seed"), ..., "`seed` is missing"),
    "another key": (BEGIN, (*ATTRIBUTES, "key"), "c1-0000000000000000", "`key` must be c1-"),
    "a path as key": (BEGIN, (*ATTRIBUTES, "key"), "../x", "which is that of its candidate, but got '../x'"),
    "a phase that is none": (BEGIN, (*ATTRIBUTES, "phase"), "later", "`phase` must be one of anchor, design"),
    "a list as phase": (BEGIN, (*ATTRIBUTES, "phase"), ["anchor"], "`phase` must be one of"),
    "a list as candidate": (BEGIN, (*ATTRIBUTES, "candidate"), [], "a candidate must be a JSON object, but got list"),
    "a list as cost": (BEGIN, (*ATTRIBUTES, "cost"), [1], "`cost` must be an object, but got [1]"),
    "an infinite cost": (
        BEGIN,
        (*ATTRIBUTES, "cost", "params"),
        float("inf"),
        "`cost.params` must be an integer of at least 0, but got inf",
    ),
    "no operations": (BEGIN, (*ATTRIBUTES, "cost", "macs_fvcore"), ..., "`cost.macs_fvcore` is missing"),
    "a number as run": (BEGIN, (*ATTRIBUTES, "run_id"), 7, "`run_id` must be a text, but got 7"),
    "half a character": (BEGIN, (*ATTRIBUTES, "environment"), "\ud800", "`environment` must be a text"),
    "no attributes": (BEGIN, ATTRIBUTES, [], "is damaged at line"),
    # an epoch
    "no number": (
        EPOCH,
        METRICS,
        float("nan"),
        "`epoch:001.metrics.val_top1` must be a finite number up to 1e+50, but got nan",
    ),
    "infinity": (EPOCH, METRICS, float("-inf"), "must be a finite number up to 1e+50, but got -inf"),
    "more than a float": (EPOCH, METRICS, 10**400, "must be a finite number up to 1e+50"),
    "text as a number": (EPOCH, METRICS, "0.5", "must be a finite number up to 1e+50, but got '0.5'"),
    "true as a number": (EPOCH, METRICS, True, "must be a finite number up to 1e+50, but got True"),
    "a list as metrics": (EPOCH, METRICS[:-1], [], "`epoch:001.metrics` must be an object, but got []"),
    "a list as epoch": (EPOCH, METRICS[:-2], [], "`epoch:001` must be an object, but got []"),
    "a path above": (
        EPOCH,
        CHECKPOINT,
        "checkpoints/../../../victim",
        "`epoch:001.checkpoint` must be a path within the study's folder",
    ),
    "an absolute path": (EPOCH, CHECKPOINT, "/etc/passwd", "must be a path within the study's folder, but got '/etc/passwd'"),
    "no path": (EPOCH, CHECKPOINT, 5, "`epoch:001.checkpoint` must be a text, but got 5"),
    "epoch none": (EPOCH, ("user_attr",), {"epoch:000": {"metrics": {}, "checkpoint": None}}, "an epoch is named epoch:001"),
    "epoch one": (EPOCH, ("user_attr",), {"epoch:one": {"metrics": {}, "checkpoint": None}}, "an epoch is named epoch:001"),
    "epoch 1": (EPOCH, ("user_attr",), {"epoch:1": {"metrics": {}, "checkpoint": None}}, "an epoch is named epoch:001"),
    # its end
    "text as seconds": (("seconds", 0), ("user_attr", "seconds"), "7", "`seconds` must be a finite number"),
    "a list as device": (("device", 0), ("user_attr", "device"), ["cpu"], "`device` must be a text, but got ['cpu']"),
    "no accuracy": (("metrics", 0), ("user_attr", "metrics", "val_top1"), ..., "`metrics.val_top1` is missing"),
    "waiting": (("end", 0), ("state",), 4, "trial 0: state 4 is none that a run ends in"),
    "stopped": (("end", 0), ("state",), 2, "trial 0: it ends, but 'error' is missing before it"),
    # a latency
    "a list as latency": (("begin", 6), LATENCY, [], "`latency` must be an object, but got []"),
    "no median": (("begin", 6), (*LATENCY, "median_ms"), float("nan"), "`median_ms` must be a finite number"),
    "text as threads": (("begin", 6), (*LATENCY, "threads"), "1", "`threads` must be an integer"),
    "another's latency": (("begin", 6), (*LATENCY, "key"), "c1-x", "a latency of c1-x, which was not evaluated before it"),
    # the study
    "a list as header": (HEADER, ("user_attr", "gsfnas"), [], "was written by gsfnas None in format None"),
    "a list as identity": (HEADER, ("user_attr", "gsfnas", "identity"), [1], "`identity` must be an object, but got [1]"),
    "a number as data": (HEADER, ("user_attr", "gsfnas", "identity", "data"), 1, "`identity.data` must be a text, but got 1"),
    "a text as sites": (HEADER, ("user_attr", "gsfnas", "sites"), "s0", "`sites` must be a list, but got 's0'"),
    "a site without name": (HEADER, ("user_attr", "gsfnas", "sites", 0, "name"), ..., "`name` is missing"),
    "a site at the side": (
        HEADER,
        ("user_attr", "gsfnas", "sites", 0, "kind"),
        "beside",
        "`kind` must be one of after, before",
    ),
    "a number as default": (HEADER, ("user_attr", "gsfnas", "sites", 0, "is_default"), 1, "`is_default` must be true or false"),
    "half a space": (HEADER, ("user_attr", "gsfnas", "space_size"), 0.5, "`space_size` must be an integer of at least 0"),
    "a row without key": (
        HEADER,
        ("user_attr", "gsfnas", "rows"),
        [["GSF"]],
        "`a row` must be a name and a key, but got ['GSF']",
    ),
    "text as trials": (("asked", 0), ("user_attr", "asked", "trials"), "4", "`asked.trials` must be an integer"),
    "a list as yaml": (("asked", 0), ("user_attr", "asked", "study_yaml"), [], "`asked.study_yaml` must be a text"),
    "a text as design": (("design", 0), ("user_attr", "design"), "00", "`design` must be a list, but got '00'"),
    "text in a design": (("design", 0), ("user_attr", "design"), [["0"]], "`an index of design` must be an integer"),
    "a list as environment": (("environment:", 0), ("user_attr",), {"environment:x": []}, "`environment:x` must be an object"),
    "a text as configuration": (
        ("configuration:", 0),
        ("user_attr",),
        {"configuration:x": ""},
        "`configuration:x` must be an object",
    ),
    # a line
    "no operation": (EPOCH, ("op_code",), True, "it is no entry of an Optuna journal"),
    "an operation of later": (EPOCH, ("op_code",), 11, "it is no entry of an Optuna journal"),
    "nobody's": (EPOCH, ("worker_id",), None, "it does not say who wrote it"),
    "text as trial": (EPOCH, ("trial_id",), "0", "is damaged at line"),
    "a trial that is not there": (EPOCH, ("trial_id",), 99, "it is of trial 99, which has not begun"),
    "a study that is not there": (BEGIN, ("study_id",), 9, "it is of study 9, which has not begun"),
    "no date": (BEGIN, ("datetime_start",), "today", "it is no entry of an Optuna journal (ValueError"),
    "a parameter out of range": (BEGIN, ("params", "s0"), 99.0, "it is no entry of an Optuna journal (IndexError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_cannot_be_is_named(journal, name):
    where, keys, value, said = WRONG[name]
    journal.change(journal.find(*where), keys, value)
    assert said in journal.refused()
    assert len(journal.refused()) < 400 + len(str(journal.path))


@pytest.mark.parametrize(
    "line",
    [
        '{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"note":' + "[" * 5000 + "]" * 5000 + "}}",
        '{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"note":' + "[" * 60 + "]" * 60 + "}}",
        '{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"note":' + "9" * 5000 + "}}",
        '"op_code"',
        "12",
        "\x00\x00",
    ],
)
def test_a_line_that_is_no_entry_is_named(journal, line):
    assert f"is damaged at line {len(journal.lines) + 1}: it is " in journal.refused([*journal.lines, line])


def test_no_folder_outside_the_study_is_removed(lab):
    """A seed is part of the name of a run's folder, which is removed when the run has ended."""
    lab.run(trials=2, replicates=1)
    victim = lab.folder / "victim"
    victim.mkdir()
    (victim / "letter.txt").write_text("mine")
    path = lab.folder / "runs" / "placement" / "journal.log"
    journal = Journal(lab.folder, path.read_text().splitlines())
    for begin in (0, 1):
        journal.change(journal.find("begin", begin), ("user_attrs", "seed"), "/../../../../victim")
    assert "`seed` must be an integer" in journal.refused()
    for trials in (2, 6):
        with pytest.raises(UserError, match="`seed` must be an integer"):
            lab.run(trials=trials, replicates=1)
    assert (victim / "letter.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "huge"])
def test_what_is_no_journal_file_is_refused_at_once(lab, kind):
    lab.run(trials=2, replicates=1)
    path = lab.folder / "runs" / "placement" / "journal.log"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(3 * 2**30)
    with pytest.raises(UserError, match=f"cannot read {path}: it (is a|has 3,072 MiB)"):
        load_study(lab.folder / "runs", "placement")
    with pytest.raises(UserError, match=r"journal\.log"):
        lab.run(trials=2, replicates=1)


def test_a_journal_may_be_a_link_to_be_read_but_not_to_be_written(lab):
    study = lab.run(trials=2, replicates=1)
    path = lab.folder / "runs" / "placement" / "journal.log"
    path.rename(lab.folder / "elsewhere.log")
    path.symlink_to(lab.folder / "elsewhere.log")
    assert load_study(lab.folder / "runs", "placement") == study
    with pytest.raises(UserError, match=r"journal\.log is a link; a study is run in the folder that holds its journal"):
        lab.run(trials=2, replicates=1)
