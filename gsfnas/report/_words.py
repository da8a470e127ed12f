"""The sentences of a report, each made from the numbers. `Backticks` mark names, which pages set as code."""

from collections.abc import Sequence

from gsfnas.record import Record
from gsfnas.report._effects import Effect, Effects
from gsfnas.report._figures import MAX_STRIPS
from gsfnas.report._metrics import METRICS
from gsfnas.report._numbers import Numbers

_PERCENT = METRICS["val_top1"]
_GMACS = METRICS["macs_fvcore"]

COPY_NOTE = (
    "Sort by a heading. “copy JSON” copies a candidate as one line of JSON, which `gsfnas cost` and `gsfnas.build_model` accept "
    "(`Candidate.from_json` reads it). Costs are for one clip."
)
CURVES_NOTE = "The anchors and the best. Strong: the first seed. Faint: the further seeds."
OPTIONS_NOTE = (
    "For each option by itself: least squares on the number of insertions and on how many of them are at each level, over the same "
    "runs as above. It does not tell at which sites they stand."
)
FILES_NOTE = (
    "Beside this file: `trials.csv` (every run, with its candidate as JSON), `accuracy_vs_flops.png` and `.svg`, `site_effects` and "
    "`strips` likewise, `study.yaml` (the resolved study), `env.json` (where it ran)."
)


def title(numbers: Numbers) -> str:
    records = numbers.study.records
    backbone = f" on {records[0].candidate.backbone}" if records else ""
    return f"{numbers.study.name}: what stands where{backbone}"


def summary(numbers: Numbers) -> str:
    """One paragraph: how much was tried, the best against the baseline, the front."""
    return " ".join([_tried(numbers), *_best(numbers), *_front(numbers)])


def front_note(numbers: Numbers) -> str:
    """How to read accuracy against MACs."""
    phrase = "bars: mean ± standard deviation over seeds; the point itself is the first seed. " if numbers.noise() else ""
    return (
        "Each point is one candidate; left, the validation accuracy that the search saw and that selects the Pareto front "
        "(line and rings); right, the same candidates on test, which selects nothing and is reported beside it. "
        f"{phrase[:1].upper()}{phrase[1:]}MACs are for one clip, counted as fvcore does; the axes do not start at zero."
    )


def strips_note(numbers: Numbers) -> str:
    left_out = len(numbers.ranked) - MAX_STRIPS
    more = f" The best {MAX_STRIPS} are drawn; {left_out} more are in the table." if left_out > 0 else ""
    return f"One row a candidate, best validation accuracy first; one cell a site, from the input (left) to the head (right).{more}"


def effects_note(numbers: Numbers) -> str:
    """How the effects were computed, and what to make of them."""
    effects = numbers.effects["val_top1"]
    if not effects.runs:
        return "No run is complete, so nothing can be said about the sites."
    if effects.is_least_squares:
        return (
            f"Main effects by least squares over the {effects.runs} runs of {effects.source}, in which the sampler had no say: "
            "how much top-1 changes, averaged over what stands elsewhere, when something stands at the site rather than nothing. "
            f"95 % intervals from the t-distribution with {effects.freedom} degrees of freedom "
            f"(residual standard deviation {_percent_text(effects.residual_std)} points). "
            "Interactions between sites are not in the model: they widen the intervals."
        )
    enough = sum(effect.value is not None for effect in effects.sites)
    if not enough:
        return (
            f"{_count(effects.runs, 'run')} cannot tell the sites apart: "
            "each site needs at least two complete runs with a module and two without."
        )
    return (
        "Warning: the balanced design is too small for least squares (it needs at least "
        f"{effects.parameters + 2} complete runs that tell the {effects.parameters - 1} sites apart), so these are plain differences "
        f"of means over {effects.source} ({effects.runs}), the sampler's included, with bootstrapped 95 % intervals. What stands at "
        "the other sites is not taken out: read them as hints."
    )


