"""The sentences around the figures, made from the numbers. `Backticks` mark names, which pages set as code."""

from collections.abc import Sequence

from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._effects import Effect, Effects
from gsfnas.report._figures import MAX_STRIPS
from gsfnas.report._metrics import METRICS
from gsfnas.report._summary import count, holding

COPY_NOTE = (
    "Sort by a heading. “copy” copies a candidate as one line of JSON, which `gsfnas cost` and `gsfnas.build_model` accept "
    "(`Candidate.from_json` reads it). Costs are for one clip."
)
OPTIONS_NOTE = (
    "For each option by itself: least squares on the number of insertions and on how many of them are at each level, over the "
    "same runs as above. It does not tell at which sites they stand."
)

_PERCENT = METRICS["val_top1"]
_GMACS = METRICS["macs_fvcore"]


def curves_note(analysis: StudyAnalysis) -> str:
    who = "Every row" if analysis.is_of_rows else "The anchors and the best"
    return f"{who}. Strong: the first seed. Faint: the further seeds."


def comparison_heading(analysis: StudyAnalysis) -> str:
    return "Baseline and best" if analysis.is_of_rows else "Baseline, full and best"


def files_note(analysis: StudyAnalysis) -> str:
    """What else lies in the folder of a report."""
    effects = "" if analysis.is_of_rows else "`site_effects` and "
    return (
        "Beside this file: `trials.csv` (every run, with its candidate as JSON), `accuracy_vs_flops.png` and `.svg`, "
        f"{effects}`strips` likewise, `study.yaml` (the resolved study), `env.json` (where it ran)."
    )


def title(analysis: StudyAnalysis) -> str:
    records = analysis.study.records
    backbone = f" in {records[0].candidate.backbone}" if records else ""
    return f"{analysis.study.name}: temporal modules{backbone}"


def front(analysis: StudyAnalysis) -> str:
    """How many are on the front, and which cheaper candidate is as good as the best for all that one run can tell."""
    best, noise = analysis.best, analysis.noise()
    if best is None or len(analysis.ranked) < 3:
        return ""
    size = len(analysis.front)
    text = f"{count(size, 'candidate')} {'is' if size == 1 else 'are'} on the Pareto front of validation top-1 and MACs."
    if noise is None:
        return text
    close = [record for record in analysis.ranked if best.top1 - record.top1 <= noise.smallest_difference]
    cheapest = min(close, key=lambda record: record.gmacs)
    if cheapest is best:
        return text
    others = count(len(close) - 1, "other lies", "others lie")
    return (
        f"{text} {others} within {_PERCENT.text(noise.smallest_difference)} points of the best on validation, which one run "
        f"each cannot tell apart; the cheapest of them, `{cheapest.candidate.key}`, {holding(cheapest, len(analysis.sites))} "
        f"and takes {_GMACS.text(cheapest.gmacs * 1e9)} GMACs."
    )


def front_note(analysis: StudyAnalysis) -> str:
    """How to read accuracy against MACs."""
    bars = " Bars are mean ± standard deviation over seeds; the point itself is the first seed." if analysis.noise() else ""
    seen = "" if analysis.is_of_rows else "which the search saw and "
    return (
        f"Each point is one candidate. Left: validation accuracy, {seen}which selects the Pareto front (line "
        "and rings). Right: the same candidates on test, which selects nothing and is reported beside it."
        f"{bars} MACs are for one clip, counted as fvcore does; the axes do not start at zero."
    )


def strips_note(analysis: StudyAnalysis) -> str:
    left_out = len(analysis.ranked) - MAX_STRIPS
    more = f" The best {MAX_STRIPS} are drawn; {left_out} more are in the table." if left_out > 0 else ""
    return f"One row a candidate, best on validation first; one cell a site, from the input (left) to the head (right).{more}"


