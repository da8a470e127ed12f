"""A published table and our numbers for its rows: costs, accuracies over seeds, differences, agreement with its order.

Accuracies are in percent and differences in points, as the paper prints them; differences are paired by replicate, with 95 %
intervals of Student's t.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from statistics import fmean, stdev

from gsfnas.errors import UserError
from gsfnas.paper import PaperRow, PaperTable
from gsfnas.record import Latency, Record, StudyRecord

# Costs are printed with two decimals.
COST_DECIMALS = 2
_METRIC = "test_top1"


@dataclass(frozen=True)
class RowCost:
    """Cost of one clip: parameters in 10^6; operations in 10^9, under the row's convention and as fvcore counts."""

    params_m: float
    gmacs: float
    gmacs_fvcore: float


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences in points; ``low`` and ``high`` are its 95 % interval, None for fewer than two pairs."""

    value: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def sign(self) -> int:
        """1 or -1 if the interval excludes zero, else 0."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return 0
        return 1 if self.value > 0 else -1


@dataclass(frozen=True)
class Order:
    """For how many pairs of rows our runs confirm the published order, reverse it, or leave it undecided."""

    holds: int = 0
    reversed: int = 0
    undecided: int = 0

    @property
    def pairs(self) -> int:
        return self.holds + self.reversed + self.undecided


@dataclass(frozen=True)
class Pair:
    """Two rows with different published accuracies, the higher one first: the published difference in points, and ours."""

    higher: str
    lower: str
    printed: float
    ours: Difference

    @property
    def agreement(self) -> int:
        """1 if the published order holds, -1 if it is reversed, 0 if that is undecided."""
        return self.ours.sign


@dataclass(frozen=True)
class StudyRows:
    """One study's results for the rows of a table.

    ``top1`` maps row -> replicate -> percent. ``changed`` are rows that were another candidate when the study ran. ``setting``
    is a description in words. ``is_papers`` is true if data and all networks are the paper's.
    """

    name: str
    data: str
    backbone: str
    setting: str
    is_papers: bool
    top1: Mapping[str, Mapping[int, float]]
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class AblationLine:
    """One row of a table: the published numbers and ours, as far as known. ``top1`` maps replicate -> percent."""

    row: PaperRow
    key: str | None = None
    cost: RowCost | None = None
    top1: Mapping[int, float] = field(default_factory=dict)
    is_changed: bool = False
    source: str = ""
    latencies: tuple[Latency, ...] = ()

    @property
    def params_m(self) -> float | None:
        return self.cost.params_m if self.cost else None

    @property
    def gmacs(self) -> float | None:
        return self.cost.gmacs if self.cost else None

    @property
    def gmacs_fvcore(self) -> float | None:
        return self.cost.gmacs_fvcore if self.cost else None

    @property
    def mean(self) -> float | None:
        return fmean(self.top1.values()) if self.top1 else None

    @property
    def std(self) -> float | None:
        return stdev(self.top1.values()) if len(self.top1) > 1 else None


@dataclass(frozen=True)
class AblationTable:
    """A published table with one line per row. The accuracies are from ``study``; ``others`` are studies of the same rows."""

    table: PaperTable
    lines: tuple[AblationLine, ...]
    study: StudyRows | None = None
    others: tuple[str, ...] = ()

    @cached_property
    def differences(self) -> Mapping[str, Difference]:
        """Row -> its difference to the table's baseline, if both were run and are different networks."""
        baseline = next((line for line in self.lines if line.row.name == self.table.baseline), None)
        if baseline is None:
            return {}
        found = {line.row.name: paired(line.top1, baseline.top1) for line in self.lines if line is not baseline}
        return {name: difference for name, difference in found.items() if difference is not None}

    @cached_property
    def orders(self) -> Mapping[str, Order]:
        """Row -> agreement with the published order, over its pairs with the other rows."""
        return {
            line.row.name: _order(pair for pair in self.pairs if line.row.name in (pair.higher, pair.lower))
            for line in self.lines
        }

    @cached_property
    def order(self) -> Order:
        """Agreement with the published order, over all pairs of rows."""
        return _order(self.pairs)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of rows that have different published accuracies and were both run, in the order of the rows."""
        run = [line for line in self.lines if line.top1 and "top1" in line.row.printed]
        found = []
        for pair in combinations(run, 2):
            higher, lower = sorted(pair, key=lambda line: -line.row.printed["top1"])
            printed = higher.row.printed["top1"] - lower.row.printed["top1"]
            ours = paired(higher.top1, lower.top1)
            if printed and ours is not None and higher.key != lower.key:
                found.append(Pair(higher.row.name, lower.row.name, printed, ours))
        return tuple(found)

    @cached_property
    def kendall(self) -> float | None:
        """Kendall's tau-b between the printed accuracies and our means; None for fewer than three rows."""
        both = [
            (line.row.printed["top1"], line.mean) for line in self.lines if line.mean is not None and "top1" in line.row.printed
        ]
        if len(both) < 3:
            return None
        # Imported late: scipy takes a second to import, and a table without accuracies does not need it.
        from scipy import stats

        tau = float(stats.kendalltau(*zip(*both, strict=True)).statistic)
        return tau if math.isfinite(tau) else None


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """The difference of two rows, paired by replicate; None if they have no replicate in common."""
    shared = sorted(ours.keys() & theirs.keys())
    gaps = [ours[replicate] - theirs[replicate] for replicate in shared]
    if not gaps:
        return None
    if len(gaps) == 1:
        return Difference(gaps[0], None, None, 1)
    from scipy import stats

    half = float(stats.t.ppf(0.975, len(gaps) - 1)) * stdev(gaps) / math.sqrt(len(gaps))
    mean = fmean(gaps)
    return Difference(mean, mean - half, mean + half, len(gaps))


