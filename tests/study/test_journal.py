"""The lines of a journal: any beginning of it can be read, and a line that is missing, doubled or out of its place is named."""

import json
from itertools import pairwise

import pytest

from gsfnas.study import load_study


def test_every_beginning_can_be_read(journal):
    """That is what a kill leaves; a line that it tore is passed over."""
    header = journal.find("gsfnas")
    for count in range(len(journal.lines) + 1):
        said = journal.refused(journal.lines[:count])
        assert not said or count <= header, said
        assert "damaged" not in said
    with journal.path.open("a") as file:
        file.write(journal.lines[0][:20])
    assert load_study(journal.folder / "runs", "placement") == journal.read()


def test_a_line_that_stands_there_twice_is_named(journal):
    for index, line in enumerate(journal.lines):
        for lines, again in (
            ([*journal.lines[: index + 1], *journal.lines[index:]], index + 2),
            ([*journal.lines, line], len(journal.lines) + 1),
        ):
            said = journal.refused(lines)
            assert f"is damaged at line {again}: it is line {index + 1} once more; restore a copy of it" in said


def test_a_line_that_is_missing_is_named(journal):
    """Unless what is left is what another history leaves: the latency not measured, the study not yet ended."""
    accepted = []
    for index in range(len(journal.lines)):
        if not journal.refused([*journal.lines[:index], *journal.lines[index + 1 :]]):
            accepted.append(json.loads(journal.lines[index]))
    kinds = {entry.get("user_attrs", {}).get("kind") or next(iter(entry["user_attr"])) for entry in accepted}
    # The epoch is one that was told once more after an interruption.
    assert kinds <= {"latency", "ended", "epoch:001", "epoch:002"}
    assert len(accepted) < len(journal.lines) / 5


@pytest.mark.parametrize(
    ("what", "nth", "said"),
    [
        ("study", 0, "holds no gsfnas study 'placement' (it has: placement.measurements)"),
        ("study", 1, "holds no gsfnas study 'placement' (it has: placement)"),
        ("gsfnas", 0, "was not written by gsfnas"),
        ("configuration:", 0, "that it names is missing"),
        ("environment:", 0, "is missing before it"),
        ("asked", 0, "'asked' is missing before it"),
        ("design", 0, "'design' is missing before it"),
        ("design", 1, "it is of the design, which has no more points"),
        ("begin", 0, "which has not begun"),
        ("begin", 2, "is damaged at line"),
        ("epoch:001", 0, "trial 0: epoch 2 comes after none; epoch 1 is missing"),
        ("epoch:002", 0, "trial 0: epoch 3 comes after 1; epoch 2 is missing"),
        ("epoch:003", 1, "trial 1: it is complete, but its last epoch is missing"),
        ("device", 0, "trial 0: it ends, but 'device' is missing before it"),
        ("seconds", 0, "trial 0: it ends, but 'seconds' is missing before it"),
        ("metrics", 0, "trial 0: it ends, but 'metrics' is missing before it"),
        ("end", 0, "its process goes on although trial 0, which it evaluates, has not ended"),
        ("end", 3, "trial 3, which it evaluates, has not ended"),
    ],
)
def test_what_is_said_of_a_missing_line(journal, what, nth, said):
    del journal.lines[journal.find(what, nth)]
    assert said in journal.refused()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("study", "'gsfnas'"),
        ("gsfnas", "'gsfnas' is missing before it"),
        ("configuration:", "that it names is missing"),
        ("asked", "'asked' is missing before it"),
        ("begin", "which has not begun"),
        ("epoch:001", "comes after none; epoch 1 is missing"),
        ("epoch:002", "comes after 1; epoch 2 is missing"),
        ("epoch:003", "epoch 3 comes after 'device' of the same process"),
        ("device", "'device' comes after 'seconds' of the same process"),
        ("metrics", "'metrics' is missing before it"),
        ("end", "has not ended"),
    ],
)
def test_two_lines_that_have_changed_places_are_named(journal, what, said):
    index = journal.find(what)
    journal.lines[index : index + 2] = journal.lines[index : index + 2][::-1]
    assert said in journal.refused()


def test_lines_of_another_history_are_named(journal):
    """What is whole, and none of a study's lines once more, is still not of this study."""
    again = json.loads(journal.lines[journal.find("end")])
    again["datetime_complete"] = "2030-01-01T00:00:00.000000+00:00"
    assert "it is of trial 0, which has ended before" in journal.refused([*journal.lines, json.dumps(again)])
    begin = journal.find("begin", 1)
    entry = json.loads(journal.lines[begin])
    entry["user_attrs"]["number"] = 3
    assert "run 3 begins where 1 is due" in journal.refused([*journal.lines[:begin], json.dumps(entry)])
    entry["user_attrs"] |= {"number": 1, "phase": "replicate", "replicate": 1}
    assert "phase replicate and replicate 1 do not go together" in journal.refused([*journal.lines[:begin], json.dumps(entry)])
    entry["study_id"] = 1
    assert "which was not evaluated before it" in journal.refused([*journal.lines[:begin], json.dumps(entry)])
    twice = json.loads(journal.lines[journal.find("begin")])
    twice["user_attrs"]["number"] = 1
    assert "begins a second time" in journal.refused([*journal.lines[:begin], json.dumps(twice)])


def test_a_process_that_had_left_a_run_does_not_go_on_with_it(journal):
    epochs = [json.loads(line) for line in journal.lines if '"epoch:00' in line]
    before = next(
        one for one, two in pairwise(epochs) if one["trial_id"] == two["trial_id"] and one["worker_id"] != two["worker_id"]
    )
    trial = before["trial_id"]
    end = max(index for index, line in enumerate(journal.lines) if f'"trial_id":{trial},' in line)
    before["user_attr"] = {"epoch:001": {"metrics": {"val_top1": 0.1}, "checkpoint": None}}
    said = journal.refused([*journal.lines[:end], json.dumps(before)])
    assert f"trial {trial}: its process goes on although another had taken the run up" in said


def test_what_later_versions_and_the_user_add_is_passed_over(journal):
    study = journal.read()
    journal.change(journal.find("begin"), ("user_attrs", "mood"), "good")
    journal.change(journal.find("gsfnas"), ("user_attr", "gsfnas", "author"), "me")
    note = {"worker_id": "mine", "study_id": 0, "user_attr": {"note": "a thought"}}
    journal.lines += [json.dumps({"op_code": 2, **note})] * 2 + [json.dumps({"op_code": 3, "system_attr": {"x": 1}, **note})]
    assert journal.read() == study


def test_a_journal_of_before_some_fields_can_be_read(journal):
    """Rows, the default site and the number of replicates came later."""
    study = journal.read()
    header = journal.find("gsfnas")
    journal.change(header, ("user_attr", "gsfnas", "rows"), ...)
    for nth in (0, 1):
        journal.change(journal.find("asked", nth), ("user_attr", "asked", "replicates"), ...)
        journal.change(journal.find("ended", nth), ("user_attr", "ended", "replicates"), ...)
    assert journal.read() == study
