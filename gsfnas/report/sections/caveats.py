"""Reservations about the numbers: noise, selection, length of training, the data set."""

from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import count, selecting, where_ranked, with_unit
from gsfnas.report.sections.base import Section, Shown


class Caveats(Section):
    """Reservations about the numbers, as a list."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        return Shown("What to hold against these numbers", bullets=tuple(caveats(analysis)))


def caveats(analysis: StudyAnalysis) -> list[str]:
    """The reservations that apply to this study, a sentence or two each."""
    found = [_noise(analysis)]
    if analysis.ranked:
        found += _selection(analysis)
        epochs = sorted({len(record.curve) for record in analysis.ranked})
        length = count(epochs[0], "epoch") if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
        found.append(
            f"Candidates trained for {length}; longer training or another recipe may order them differently."
            if analysis.is_trained
            else f"Candidates were evaluated with {length}; other settings of the evaluator may order them differently."
        )
    if analysis.data_name == "twins":
        found.append(
            "On Twins every clip of validation and test has its time-reversed twin under another label, so a network blind to "
            "the order of frames (TSN, the baseline) cannot pass 50 % top-1. The bound holds for Twins alone."
        )
    measured = "depends on the device named below" if analysis.study.latencies else "was not measured here"
    found.append(f"MACs are a property of the architecture, for one clip and one view; latency {measured}.")
    failed = sum(record.outcome == "failed" for record in analysis.unfinished)
    if failed:
        found.append(f"{count(failed, 'run')} failed and {'is' if failed == 1 else 'are'} missing from every figure.")
    return found


def _selection(analysis: StudyAnalysis) -> list[str]:
    """That the selection is optimistic, and whether the test split was kept out of it."""
    luck = "which is therefore optimistic for them: the first of a ranking owes part of its lead to luck."
    if analysis.test is None:
        return [f"The best and the front are selected {where_ranked(analysis)}, {luck}"]
    if analysis.test.key in {metric.key for metric in analysis.objectives}:
        return [f"The front is selected on test accuracy too, {luck} Nothing here was kept out of the selection."]
    return [
        f"The best and the front are selected on {selecting(analysis)}, {luck} Compare on test.",
        "Test accuracy was scored once a run and seen neither by the sampler nor by the selection."
        if not analysis.is_of_rows
        else "Test accuracy was scored once a run and selected nothing.",
    ]


def _noise(analysis: StudyAnalysis) -> str:
    noise = analysis.noise()
    if noise is None:
        return "No candidate ran with several seeds: the noise between seeds is unknown, so do not trust small differences."
    keys = {record.candidate.key for record in analysis.ranked}
    metric = analysis.accuracy
    single = sum(analysis.spreads[key, metric.key].seeds == 1 for key in keys)
    unit = metric.difference_unit or metric.unit
    std, smallest = (with_unit(metric.text(value), unit) for value in (noise.std, noise.smallest_difference))
    where = where_ranked(analysis)
    return (
        f"{single} of {len(keys)} candidates ran with one seed. The standard deviation between seeds is "
        f"{std} {where} ({count(noise.freedom, 'degree')} of freedom), so the smallest "
        f"difference between two single runs that means something (95 % level) is {smallest}; "
        "among many pairs some differ by more by chance."
    )
