"""The first paragraphs: what was tried, the best candidate against the baseline, the front, the strongest sites."""

from collections.abc import Sequence

from gsfnas.metrics import METRICS, NOT_RUN, Metric
from gsfnas.record import Record
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._captions import big, count, holding, joined, quantity, where_ranked, with_unit
from gsfnas.report._effects import Effect
from gsfnas.report.sections.base import Section, Shown
from gsfnas.report.sections.effects import MANY

_PERCENT = METRICS["val_top1"]


class Summary(Section):
    """The text below the title of the page."""

    def show(self, analysis: StudyAnalysis) -> Shown:
        more = tuple(text for text in (front(analysis), certainty(analysis), worth(analysis)) if text)
        return Shown(sentence=summary(analysis), tone="lead", paragraphs=more)


def summary(analysis: StudyAnalysis) -> str:
    """What was tried and what came out, also for a study without runs or with a few."""
    return " ".join([_tried(analysis), *_best(analysis), *_left_out(analysis)])


def front(analysis: StudyAnalysis) -> str:
    """The size of the front, and the cheapest candidate that single runs cannot tell apart from the best."""
    best, noise = analysis.best, analysis.noise()
    if best is None or len(analysis.ranked) < 3:
        return ""
    size, accuracy, cost = len(analysis.front), analysis.accuracy, analysis.cost
    text = ""
    if len(analysis.objectives) > 1:
        names = joined([metric.noun for metric in analysis.objectives])
        text = f"{count(size, 'candidate')} {'is' if size == 1 else 'are'} on the Pareto front of {names}."
    if noise is None:
        return text
    lead = accuracy.loss(best.value(accuracy))
    close = [one for one in analysis.ranked if accuracy.loss(one.value(accuracy)) - lead <= noise.smallest_difference]
    cheapest = min(close, key=lambda record: cost.loss(record.value(cost)))
    if cheapest is best:
        return text
    others = count(len(close) - 1, "other lies", "others lie")
    within = with_unit(accuracy.text(noise.smallest_difference), accuracy.difference_unit or accuracy.unit)
    return (
        f"{text} {others} within {within} of the best {where_ranked(analysis)}, which one run "
        f"each cannot tell apart; the cheapest of them, `{cheapest.candidate.key}`, {holding(cheapest, len(analysis.sites))} "
        f"and takes {cost.text(cheapest.value(cost))} {cost.brief}."
    ).lstrip()


def worth(analysis: StudyAnalysis) -> str:
    """The sites whose worth is decided, and how many are not; empty if the runs cannot tell sites apart."""
    metric, found = analysis.told, analysis.worth
    told = [one for one in found.sites if one.value is not None]
    if analysis.is_of_rows or not told:
        return ""
    good = [one for one in found.decided if metric.loss(one.value) < 0]
    bad = [one for one in found.decided if metric.loss(one.value) > 0]
    where = "on test" if metric == analysis.test else where_ranked(analysis)
    sentences = []
    if good:
        sentences.append(f"{where[0].upper()}{where[1:]} a module helps at {_listed(good, metric)}.")
    if bad:
        sentences.append(f"{'It' if good else f'{where[0].upper()}{where[1:]} a module'} hurts at {_listed(bad, metric)}.")
    unclear = len(told) - len(found.decided)
    if not found.decided:
        sentences.append("No site's interval leaves out zero: this study cannot tell what a single site is worth.")
    elif unclear:
        sentences.append(f"Of {count(unclear, 'other site')} this study cannot tell.")
    return " ".join([*sentences, *_further(analysis)])


def _further(analysis: StudyAnalysis) -> list[str]:
    """How many further runs would decide the next site; empty if that is no sensible number."""
    worth = analysis.worth
    near = {name: more for name, more in worth.more_runs.items() if more <= MANY * worth.runs}
    if not near:
        return []
    name = min(near, key=near.__getitem__)
    return [f"About {count(near[name], 'more run')} would decide `{name}`, if it is worth what it seems."]


def certainty(analysis: StudyAnalysis) -> str:
    """How sure it is that the best is the best of those that ran; empty if nothing says so."""
    found = analysis.worth.certainty
    if found is None or analysis.is_of_rows:
        return ""
    metric = analysis.told
    extreme = "highest" if metric.better == "higher" else "lowest"
    text = (
        f"Given all runs together, the best has the {extreme} {metric.noun} of all that ran with a probability of "
        f"{_chance(found.is_best)}"
    )
    if metric.is_fraction:
        unit = with_unit(metric.text(found.near), metric.difference_unit)
        text += f", and is at most {unit} from it with one of {_chance(found.is_near)}"
    record = next((one for one in analysis.ranked if one.candidate == found.likeliest), None)
    if record is None or record is analysis.best:
        return f"{text}."
    held = holding(record, len(analysis.sites))
    return f"{text}. The likeliest is `{record.candidate.key}` ({_chance(found.likeliest_is_best)}), which {held}."


