"""Bounds on what a candidate costs: parsed from text, and as limits on a sum over the sites of a space."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from gsfnas.errors import UserError, shown, unknown
from gsfnas.metrics import METRICS

# The metrics that are known before training; bounds are on these.
KNOWN_BEFORE = tuple(metric.key for metric in METRICS.values() if metric.known == "before")
OPERATORS = ("<=", ">=", "<", ">")
_BOUND = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+]?[\d.][\w.+-]*)\s*", re.ASCII)
_MAX_LENGTH = 200
_MAX_BOUNDS = 20
_LARGEST = 1e50

Number = int | float


@dataclass(frozen=True)
class Bound:
    """A metric that is known before training, an operator, and a number: ``params<=2.02e5``."""

    metric: str
    operator: str
    limit: float

    @classmethod
    def parse(cls, text: Any) -> Self:
        """Raises UserError for what is no bound, an unknown metric, and one that is known only after training."""
        match = _BOUND.fullmatch(text) if isinstance(text, str) and len(text) <= _MAX_LENGTH else None
        if match is None:
            raise UserError(
                f"a bound is METRIC, one of {' '.join(OPERATORS)}, and a number, such as params<=2e5, but got {shown(text)}"
            )
        metric, operator, number = match.groups()
        if metric not in KNOWN_BEFORE:
            if metric in METRICS:
                choices = ", ".join(KNOWN_BEFORE)
                raise UserError(f"a bound is on a metric that is known before training ({choices}), but {metric} is measured")
            raise unknown("metric", metric, KNOWN_BEFORE)
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not abs(limit) <= _LARGEST:
            raise UserError(
                f"the limit of bound {text.strip()!r} must be a number up to {_LARGEST:.0e}, but got {shown(number)}"
            )
        return cls(metric, operator, limit)

    def __str__(self) -> str:
        return f"{self.metric}{self.operator}{self.limit:.12g}"

    def allows(self, value: Number) -> bool:
        """Whether a value of the metric is within this bound."""
        signed, limit = (-value, -self.limit) if self.operator[0] == ">" else (value, self.limit)
        return signed < limit or (signed == limit and self.operator.endswith("="))


def parse_bounds(value: Any) -> tuple[Bound, ...]:
    """Bounds from one text, ``[params<=2e5,macs_fvcore<=2e7]`` with or without brackets, or from a list of such texts.

    Raises UserError as ``Bound.parse`` does.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        inner = value.strip()
        inner = inner[1:-1] if inner[:1] + inner[-1:] in ("[]", "()") else inner
        value = inner.split(",") if inner.strip() else []
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise UserError(f"bounds are a list such as [params<=2e5,macs_fvcore<=2e7], but got {shown(value)}")
    if len(value) > _MAX_BOUNDS:
        raise UserError(f"there may be at most {_MAX_BOUNDS} bounds, but got {len(value)}")
    return tuple(dict.fromkeys(one if isinstance(one, Bound) else Bound.parse(one) for one in value))


@dataclass(frozen=True)
class Limit:
    """A bound on a space whose costs add up over the sites, in integers: the signed sum is at most ``most``.

    ``base`` is the cost of the network without modules, and ``by_site[i][j]`` what option j of site i adds to it. All are
    multiplied by ``scale``, which is negative for a bound from below.
    """

    bound: Bound
    base: int
    by_site: tuple[tuple[int, ...], ...]
    most: int
    scale: int

    @classmethod
    def of(cls, bound: Bound, base: Number, by_site: Sequence[Sequence[Number]]) -> Self:
        """The limit for costs as they are priced. Costs that are no integers are exact fractions, scaled to integers."""
        exact = [[Fraction(cost) for cost in costs] for costs in by_site]
        scale = math.lcm(Fraction(base).denominator, *(cost.denominator for costs in exact for cost in costs))
        scale *= -1 if bound.operator[0] == ">" else 1
        most = Fraction(bound.limit) * scale
        return cls(
            bound,
            int(Fraction(base) * scale),
            tuple(tuple(int(cost * scale) for cost in costs) for costs in exact),
            math.floor(most) if bound.operator.endswith("=") else math.ceil(most) - 1,
            scale,
        )

    @property
    def budget(self) -> int:
        """What the sites may cost together."""
        return self.most - self.base

    def value(self, sites: int) -> Number:
        """The metric of a candidate whose sites cost ``sites`` in the limit's integers."""
        found = Fraction(self.base + sites, self.scale)
        return found.numerator if found.denominator == 1 else float(found)


def limits_text(bounds: Sequence[Bound]) -> str:
    """Bounds as a sentence has them."""
    return " and ".join(map(str, bounds))


def is_within(bounds: Sequence[Bound], price: Mapping[str, Number]) -> bool:
    """Whether a priced candidate is within all bounds."""
    return all(bound.allows(price[bound.metric]) for bound in bounds)