def worth(numbers: Numbers) -> str:
    """The strongest sites by name; empty where no interval leaves out zero."""
    effects = numbers.effects["val_top1"]
    good = sorted((one for one in effects.sites if one.is_clear and (one.value or 0) > 0), key=lambda one: -(one.value or 0))
    bad = [one for one in effects.sites if one.is_clear and (one.value or 0) < 0]
    sentences = []
    if good:
        sentences.append(f"A module clearly helps at {_listed(good[:4])}.")
    if bad:
        sentences.append(f"It clearly hurts at {_listed(bad[:4])}.")
    if effects.runs and not sentences and any(one.value is not None for one in effects.sites):
        sentences.append("No site's interval leaves out zero: this study cannot tell the sites apart.")
    return " ".join(sentences)


def caveats(numbers: Numbers) -> list[str]:
    """What a reader should hold against the numbers."""
    found = []
    noise = numbers.noise()
    single = len(numbers.ranked) - len({record.candidate.key for record in numbers.ranked if _has_several(numbers, record)})
    if noise is None:
        found.append(
            "Every candidate ran with one seed, so the noise between seeds is unknown: do not trust small differences."
        )
    else:
        gap = _percent_text(noise.smallest_difference)
        found.append(
            f"{_count(single, 'candidate')} of {len(numbers.ranked)} ran with one seed. The standard deviation between seeds is "
            f"{_percent_text(noise.std)} points on validation ({_count(noise.freedom, 'degree')} of freedom), so two single runs "
            f"that differ by less than {gap} points are not told apart at the 95 % level."
        )
    found.append(
        "The best and the front are selected on validation accuracy, which is therefore optimistic for them; compare them on test."
        " Many candidates were compared, so that the first of the ranking owes part of its lead to luck."
    )
    found.append("Test accuracy was scored once a run and seen neither by the sampler nor by the selection.")
    epochs = sorted({len(record.curve) for record in numbers.ranked})
    if epochs:
        length = f"{epochs[0]} epochs" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
        found.append(f"Every candidate trained for {length}; longer training or another recipe may order them differently.")
    if numbers.data_name == "twins":
        found.append(
            "On Twins every clip of validation and test has its time-reversed twin under another label: a network that is blind to "
            "the order of the frames (TSN, the baseline) cannot pass 50 % top-1. This bound holds for Twins alone."
        )
    found.append(
        "MACs are a property of the architecture, for one clip and one view; latency depends on the device named"
        + ("." if numbers.study.latencies else ", and was not measured here.")
    )
    failed = sum(record.outcome == "failed" for record in numbers.unfinished)
    if failed:
        found.append(f"{_count(failed, 'run')} failed and {'is' if failed == 1 else 'are'} missing from every figure.")
    return found


