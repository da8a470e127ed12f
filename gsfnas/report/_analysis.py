"""What is computed from a study's records: ranking, Pareto front, spread over seeds, effects of sites, one row per run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from gsfnas import plain_yaml
from gsfnas.candidate import Candidate, Site
from gsfnas.errors import UserError
from gsfnas.metrics import Metric, accuracy_of, cost_of, counterpart
from gsfnas.modules import label
from gsfnas.record import Latency, Record, StudyRecord, pareto_front, rank

# pandas and scipy take seconds to import, so they are imported where they are used.
if TYPE_CHECKING:
    import pandas as pd

    from gsfnas.report._effects import Factor
    from gsfnas.report._worth import Worth

COSTS = ("params", "macs_fvcore", "macs_ptflops", "activations", "saved_bytes")
LATENCY = ("latency_median_ms", "latency_low_ms", "latency_high_ms", "latency_device", "latency_threads", "latency_precision")
# The columns of trials.csv in order. A study's other final metrics come between COLUMNS and TAIL.
COLUMNS = (
    *("rank", "number", "key", "phase", "replicate", "seed", "outcome", "on_front", "sites", "num_insertions"),
    *COSTS,
    *LATENCY,
    *("epochs", "seconds", "val_top1", "test_top1"),
)
TAIL = ("error", "device", "run_id", "source", "environment", "configuration", "candidate")


@dataclass(frozen=True)
class Spread:
    """One candidate's accuracy over its seeds; ``std`` is the sample standard deviation, None for one seed."""

    seeds: int
    mean: float
    std: float | None


@dataclass(frozen=True)
class Noise:
    """Variation between seeds of the same candidate: pooled standard deviation and its degrees of freedom."""

    std: float
    freedom: int

    @property
    def smallest_difference(self) -> float:
        """The smallest difference between two single runs that is significant at the 95 % level: t * sqrt(2) * std."""
        from scipy import stats

        return float(stats.t.ppf(0.975, self.freedom)) * math.sqrt(2) * self.std