def effects_note(analysis: StudyAnalysis) -> str:
    """How the effects were computed, and what to make of them."""
    effects = analysis.effects["val_top1"]
    if not effects.runs:
        return "No run is complete, so nothing can be said about the sites."
    if effects.is_least_squares:
        return (
            f"Main effects by least squares over the {effects.runs} runs of {effects.source}, in which the sampler had no say: "
            "how much top-1 changes, averaged over what stands elsewhere, with something at the site rather than nothing. "
            f"95 % intervals from the t-distribution with {count(effects.freedom, 'degree')} of freedom (residual standard "
            f"deviation {_PERCENT.text(effects.residual_std)} points). Interactions between sites are not in the model: they "
            "widen the intervals."
        )
    if all(effect.value is None for effect in effects.sites):
        return (
            f"Warning: {count(effects.runs, 'run')} cannot tell the sites apart: each site needs at least two complete runs "
            "with a module and two without."
        )
    return (
        "Warning: the balanced design is too small for least squares, which needs at least "
        f"{effects.parameters + 2} complete runs that tell the {effects.parameters - 1} sites apart. These are plain "
        f"differences of means over {effects.source} ({effects.runs}), the sampler's included, with bootstrapped 95 % "
        "intervals. What stands at the other sites is not taken out: read them as hints."
    )


def is_warned(effects: Effects) -> bool:
    """Whether the effects stand on less than a balanced design."""
    return bool(effects.runs) and not effects.is_least_squares


def worth(analysis: StudyAnalysis) -> str:
    """The strongest sites by name; nothing where the runs cannot say."""
    if analysis.is_of_rows or not analysis.effects["val_top1"].is_least_squares:
        return ""
    effects = analysis.effects["val_top1"]
    good = sorted((one for one in effects.sites if one.is_clear and (one.value or 0) > 0), key=lambda one: -(one.value or 0))
    bad = sorted((one for one in effects.sites if one.is_clear and (one.value or 0) < 0), key=lambda one: one.value or 0)
    sentences = []
    if good:
        sentences.append(f"On validation a module clearly helps at {_listed(good[:4])}.")
    if bad:
        sentences.append(f"It clearly hurts at {_listed(bad[:4])}.")
    unclear = "No site's interval leaves out zero: this study cannot tell what a single site is worth; more candidates could."
    return " ".join(sentences) or unclear


def caveats(analysis: StudyAnalysis) -> list[str]:
    """What a reader should hold against the numbers."""
    found = [_noise(analysis)]
    if analysis.ranked:
        found += [
            "The best and the front are selected on validation accuracy, which is therefore optimistic for them: the first of "
            "a ranking owes part of its lead to luck. Compare on test.",
            "Test accuracy was scored once a run and seen neither by the sampler nor by the selection."
            if not analysis.is_of_rows
            else "Test accuracy was scored once a run and selected nothing.",
        ]
        epochs = sorted({len(record.curve) for record in analysis.ranked})
        length = count(epochs[0], "epoch") if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
        found.append(f"Candidates trained for {length}; longer training or another recipe may order them differently.")
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


def _noise(analysis: StudyAnalysis) -> str:
    noise = analysis.noise()
    if noise is None:
        return "No candidate ran with several seeds: the noise between seeds is unknown, so do not trust small differences."
    keys = {record.candidate.key for record in analysis.ranked}
    single = sum(analysis.spreads[key, "val_top1"].seeds == 1 for key in keys)
    return (
        f"{single} of {len(keys)} candidates ran with one seed. The standard deviation between seeds is "
        f"{_PERCENT.text(noise.std)} points on validation ({count(noise.freedom, 'degree')} of freedom), so the smallest "
        f"difference between two single runs that means something (95 % level) is {_PERCENT.text(noise.smallest_difference)} "
        "points; among many pairs some differ by more by chance."
    )


def _listed(effects: Sequence[Effect]) -> str:
    return ", ".join(f"`{one.name}` ({_PERCENT.difference(one.value)} points)" for one in effects)
