"""Tables and sentences as data, against numbers worked out by hand."""

from dataclasses import replace

import pytest

from gsfnas.metrics import METRICS, NOT_RUN, duration
from gsfnas.record import ProtocolScore
from gsfnas.report import Table
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import big
from gsfnas.report.sections import candidates, caveats, comparison, effects, failures, options, protocols, summary
from gsfnas.testing import records as synthetic


def texts(table: Table) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_comparison_holds_means_and_their_difference() -> None:
    rows = texts(comparison.comparison(StudyAnalysis(synthetic.hand_study())))
    assert rows["Validation top-1 (%)"] == ["32.0 ± 2.0 (3)", "60.0 (1)", "62.0 (1)", "+30.0 points"]
    assert rows["Test top-1 (%)"] == ["30.8 ± 2.0 (3)", "58.8 (1)", "60.8 (1)", "+30.0 points"]
    empty, best = synthetic.cost_of(synthetic.placement()), synthetic.cost_of(synthetic.placement(3, 5))
    more = best["macs_fvcore"] / empty["macs_fvcore"] - 1
    assert rows["GMACs, fvcore"][0] == f"{empty['macs_fvcore'] / 1e9:.5f}"
    assert rows["GMACs, fvcore"][3].endswith(f"(+{100 * more:.1f} %)")
    assert rows["Latency, median (ms)"] == ["11.00", NOT_RUN, NOT_RUN, NOT_RUN]


def test_every_candidate_has_a_row_and_the_front_is_marked() -> None:
    analysis = StudyAnalysis(synthetic.placement_study())
    table = candidates.candidates(analysis)
    assert len(table.rows) == 24
    assert all(len(row) == len(table.columns) for row in table.rows)
    marked = {row[1].sort for index, row in enumerate(table.rows) if index in table.marked}
    assert marked == {record.candidate.key for record in analysis.front}
    assert table.rows[-1][-1].text == "failed"
    assert NOT_RUN in [cell.text for cell in table.rows[-1]]


def test_strips_stand_in_depth_order() -> None:
    table = candidates.candidates(StudyAnalysis(synthetic.hand_study()))
    place = [column.label for column in table.columns].index("Sites")
    assert table.rows[0][place].strip == ("", "", "", "gsf:4", "", "gsf:8", "", "")
    assert table.rows[-1][place].text == "no module"


def test_failures_name_their_error() -> None:
    rows = failures.failures(StudyAnalysis(synthetic.placement_study())).rows
    assert [row[-1].text for row in rows] == ["FloatingPointError: the loss is not finite after 2 epochs"]


def test_options_appear_where_the_space_has_several() -> None:
    assert options.options(StudyAnalysis(synthetic.placement_study())).rows == ()
    names = {row[0].text for row in options.options(StudyAnalysis(synthetic.multi_study())).rows}
    assert names == {"gate", "fuse", "channels"}


def test_summary_gives_the_difference_to_the_baseline() -> None:
    text = summary.summary(StudyAnalysis(synthetic.hand_study()))
    assert "Of the 256 candidates of the space `placement`, 4 (2 %) were trained and tested (on twins, 24 classes)" in text
    assert "holds a module at 2 of 8 sites and reaches 60.8 % top-1 on test, 30.0 points above" in text
    assert "(30.8 ± 2.0 %)" in text
    assert "60.0 % on validation" in text


def test_summary_says_so_where_no_module_helped() -> None:
    study = synthetic.hand_study()
    worse = tuple(replace(one, metrics={**one.metrics, "val_top1": 0.1}) for one in study.records[1:])
    assert "No module helped" in summary.summary(StudyAnalysis(replace(study, records=(study.records[0], *worse))))


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (synthetic.bare_study(), "Nothing has run yet"),
        (synthetic.failed_study(), "No candidate has a result (13 runs, all failed)"),
        (synthetic.running_study(), "1 more has no result"),
        (synthetic.study_of([synthetic.record(1, synthetic.placement(1))]), "The baseline without a module has no result yet"),
    ],
)
def test_summary_of_what_is_not_finished(study: synthetic.StudyRecord, words: str) -> None:
    assert words in summary.summary(StudyAnalysis(study))


def test_the_smallest_difference_is_told_from_the_seeds() -> None:
    found = " ".join(caveats.caveats(StudyAnalysis(synthetic.hand_study())))
    # Standard deviation 2.0 with 2 degrees of freedom: 4.303 * sqrt(2) * 2.0.
    assert "is 12.2 points" in found
    assert "3 of 4 candidates ran with one seed" in found
    assert "noise between seeds is unknown" in " ".join(caveats.caveats(StudyAnalysis(synthetic.anchors_study())))


