"""The first paragraphs: what was tried, the best candidate against the baseline, the front, the strongest sites."""

from collections.abc import Sequence

from gsfnas.metrics import METRICS, NOT_RUN
from gsfnas.record import Record
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import big, count, holding
from gsfnas.report._effects import Effect
from gsfnas.report.sections.base import Section, Shown

_PERCENT = METRICS["val_top1"]
_GMACS = METRICS["macs_fvcore"]


class Summary(Section):
    """The text below the title of the page."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        more = tuple(text for text in (front(analysis), worth(analysis)) if text)
        return Shown(sentence=summary(analysis), tone="lead", paragraphs=more)


def summary(analysis: StudyAnalysis) -> str:
    """What was tried and what came out, also for a study without runs or with a few."""
    return " ".join([_tried(analysis), *_best(analysis), *_left_out(analysis)])


def front(analysis: StudyAnalysis) -> str:
    """The size of the front, and the cheapest candidate that single runs cannot tell apart from the best."""
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


def worth(analysis: StudyAnalysis) -> str:
    """The strongest sites by name; empty if there is no sufficient design."""
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


def _percent(part: int, whole: int) -> int:
    """Rounded; a space may hold more candidates than a float counts."""
    return (200 * part + whole) // (2 * whole)


def _tried(analysis: StudyAnalysis) -> str:
    study, done = analysis.study, len(analysis.ranked)
    size = big(study.space_size) if study.space_interval is None else f"about {big(study.space_size)}"
    within = f" within {' and '.join(study.bounds)}" if study.bounds else ""
    space = f"the space `{study.space}` has {size} candidates{within}"
    if not study.records:
        return f"Nothing has run yet: {space}."
    if not done:
        running = sum(record.outcome == "running" for record in study.records)
        state = f"{len(study.records) - running} failed and {running} did not end" if running else "all failed"
        return f"No candidate has a result ({count(len(study.records), 'run')}, {state}); {space}."
    share = f" ({min(_percent(done, study.space_size), 99)} %)" if 100 * done >= study.space_size > 0 else ""
    share = " (100 %)" if done == study.space_size else share
    where = f"on {analysis.data_name or 'the data'}, {count(study.classes, 'class', 'classes')}"
    left = len(study.records) - done
    missing = f"; {left} more {'has' if left == 1 else 'have'} no result" if left else ""
    again = f", and {count(len(study.replicates), 'run')} repeated some of them with other seeds" if study.replicates else ""
    verb = "trained and tested" if analysis.is_trained else "evaluated"
    return (
        f"Of the {size} candidates of the space `{study.space}`{within}, {done:,}{share} "
        f"{'was' if done == 1 else 'were'} {verb} ({where}){again}{missing}."
    )


def _left_out(analysis: StudyAnalysis) -> list[str]:
    """How many clips were left out as unusable; empty if none."""
    most = max((len(found.get("files_left_out", ())) for found in analysis.study.environments.values()), default=0)
    return (
        [f"{count(most, 'clip')} of the data set could not be used and {'is' if most == 1 else 'are'} left out."]
        if most
        else []
    )


def _best(analysis: StudyAnalysis) -> list[str]:
    best, baseline, full = analysis.best, analysis.baseline, analysis.full
    if best is None:
        return []
    test, val = _accuracy(analysis, best, "test_top1"), _accuracy(analysis, best, "val_top1")
    if best is baseline:
        verdict = "No module helped: the" if len(analysis.ranked) > 1 else "The"
        sentences = [f"{verdict} baseline without a module is the best on validation, with {val}, and {test} on test."]
    elif baseline is None:
        sentences = [
            f"The best on validation {holding(best, len(analysis.sites))} and reaches {test} on test, {val} on validation.",
        ]
        if not analysis.is_of_rows:
            sentences.append("The baseline without a module has no result yet.")
    else:
        sentences = [
            f"The best on validation {holding(best, len(analysis.sites))} and reaches {test} top-1 on test, "
            f"{_gap(analysis, best, baseline, 'test_top1')} the baseline without a module "
            f"({_accuracy(analysis, baseline, 'test_top1')}), for {_costs(best, baseline)}.",
            f"On validation it reaches {val}, {_gap(analysis, best, baseline, 'val_top1')} the baseline "
            f"({_accuracy(analysis, baseline, 'val_top1')}).",
        ]
    if full is not None and full is not best:
        ours, theirs = _accuracy(analysis, full, "test_top1"), _accuracy(analysis, full, "val_top1")
        sentences.append(f"The full candidate, a module at every site, reaches {ours} on test and {theirs} on validation.")
    spread = analysis.spread(best, "val_top1")
    if spread is not None and spread.seeds > 1:
        sentences.append(f"(± is the standard deviation over {spread.seeds} seeds; the best was chosen by its first.)")
    return sentences


def _accuracy(analysis: StudyAnalysis, record: Record, metric: str) -> str:
    """``74.1 ± 0.9 %``: mean and standard deviation over the seeds."""
    spread = analysis.spread(record, metric)
    if spread is None:
        return NOT_RUN
    deviation = "" if spread.std is None else f" ± {_PERCENT.text(spread.std)}"
    return f"{_PERCENT.text(spread.mean)}{deviation} %"


def _gap(analysis: StudyAnalysis, record: Record, other: Record, metric: str) -> str:
    """``40.1 points above``: the difference of the means over seeds."""
    ours, theirs = analysis.spread(record, metric), analysis.spread(other, metric)
    if ours is None or theirs is None:
        return "to be compared with"
    gap = ours.mean - theirs.mean
    return f"{_PERCENT.text(abs(gap))} points {'above' if gap >= 0 else 'below'}"


def _costs(record: Record, other: Record) -> str:
    """``2.9 % more MACs (0.05268 instead of 0.05120 G)``"""
    decimals = _GMACS.decimals([record.gmacs * 1e9, other.gmacs * 1e9])
    both = " instead of ".join(_GMACS.text(one.gmacs * 1e9, decimals) for one in (record, other))
    share = record.gmacs / other.gmacs - 1 if other.gmacs else 0.0
    return f"{_PERCENT.text(abs(share))} % {'more' if share >= 0 else 'fewer'} MACs ({both} G)"


def _listed(effects: Sequence[Effect]) -> str:
    return ", ".join(f"`{one.name}` ({_PERCENT.difference(one.value)} points)" for one in effects)
