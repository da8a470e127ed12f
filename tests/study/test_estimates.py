"""A study that searches for low latency estimates it beforehand, from parts that are measured before the search."""

from dataclasses import dataclass

import pytest

from gsfnas.cost import LatencyEstimate
from gsfnas.cost._latency_table import parts_of
from gsfnas.errors import UserError
from gsfnas.record import Latency
from gsfnas.report import StudyAnalysis
from gsfnas.report.sections.latencies import estimate_ratios
from gsfnas.study import load_study
from gsfnas.testing.fake import make_space

NAMES = ["val_top1", "latency_estimate_ms"]


def estimate_of(candidate):
    return {"latency_estimate_ms": 10.0 + 0.5 * len(candidate.insertions)}


@dataclass
class Table:
    """In place of a table that is measured."""

    conditions: str = "cpu (fake), 1 thread, float32"
    asked: int = 0
    added: float = 0.5

    def estimate(self, space, say):
        self.asked += 1
        say(f"measuring {space.name}")
        return LatencyEstimate(10.0, dict.fromkeys(parts_of(space), self.added))


def measured(candidate):
    """An eighth more than the estimate for each candidate with a module."""
    value = 10.0 if not candidate.insertions else 1.125 * estimate_of(candidate)["latency_estimate_ms"]
    return Latency(candidate.key, value, value, value, "cpu", 1, "float32")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_candidate_has_an_estimate(lab, workers):
    study = lab.run(trials=8, replicates=2, objectives=NAMES, latencies=Table(), workers=workers, latency=measured)
    for record in (*study.records, *study.replicates):
        assert record.estimates == estimate_of(record.candidate)
        assert record.value("latency_estimate_ms") == record.estimates["latency_estimate_ms"]
    assert load_study(lab.folder / "runs", "placement") == study
    assert {found["latency_table"] for found in study.environments.values()} == {"cpu (fake), 1 thread, float32"}
    assert "measuring placement" in lab.printed[-1]
    assert "13 ms of estimated latency" in lab.printed[-1]
    ratios = estimate_ratios(StudyAnalysis(study))
    assert ratios[-1] == 1
    assert ratios[:-1] == pytest.approx([1 / 1.125] * 7)


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


BOUND = "latency_estimate_ms<=11.5"


def test_a_study_is_bounded_by_its_estimates_which_stay_those_it_began_with(lab):
    """Six sites of half a millisecond each: at most three of them hold a module, of 64 candidates 42."""
    study = lab.run(trials=12, replicates=1, bounds=(BOUND,), latencies=Table())
    assert (study.space_size, study.bounds) == (42, (BOUND,))
    assert all(record.value("latency_estimate_ms") <= 11.5 for record in (*study.records, *study.replicates))
    assert "the full candidate is left out: it is not within latency_estimate_ms<=11.5" in lab.printed[0]
    # The table was removed and measured anew, on a slower day.
    slower = Table(added=1.0)
    extended = lab.run(trials=16, replicates=1, bounds=(BOUND,), latencies=slower)
    assert slower.asked == 0
    assert extended.records[:12] == study.records
    assert all(record.estimates == estimate_of(record.candidate) for record in extended.records)
    with pytest.raises(UserError, match=r"study\.latency_table: cpu .* -> another machine"):
        lab.run(trials=20, replicates=1, bounds=(BOUND,), latencies=Table("another machine"))


def test_a_bound_on_the_latency_that_nothing_is_within_names_the_nearest(lab):
    with pytest.raises(
        UserError, match=r"has latency_estimate_ms<=9\.5; the nearest that is possible is latency_estimate_ms=10"
    ):
        lab.run(bounds=("latency_estimate_ms<=9.5",), latencies=Table())


def test_parts_that_a_study_kept_are_measured_again_where_they_are_damaged_or_of_another_space(lab):
    space = make_space(2)
    estimate = Table().estimate(space, print)
    values = estimate.to_json()
    assert LatencyEstimate.from_json(values, space) == estimate
    for damaged in ({**values, "": "10"}, dict(list(values.items())[:-1]), [1], None):
        assert LatencyEstimate.from_json(damaged, space) is None


def test_a_damaged_estimate_is_refused(lab):
    lab.run(trials=3, replicates=1, objectives=NAMES, latencies=Table())
    path = lab.folder / "runs" / "placement" / "journal.log"
    path.write_text(path.read_text().replace('"latency_estimate_ms":10.0', '"latency_estimate_ms":"10"'))
    with pytest.raises(UserError, match=r"`estimates\.latency_estimate_ms` must be a finite number"):
        load_study(lab.folder / "runs", "placement")
