"""Pieces of sentences that several sections share: counts, spreads over seeds, effects."""

from collections.abc import Sequence
from decimal import Decimal

from gsfnas.metrics import NOT_RUN, Metric
from gsfnas.record import Record
from gsfnas.report._analysis import Spread, StudyAnalysis
from gsfnas.report._effects import Effect


def title(analysis: StudyAnalysis) -> str:
    """The title of the report."""
    records = analysis.study.records
    backbone = f" in {records[0].candidate.backbone}" if records else ""
    return f"{analysis.study.name}: temporal modules{backbone}"


def count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def holding(record: Record, sites: int) -> str:
    held = len(record.candidate.insertions)
    return f"holds a module at {held} of {count(sites, 'site')}" if held else "holds no module"


def big(number: int) -> str:
    """A large count as text: all digits below 10^9, a power of ten above."""
    if number < 10**9:
        return f"{number:,}"
    mantissa, _, exponent = f"{Decimal(number):.1e}".partition("e+")
    return f"{mantissa} × 10{str(int(exponent)).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def spread_text(spread: Spread | None, metric: Metric) -> str:
    """``74.2 ± 0.9 (3)``: mean, standard deviation (if there are several seeds) and number of seeds."""
    if spread is None:
        return NOT_RUN
    deviation = "" if spread.std is None else f" ± {metric.text(spread.std)}"
    return f"{metric.text(spread.mean)}{deviation} ({spread.seeds})"


def selecting(analysis: StudyAnalysis) -> str:
    """What selects the best and the front of a study with a test split."""
    return "validation accuracy" if analysis.accuracy.unit == "%" else analysis.accuracy.noun


def where_ranked(analysis: StudyAnalysis) -> str:
    """``on validation``: where the best is the best; ``by score`` if the accuracy is not one of the validation split."""
    return f"by {analysis.accuracy.noun}" if analysis.test is None else "on validation"


def quantity(analysis: StudyAnalysis) -> str:
    """``top-1``: the accuracy without its split."""
    return analysis.accuracy.noun.removeprefix("validation ")


def with_unit(text: str, unit: str) -> str:
    """``74.1 %``; the text alone if there is no unit."""
    return f"{text} {unit}" if unit else text


def in_difference_unit(metric: Metric) -> str:
    """`` (points)``, for the heading of a column of differences; empty if there is no unit."""
    unit = metric.difference_unit or metric.unit
    return f" ({unit})" if unit else ""


def in_points(analysis: StudyAnalysis) -> str:
    """``points of top-1``: what effects on the accuracy are measured in."""
    unit = analysis.accuracy.difference_unit or analysis.accuracy.unit
    return f"{unit} of {quantity(analysis)}" if unit else quantity(analysis)


def joined(names: Sequence[str]) -> str:
    """``a, b and c``"""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def effect_text(effect: Effect, metric: Metric) -> str:
    """``+9.1 [+4.2, +14.0] *`` in points; the star if the interval excludes zero."""
    if effect.value is None:
        return NOT_RUN
    interval = "" if effect.low is None else f" [{metric.difference(effect.low)}, {metric.difference(effect.high)}]"
    return metric.difference(effect.value) + interval + (" *" if effect.is_clear else "")