def big(number: int) -> str:
    """A count for people: all digits up to a milliard, then a power of ten."""
    if number < 10**9:
        return f"{number:,}"
    text = str(number)
    exponent = str(len(text) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{text[0]}.{text[1]} × 10{exponent}"


def _tried(numbers: Numbers) -> str:
    study = numbers.study
    done = len(numbers.ranked)
    share = done / study.space_size if study.space_size < 10**15 and study.space_size else 0
    percent = f" ({share:.0%})".replace("%", " %") if share >= 0.005 else ""
    space = f"of the {big(study.space_size)} candidates of the space `{study.space}`{percent}"
    task = f"on {numbers.data_name or 'the data'}, {_count(study.classes, 'class', 'classes')}"
    tail = ""
    if study.replicates:
        tail = f", {_count(len(study.replicates), 'further run')} repeating some of them with other seeds"
    if not study.records:
        return f"Nothing has run yet: the space `{study.space}` has {big(study.space_size)} candidates."
    if not done:
        running = sum(record.outcome == "running" for record in study.records)
        state = f"{len(study.records) - running} failed and {running} without an end" if running else "all failed"
        return f"No candidate has a result: {_count(len(study.records), 'run')}, {state}. The space `{study.space}` has {big(study.space_size)} candidates."
    left = len(study.records) - done
    missing = f"; {left} more {'has' if left == 1 else 'have'} no result" if left else ""
    return f"{_count(done, 'candidate')} {space} {'was' if done == 1 else 'were'} trained and tested ({task}){tail}{missing}."


def _best(numbers: Numbers) -> list[str]:
    best, baseline, full = numbers.best, numbers.baseline, numbers.full
    if best is None:
        return []
    if best is baseline and len(numbers.ranked) > 1:
        return [f"No module helped: the baseline without one is the best on validation, with {_accuracies(numbers, best)}."]
    sentences = [
        f"The best on validation, `{best.candidate.key}`, {_holding(best, len(numbers.sites))} and reaches {_accuracies(numbers, best)}"
        f" at {_GMACS.text(best.gmacs * 1e9)} GMACs."
    ]
    if baseline is not None and best is not baseline:
        sentences.append(
            f"Against the baseline without a module ({_accuracies(numbers, baseline)}) that is {_gap(numbers, best, baseline)}, "
            f"for {_GMACS.difference((best.gmacs - baseline.gmacs) * 1e9)} GMACs a clip "
            f"({_PERCENT.difference(best.gmacs / baseline.gmacs - 1)} %)."
        )
    elif baseline is None:
        sentences.append("The baseline without a module has no result yet.")
    if full is not None and full is not best:
        sentences.append(f"The full candidate, a module at every site, reaches {_accuracies(numbers, full)}.")
    if numbers.noise() and _has_several(numbers, best):
        sentences.append("(± is the standard deviation over seeds.)")
    return sentences


def _front(numbers: Numbers) -> list[str]:
    best, noise = numbers.best, numbers.noise()
    if best is None or len(numbers.ranked) < 3:
        return []
    size = len(numbers.front)
    sentences = [
        f"{_count(size, 'candidate')} {'is' if size == 1 else 'are'} on the Pareto front of validation top-1 and MACs."
    ]
    if noise:
        close = [record for record in numbers.ranked if best.top1 - record.top1 <= noise.smallest_difference]
        cheapest = min(close, key=lambda record: record.gmacs)
        if cheapest is not best:
            sentences.append(
                f"{_count(len(close) - 1, 'candidate')} cannot be told from the best by one run (less than "
                f"{_percent_text(noise.smallest_difference)} points behind); the cheapest of them, `{cheapest.candidate.key}`, "
                f"{_holding(cheapest, len(numbers.sites))} and takes {_GMACS.text(cheapest.gmacs * 1e9)} GMACs."
            )
    return sentences


def _accuracies(numbers: Numbers, record: Record) -> str:
    """``74.1 ± 0.9 % on test and 75.0 ± 1.2 % on validation``, over the seeds there are."""
    parts = []
    for name, where in (("test_top1", "test"), ("val_top1", "validation")):
        spread = numbers.spread(record, name)
        if spread is not None:
            deviation = "" if spread.std is None else f" ± {_PERCENT.text(spread.std)}"
            parts.append(f"{_PERCENT.text(spread.mean)}{deviation} % on {where}")
    return " and ".join(parts)


def _gap(numbers: Numbers, record: Record, other: Record) -> str:
    parts = []
    for name, where in (("test_top1", "test"), ("val_top1", "validation")):
        ours, theirs = numbers.spread(record, name), numbers.spread(other, name)
        if ours is not None and theirs is not None:
            parts.append(f"{_PERCENT.difference(ours.mean - theirs.mean)} points on {where}")
    return " and ".join(parts)


def _holding(record: Record, sites: int) -> str:
    held = len(record.candidate.insertions)
    return f"holds a module at {held} of {_count(sites, 'site')}" if held else "holds no module"


def _has_several(numbers: Numbers, record: Record) -> bool:
    spread = numbers.spread(record, "val_top1")
    return spread is not None and spread.seeds > 1


def _listed(effects: Sequence[Effect]) -> str:
    return ", ".join(f"`{one.name}` ({_PERCENT.difference(one.value)} points)" for one in effects)


def _percent_text(value: float | None) -> str:
    return _PERCENT.text(value)


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def is_warned(effects: Effects) -> bool:
    """Whether the effects stand on less than a balanced design."""
    return bool(effects.runs) and not effects.is_least_squares
