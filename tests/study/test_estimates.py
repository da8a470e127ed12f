"""A study that searches for low latency estimates it beforehand, from parts that are measured before the search."""

from dataclasses import dataclass

import pytest

from gsfnas.errors import UserError
from gsfnas.record import Latency
from gsfnas.report import StudyAnalysis
from gsfnas.report.sections.latencies import estimate_errors
from gsfnas.study import load_study

NAMES = ["val_top1", "latency_estimate_ms"]


class Estimate:
    def __call__(self, candidate):
        return {"latency_estimate_ms": 10.0 + 0.5 * len(candidate.insertions)}


@dataclass
class Table:
    """In place of a table that is measured."""

    conditions: str = "cpu (fake), 1 thread, float32"
    asked: int = 0

    def estimate(self, space, say):
        self.asked += 1
        say(f"measuring {space.name}")
        return Estimate()


def measured(candidate):
    """An eighth more than the estimate for each candidate with a module."""
    value = 10.0 if not candidate.insertions else 1.125 * Estimate()(candidate)["latency_estimate_ms"]
    return Latency(candidate.key, value, value, value, "cpu", 1, "float32")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_candidate_has_an_estimate(lab, workers):
    study = lab.run(trials=8, replicates=2, objectives=NAMES, latencies=Table(), workers=workers, latency=measured)
    for record in (*study.records, *study.replicates):
        assert record.estimates == Estimate()(record.candidate)
        assert record.value("latency_estimate_ms") == record.estimates["latency_estimate_ms"]
    assert load_study(lab.folder / "runs", "placement") == study
    assert {found["latency_table"] for found in study.environments.values()} == {"cpu (fake), 1 thread, float32"}
    assert "measuring placement" in lab.printed[-1]
    assert "13 ms of estimated latency" in lab.printed[-1]
    errors = estimate_errors(StudyAnalysis(study))
    assert errors[0] == 0
    assert errors[1:] == pytest.approx([1 - 1 / 1.125] * 7)


def test_only_a_study_that_asks_for_estimates_measures_the_parts(lab):
    table = Table()
    study = lab.run(trials=3, replicates=1, latencies=table)
    assert table.asked == 0
    assert all(record.estimates == {} for record in study.records)
    assert all("latency_table" not in found for found in study.environments.values())


def test_a_complete_study_measures_no_parts_again_wherever_it_is_read(lab):
    study = lab.run(trials=3, replicates=1, objectives=NAMES, latencies=Table())
    table = Table("another machine")
    assert lab.run(trials=3, replicates=1, objectives=NAMES, latencies=table).records == study.records
    assert table.asked == 0


def test_a_study_does_not_go_on_with_the_estimates_of_another_device(lab):
    lab.run(trials=3, replicates=1, objectives=NAMES, latencies=Table())
    with pytest.raises(UserError) as caught:
        lab.run(trials=4, replicates=1, objectives=NAMES, latencies=Table("another machine"))
    assert "study.latency_table: cpu (fake), 1 thread, float32 -> another machine" in str(caught.value)
    assert len(lab.run(trials=4, replicates=1, objectives=NAMES, latencies=Table()).records) == 4


def test_a_damaged_estimate_is_refused(lab):
    lab.run(trials=3, replicates=1, objectives=NAMES, latencies=Table())
    path = lab.folder / "runs" / "placement" / "journal.log"
    path.write_text(path.read_text().replace('"latency_estimate_ms":10.0', '"latency_estimate_ms":"10"'))
    with pytest.raises(UserError, match=r"`estimates\.latency_estimate_ms` must be a finite number"):
        load_study(lab.folder / "runs", "placement")