def test_the_bound_on_twins_is_claimed_for_twins_alone() -> None:
    study = synthetic.hand_study()
    other = replace(study, study_yaml="data:\n  name: folder\n")
    assert "cannot pass 50 %" in " ".join(caveats.caveats(StudyAnalysis(study)))
    assert "cannot pass 50 %" not in " ".join(caveats.caveats(StudyAnalysis(other)))


def test_too_few_runs_are_warned_of() -> None:
    analysis = StudyAnalysis(synthetic.anchors_study())
    assert effects.is_warned(analysis.worth)
    assert "Warning: 2 runs cannot tell" in effects.effects_note(analysis)
    whole = StudyAnalysis(synthetic.placement_study())
    assert "given all 29 complete runs of 23 candidates" in effects.effects_note(whole)
    assert "On test a module helps at `layer2.1.conv1` (+" in summary.worth(whole)
    assert "It hurts at `layer4.1.conv1`" in summary.worth(whole)


def test_what_cannot_be_told_is_said_with_what_would_tell() -> None:
    few = StudyAnalysis(synthetic.hand_study())
    assert "cannot tell what a single site is worth" in summary.worth(few)
    assert "more runs would decide `layer2.1.conv1`" in summary.worth(few)
    cells = {row[0].text: row[-1].text for row in effects.sites(few).rows}
    assert cells["layer1.0.conv1"] == "cannot tell"
    assert cells["layer2.1.conv1"].startswith("cannot tell; ~")
    assert cells["layer4.1.conv1"] == NOT_RUN


def test_without_a_test_split_the_worth_is_told_on_validation() -> None:
    """An evaluator of one's own may measure no more."""
    study = synthetic.placement_study()
    bare = [replace(one, metrics={key: one.metrics[key] for key in one.metrics if key != "test_top1"}) for one in study.records]
    analysis = StudyAnalysis(replace(study, records=tuple(bare), replicates=()))
    assert summary.worth(analysis).startswith("On validation a module helps at `layer2.1.conv1` (+")
    assert "highest validation top-1" in summary.certainty(analysis)
    assert "given all 23 complete runs" in effects.effects_note(analysis)
    assert {row[-1].text for row in effects.sites(analysis).rows} >= {"yes"}


def test_the_best_has_a_certainty() -> None:
    text = summary.certainty(StudyAnalysis(synthetic.placement_study()))
    assert "Given all runs together, the best has the highest test top-1 of all that ran with a probability of" in text
    assert "at most 1.0 points from it with one of" in text
    assert summary.certainty(StudyAnalysis(synthetic.anchors_study())) == ""


def test_numbers_read_well() -> None:
    assert METRICS["val_top1"].text(0.7415) == "74.2"
    assert METRICS["val_top1"].difference(-0.034) == "−3.4"
    assert METRICS["macs_fvcore"].text(51_234_567) == "0.05123"
    assert METRICS["params"].text(23_512_130) == "23.51"
    assert METRICS["params"].text(None) == NOT_RUN
    assert METRICS["val_top1"].text(float("nan")) == NOT_RUN
    assert [duration(12), duration(75), duration(3 * 3600 + 125)] == ["12 s", "1 min 15 s", "3 h 02 min"]
    assert [big(256), big(10**30)] == ["256", "1.0 × 10³⁰"]


def test_scores_under_other_protocols_stand_with_their_views_and_costs() -> None:
    study = synthetic.hand_study()
    key, macs = study.records[0].candidate.key, study.records[0].cost["macs_fvcore"]
    metrics = {"test_top1": 0.5417, "test_top5": 0.9, "test_mean_class": 0.25}
    score = ProtocolScore(key, 7, "accuracy", 2, 3, "test", 1960, 6 * macs, metrics, "twins-1", "cpu")
    table = protocols.protocols(StudyAnalysis(replace(study, protocols=(score,))))
    (row,) = texts(table).values()
    assert row[:7] == ["7", "accuracy", "2 × 3", "test (1,960)", "54.2", "90.0", "25.0"]
    assert float(row[7]) == pytest.approx(6 * macs / 1e9, rel=1e-3)
    assert protocols.protocols(StudyAnalysis(study)).rows == ()