def _chance(probability: float) -> str:
    return "below 1 %" if probability < 0.01 else "above 99 %" if probability > 0.99 else f"{_PERCENT.text(probability, 0)} %"


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
    where, holds = where_ranked(analysis), holding(best, len(analysis.sites))
    said = _both(analysis, best)
    if best is baseline:
        verdict = "No module helped: the" if len(analysis.ranked) > 1 else "The"
        sentences = [f"{verdict} baseline without a module is the best {where}, with {said['val']}{said['and test']}."]
    elif baseline is None:
        sentences = [f"The best {where} {holds} and reaches {said['test, val']}."]
        if not analysis.is_of_rows:
            sentences.append("The baseline without a module has no result yet.")
    else:
        first, *rest = reversed(analysis.accuracies)
        on = f" {quantity(analysis)} on test" if rest else ""
        sentences = [
            f"The best {where} {holds} and reaches {_accuracy(analysis, best, first)}{on}, "
            f"{_gap(analysis, best, baseline, first)} the baseline without a module "
            f"({_accuracy(analysis, baseline, first)}), for {_costs(best, baseline, analysis.cost)}.",
            *(
                f"On validation it reaches {_accuracy(analysis, best, metric)}, {_gap(analysis, best, baseline, metric)} the "
                f"baseline ({_accuracy(analysis, baseline, metric)})."
                for metric in rest
            ),
        ]
    if full is not None and full is not best:
        sentences.append(f"The full candidate, a module at every site, reaches {_both(analysis, full)['test and val']}.")
    spread = analysis.spread(best, analysis.accuracy.key)
    if spread is not None and spread.seeds > 1:
        sentences.append(f"(± is the standard deviation over {spread.seeds} seeds; the best was chosen by its first.)")
    return sentences


def _both(analysis: StudyAnalysis, record: Record) -> dict[str, str]:
    """The accuracy, with that on test where the accuracy is one of validation, in the forms that the sentences need."""
    val = _accuracy(analysis, record, analysis.accuracy)
    if analysis.test is None:
        return {"val": val, "and test": "", "test, val": val, "test and val": val}
    test = _accuracy(analysis, record, analysis.test)
    return {
        "val": val,
        "and test": f", and {test} on test",
        "test, val": f"{test} on test, {val} on validation",
        "test and val": f"{test} on test and {val} on validation",
    }


def _accuracy(analysis: StudyAnalysis, record: Record, metric: Metric) -> str:
    """``74.1 ± 0.9 %``: mean and standard deviation over the seeds."""
    spread = analysis.spread(record, metric.key)
    if spread is None:
        return NOT_RUN
    deviation = "" if spread.std is None else f" ± {metric.text(spread.std)}"
    return with_unit(f"{metric.text(spread.mean)}{deviation}", metric.unit)


def _gap(analysis: StudyAnalysis, record: Record, other: Record, metric: Metric) -> str:
    """``40.1 points above``: the difference of the means over seeds."""
    ours, theirs = analysis.spread(record, metric.key), analysis.spread(other, metric.key)
    if ours is None or theirs is None:
        return "to be compared with"
    gap = ours.mean - theirs.mean
    size = with_unit(metric.text(abs(gap)), metric.difference_unit or metric.unit)
    return f"{size} {'above' if gap >= 0 else 'below'}"


def _costs(record: Record, other: Record, metric: Metric) -> str:
    """``2.9 % more MACs (0.05268 instead of 0.05120 G)``"""
    ours, theirs = record.value(metric), other.value(metric)
    if ours is None or theirs is None:
        return f"{metric.noun} that are not known"
    decimals = metric.decimals([ours, theirs])
    both = " instead of ".join(metric.text(one, decimals) for one in (ours, theirs))
    share = ours / theirs - 1 if theirs else 0.0
    # Operations have no unit of their own; their heading says GMACs.
    unit = metric.unit or "G"
    return f"{_PERCENT.text(abs(share))} % {'more' if share >= 0 else metric.less} {metric.noun} ({both} {unit})"


def _listed(effects: Sequence[Effect], metric: Metric) -> str:
    unit = metric.difference_unit or metric.unit
    return ", ".join(f"`{one.name}` ({with_unit(metric.difference(one.value), unit)})" for one in effects)