@dataclass(frozen=True)
class StudyAnalysis:
    """A study and everything that is computed from it. What the study does not have (yet) is None or empty."""

    study: StudyRecord

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """The metrics that the study searches for."""
        return self.study.objectives

    @cached_property
    def accuracy(self) -> Metric:
        """The accuracy that the report is about: the first objective that is known after a run only."""
        return accuracy_of(self.objectives)

    @cached_property
    def test(self) -> Metric | None:
        """The same accuracy on the test split; None if the accuracy is not one of the validation split."""
        return counterpart(self.accuracy)

    @property
    def accuracies(self) -> tuple[Metric, ...]:
        """The accuracy, and the same on the test split."""
        return (self.accuracy, *([] if self.test is None else [self.test]))

    @cached_property
    def cost(self) -> Metric:
        """The cost that the report is about: the first objective that is known before a run, or else the MACs."""
        return cost_of(self.objectives)

    @cached_property
    def ranked(self) -> tuple[Record, ...]:
        """The complete records, best accuracy first; ties are broken by the other objectives, by cost, then by key."""
        done = [record for record in self.study.records if self._is_complete(record)]
        return tuple(sorted(done, key=lambda record: rank(record, self.objectives)))

    @cached_property
    def unfinished(self) -> tuple[Record, ...]:
        """Records and replicates without a final accuracy."""
        return tuple(record for record in (*self.study.records, *self.study.replicates) if not self._is_complete(record))

    @cached_property
    def baseline(self) -> Record | None:
        """The complete candidate without an insertion."""
        return next((record for record in self.ranked if not record.candidate.insertions), None)

    @cached_property
    def full(self) -> Record | None:
        """The complete anchor with insertions."""
        return next((one for one in self.ranked if one.phase == "anchor" and one.candidate.insertions), None)

    @property
    def best(self) -> Record | None:
        """The first of the ranking, which looks at the accuracy of the first seed only."""
        return self.ranked[0] if self.ranked else None

    @cached_property
    def front(self) -> tuple[Record, ...]:
        """The Pareto front of the objectives, cheapest first."""
        return pareto_front(self.ranked, self.objectives)

    @cached_property
    def spreads(self) -> Mapping[tuple[str, str], Spread]:
        """(key, metric) -> spread over the first run and the complete replicates."""
        values: dict[tuple[str, str], list[float]] = {}
        for record in (*self.ranked, *(one for one in self.study.replicates if self._is_complete(one))):
            for metric in self.accuracies:
                value = record.value(metric)
                if value is not None and math.isfinite(value):
                    values.setdefault((record.candidate.key, metric.key), []).append(value)
        return {
            name: Spread(len(found), fmean(found), stdev(found) if len(found) > 1 else None) for name, found in values.items()
        }

    def spread(self, record: Record | None, metric: str) -> Spread | None:
        """The spread of a record's candidate; None if there is none."""
        return None if record is None else self.spreads.get((record.candidate.key, metric))

    def noise(self, metric: str | None = None) -> Noise | None:
        """Variation of a metric (by default the accuracy) between seeds, pooled over all candidates that ran with several.

        None if none did.
        """
        wanted = metric or self.accuracy.key
        several = [spread for (_, name), spread in self.spreads.items() if name == wanted and spread.std is not None]
        freedom = sum(spread.seeds - 1 for spread in several)
        if not freedom:
            return None
        squares = sum((spread.seeds - 1) * (spread.std or 0.0) ** 2 for spread in several)
        return Noise(math.sqrt(squares / freedom), freedom)

    @cached_property
    def latency_conditions(self) -> tuple[tuple[str, int, str, int], ...]:
        """The conditions (device, threads, precision, batch) of the measured latencies, most frequent first."""
        found = [_conditions(latency) for latency in self.study.latencies]
        return tuple(sorted(dict.fromkeys(found), key=lambda one: -found.count(one)))

    @cached_property
    def latencies(self) -> Mapping[str, Latency]:
        """Key -> the latest latency under the most frequent conditions."""
        main = self.latency_conditions[:1]
        return {latency.key: latency for latency in self.study.latencies if _conditions(latency) in main}

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites in depth order: those of the space, then any others that a candidate uses."""
        names = [site.name for site in self.study.sites]
        held = {name for record in self.study.records for name, _ in record.candidate.insertions}
        return (*names, *sorted(held - set(names)))

    @cached_property
    def factors(self) -> "Mapping[str, tuple[Factor, ...]]":
        """Metric -> estimated effects of the options that vary."""
        from gsfnas.report._effects import Run, factors_of

        runs = [
            Run(record.candidate, self._accuracies_of(record), record.phase in ("anchor", "design"))
            for record in sorted(self.ranked, key=lambda one: one.number)
        ]
        sites: Mapping[str, Site | None] = dict.fromkeys(self.sites) | {one.name: one for one in self.study.sites}
        return {metric.key: factors_of(runs, sites, metric.key) for metric in self.accuracies}

    @cached_property
    def worths(self) -> "Mapping[str, Worth]":
        """Metric -> what each site is worth, by all complete runs, and how sure it is that ``best`` is the best of them."""
        from gsfnas.report._worth import Run, worth_of

        complete = [*sorted(self.ranked, key=lambda one: one.number), *filter(self._is_complete, self.study.replicates)]
        asked = None if self.best is None else self.best.candidate
        return {
            metric.key: worth_of(
                [Run(one.candidate, math.nan if (value := one.value(metric)) is None else value) for one in complete],
                self.sites,
                is_fraction=metric.is_fraction,
                is_higher_better=metric.better == "higher",
                asked=asked,
            )
            for metric in self.accuracies
        }

    @cached_property
    def told(self) -> Metric:
        """What the worth of sites is told in: the accuracy on the test split, which selected nothing, if any run has it."""
        known = [metric for metric in self.accuracies if any(one.value(metric) is not None for one in self.ranked)]
        return known[-1] if known else self.accuracy

    @property
    def worth(self) -> "Worth":
        """What each site is worth, in ``told``."""
        return self.worths[self.told.key]

    def _accuracies_of(self, record: Record) -> dict[str, float]:
        return {metric.key: value for metric in self.accuracies if (value := record.value(metric)) is not None}

    @cached_property
    def named(self) -> Mapping[str, Record]:
        """``baseline``, ``full`` and ``best``, if complete; one candidate may have two of these names."""
        names = {"baseline": self.baseline, "full": self.full, "best": self.best}
        return {name: record for name, record in names.items() if record is not None}

    @property
    def is_of_rows(self) -> bool:
        """Whether the study evaluates named rows. It then has no design from which effects of sites could be estimated."""
        return bool(self.study.rows)

    @cached_property
    def titled(self) -> Mapping[str, Record]:
        """The candidates that have a name in figures and tables: the named rows of a study of rows, else ``named``."""
        complete = {record.candidate.key: record for record in self.ranked}
        rows = {name: complete[key] for name, key in self.study.rows if key in complete}
        return rows if self.is_of_rows else self.named

    def titles(self, record: Record) -> tuple[str, ...]:
        """All names of a record's candidate; empty for most."""
        return tuple(name for name, other in self.titled.items() if other is record)

    @cached_property
    def total_seconds(self) -> float:
        """Total time of all runs in seconds, including replicates and failed runs."""
        return sum(record.seconds for record in (*self.study.records, *self.study.replicates))

    @cached_property
    def runs(self) -> "pd.DataFrame":
        """One row per run: the ranked records, the other records, then the replicates. Written as trials.csv."""
        import pandas as pd

        ranks = {record.candidate.key: rank for rank, record in enumerate(self.ranked, start=1)}
        front = {record.candidate.key for record in self.front}
        ordered = [
            *self.ranked,
            *(record for record in self.study.records if not self._is_complete(record)),
            *self.study.replicates,
        ]
        rows = [
            {
                "rank": ranks.get(record.candidate.key),
                "key": record.candidate.key,
                "on_front": record.candidate.key in front,
                "sites": held_text(record.candidate),
                "num_insertions": len(record.candidate.insertions),
                **{name: getattr(record, name) for name in ("number", "phase", "replicate", "seed", "outcome", "seconds")},
                **{name: record.cost.get(name) for name in COSTS},
                **self._latency_row(record.candidate.key),
                "epochs": len(record.curve),
                **record.estimates,
                **{name: value for name, value in record.metrics.items() if name not in COLUMNS},
                **{name: record.metrics.get(name) for name in COLUMNS[-2:]},
                **{name: getattr(record, name) or None for name in TAIL[:-1]},
                "candidate": record.candidate.to_json(),
            }
            for record in ordered
        ]
        others = sorted({name for row in rows for name in row} - {*COLUMNS, *TAIL})
        frame = pd.DataFrame(rows, columns=[*COLUMNS, *others, *TAIL])
        whole = ["rank", *COSTS, "latency_threads"]
        return frame.astype(dict.fromkeys(whole, "Int64"))

    def _is_complete(self, record: Record) -> bool:
        value = record.value(self.accuracy)
        return record.outcome == "complete" and value is not None and math.isfinite(value)

    def _latency_row(self, key: str) -> dict[str, float | int | str | None]:
        latency = self.latencies.get(key)
        if latency is None:
            return dict.fromkeys(LATENCY)
        values = (latency.median_ms, latency.low_ms, latency.high_ms, latency.device, latency.threads, latency.precision)
        return dict(zip(LATENCY, values, strict=True))

    @cached_property
    def data_name(self) -> str | None:
        """The data set's name, from the resolved study or else from a configuration; None if neither has it."""
        return self._part_name("data")

    @property
    def is_trained(self) -> bool:
        """Whether the study's evaluator is known to be ``train``, the only one before studies recorded which."""
        evaluator = self._part_name("evaluator")
        return evaluator == "train" if evaluator else any("train" in one for one in self._configurations)

    @cached_property
    def _configurations(self) -> Sequence[Mapping[str, Any]]:
        """The resolved study, if it can be read, and the configurations of the runs."""
        try:
            resolved = plain_yaml.load(self.study.study_yaml, "the configuration of the study")
        except UserError:
            resolved = None
        return [one for one in (resolved, *self.study.configurations.values()) if isinstance(one, Mapping)]

    def _part_name(self, section: str) -> str | None:
        for configuration in self._configurations:
            part = configuration.get(section)
            name = part.get("name") if isinstance(part, Mapping) else part
            if isinstance(name, str):
                return name
        return None


def held_text(candidate: Candidate) -> str:
    """The insertions of a candidate on one line, as ``site=module``; ``none`` for the plain network."""
    return " ".join(f"{site}={label(insertion)}" for site, insertion in candidate.insertions) or "none"


def _conditions(latency: Latency) -> tuple[str, int, str, int]:
    return latency.device, latency.threads, latency.precision, latency.batch
