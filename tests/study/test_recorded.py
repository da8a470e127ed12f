"""Studies that earlier versions recorded: the same seed gives what it gave, and a journal is read, taken up and extended."""

import json
import shutil
from pathlib import Path

import pytest

from gsfnas.study import list_studies, load_study
from gsfnas.testing.fake import make_space

RECORDED = Path(__file__).parent / "recorded"
STUDIES = json.loads((RECORDED / "studies.json").read_text())
ASKED = {
    "default": ({}, {"trials": 24}),
    "nsga2": ({}, {"trials": 20, "sampler": "nsga2", "lag": 0}),
    "random": (
        {"sites": 8, "ratios": (0.25, 0.5)},
        {"trials": 20, "sampler": "random", "lag": 2, "replicates": 1},
    ),
    "no design": ({}, {"trials": 14, "initial_fraction": 0.0, "seed": 3}),
    "exhausted": ({"sites": 3}, {"trials": 30}),
    "empty outside": ({"sites": 2, "ratios": (0.25, 0.5), "optional": False}, {"trials": 30}),
    "failing": ({}, {"trials": 16}),
}


def told(study):
    return [
        [r.number, r.phase, r.candidate.key, r.replicate, r.seed, r.run_id, r.outcome, r.metrics.get("val_top1")]
        for r in (*study.records, *study.replicates)
    ]


@pytest.mark.parametrize("name", STUDIES)
def test_the_same_seed_gives_the_records_that_it_gave(lab, name):
    space, changes = ASKED[name]
    if name == "failing":
        lab.order("fail", "3")
    assert told(lab.run(make_space(**space), **changes)) == STUDIES[name]


def test_a_journal_of_an_earlier_version_is_taken_up_and_extended(lab):
    folder = lab.folder / "runs" / "placement"
    folder.mkdir(parents=True)
    shutil.copy(RECORDED / "interrupted.log", folder / "journal.log")
    before = load_study(lab.folder / "runs", "placement")
    ended = [record for record in before.records if record.outcome == "complete"]
    assert len(ended) < len(before.records)
    study = lab.run(trials=12, replicates=2)
    assert [record for record in study.records if record in ended] == ended
    fresh = lab.run(trials=12, replicates=2, runs=str(lab.folder / "fresh"))
    assert told(study) == told(fresh)
    assert told(lab.run(trials=16, replicates=2))[:12] == told(fresh)[:12]


def test_a_journal_that_the_command_line_wrote_is_read(lab):
    folder = lab.folder / "runs" / "before"
    folder.mkdir(parents=True)
    shutil.copy(RECORDED / "placement.log", folder / "journal.log")
    study = load_study(lab.folder / "runs", "before")
    assert [record.phase for record in study.records] == ["anchor", "anchor", "design", "design"]
    assert len(study.replicates) == 2
    assert {record.outcome for record in study.records} == {"complete"}
    assert [summary.status for summary in list_studies(lab.folder / "runs")] == ["complete"]