def study_rows(
    study: StudyRecord, table: PaperTable, current: Mapping[str, str], papers: Mapping[str, str], setting: Mapping[str, str]
) -> StudyRows:
    """The results of ``study`` for the rows of ``table``.

    ``current`` maps row -> key of the candidate that the space now defines on the study's backbone, ``papers`` row -> key in
    the paper's setting; ``setting`` has ``data``, ``backbone`` and ``size``. Results of rows that have changed since the study
    ran are left out. Raises UserError for a study of other rows.
    """
    if study.space != table.study or not study.rows:
        own = f"gsfnas study run {table.study}" if table.study else "tables 1 to 7 have studies"
        raise UserError(
            f"study {study.name!r} does not hold the rows of table {table.number}: its space is {study.space!r} ({own})"
        )
    ran = dict(study.rows)
    names = [row.name for row in table.rows]
    changed = tuple(name for name in names if ran.get(name) != current.get(name))
    values = accuracies((*study.records, *study.replicates))
    top1 = {name: values.get(ran[name], {}) for name in names if name in ran and name not in changed}
    is_papers = setting["data"] == table.data and all(ran.get(name) == papers.get(name) for name in names)
    return StudyRows(
        study.name,
        setting["data"],
        setting["backbone"],
        ", ".join(setting.values()),
        is_papers,
        top1,
        changed,
    )


def accuracies(records: Iterable[Record]) -> dict[str, dict[int, float]]:
    """Key -> replicate -> test top-1 in percent, of the runs that are complete."""
    found: dict[str, dict[int, float]] = {}
    for record in records:
        if record.outcome == "complete" and math.isfinite(record.metrics.get(_METRIC, math.nan)):
            found.setdefault(record.candidate.key, {})[record.replicate] = 100 * record.metrics[_METRIC]
    return found


def ablation_table(
    table: PaperTable,
    keys: Mapping[str, str],
    costs: Mapping[str, RowCost],
    *,
    study: StudyRows | None = None,
    others: Sequence[str] = (),
    elsewhere: Mapping[str, tuple[str, Mapping[int, float]]] | None = None,
    latencies: Mapping[str, Sequence[Latency]] | None = None,
) -> AblationTable:
    """Fills a published table with our numbers. ``keys`` and ``costs`` are by row, for the rows that are candidates.

    ``elsewhere`` maps row -> (study, accuracies), for tables without a study of their own: runs of the same candidate on the
    table's data.
    """
    lines = []
    for row in table.rows:
        name = row.name
        source, top1 = (elsewhere or {}).get(name, ("", {}))
        if study is not None:
            source, top1 = study.name, study.top1.get(name, {})
        lines.append(
            AblationLine(
                row,
                keys.get(name),
                costs.get(name),
                top1,
                is_changed=study is not None and name in study.changed,
                source=source if top1 else "",
                latencies=tuple((latencies or {}).get(name, ())),
            )
        )
    return AblationTable(table, tuple(lines), study, tuple(others))


def _order(pairs: Iterable[Pair]) -> Order:
    found = [pair.agreement for pair in pairs]
    return Order(found.count(1), found.count(-1), found.count(0))
