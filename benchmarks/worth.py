"""Whether a report's intervals hold what they say: simulated studies on a table, with the seeds they did not see as the truth.

python benchmarks/worth.py                          200 studies on the table placement, minutes
python benchmarks/worth.py --studies 50 --out worth.csv

Each study has the default study's candidates, sampler and replicates and a seed of its own, and takes its runs from the table.
The truth of a site is the mean difference with and without it over all placements, in the runs that the study did not see.
The least squares of main effects over anchors and design, by which reports judged sites before, stand beside.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _measure import Parser, positive, print_wide, run
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gsfnas.api import bind_space
from gsfnas.config import compose_study
from gsfnas.evaluators.benchmark import BenchmarkTable, read_table
from gsfnas.evaluators.table import permutation
from gsfnas.record import Record
from gsfnas.report._effects import Effect, _least_squares
from gsfnas.report._worth import Run, worth_of
from gsfnas.samplers import TPE, History, chain
from gsfnas.space import BoundSpace
from gsfnas.study._scheduler import before_lag, begun

METRIC = "test_top1"
METHODS = ("model", "least squares")


@dataclass(frozen=True)
class Row:
    """One site in one study: estimate and 95 % interval by one method, and the truth, as fractions."""

    study: int
    method: str
    model: str
    site: str
    value: float
    low: float
    high: float
    truth: float

    @property
    def is_held(self) -> bool:
        return self.low <= self.truth <= self.high

    @property
    def is_wrong(self) -> bool:
        """Decided, and the other way round."""
        return (self.low > 0 and self.truth < 0) or (self.high < 0 and self.truth > 0)


def simulate(table: BenchmarkTable, space: BoundSpace, seed: int, trials: int, lag: int, seeds: int) -> list[Record]:
    """The runs of a default study of this ``seed``, taken from the table in the order in which one worker would."""
    history = History(space, seed, trials, seeds, table.epochs)
    samplers = chain(space, TPE(), 0.5)
    for sampler in samplers:
        history = replace(history, points=tuple(sampler.plan(history)))
    while True:
        for sampler in samplers:
            seen = before_lag(history, lag) if sampler.sees == "lagged" else history
            proposal = sampler.propose(seen, begun(history))
            if proposal is not None and (proposal.replicate or history.wants_candidates):
                break
        else:
            return [*history.records, *history.replicates]
        key = proposal.candidate.key
        chosen = permutation(seed, key, table.num_seeds)[proposal.replicate]
        number = len(history.records) + (len(history.replicates) if proposal.replicate else 0)
        phase = "replicate" if proposal.replicate else sampler.phase
        metrics = table.query(proposal.candidate, chosen)
        record = Record(number, proposal.candidate, phase, "complete", seed, proposal.replicate, table.costs[key], metrics)
        if proposal.replicate:
            history = replace(history, replicates=(*history.replicates, record))
        else:
            history = replace(history, records=(*history.records, record))


def truths(table: BenchmarkTable, seed: int, runs: list[Record]) -> dict[str, float]:
    """Site -> its worth in the runs that the study did not see."""
    used: dict[str, set[int]] = {}
    for one in runs:
        order = permutation(seed, one.candidate.key, table.num_seeds)
        used.setdefault(one.candidate.key, set()).add(order[one.replicate])
    means = {}
    for key in table.candidates:
        # Where all were seen, which holds for no more than three candidates of a table of three seeds, all must do.
        left = set(range(table.num_seeds)) - used.get(key, set()) or set(range(table.num_seeds))
        means[key] = np.mean([table.query(key, replicate)[METRIC] for replicate in left])
    found = {}
    for site in table.options:
        held = {key: any(name == site for name, _ in one.insertions) for key, one in table.candidates.items()}
        with_it, without = ([means[key] for key in means if held[key] == wanted] for wanted in (True, False))
        found[site] = float(np.mean(with_it) - np.mean(without))
    return found


def least_squares(runs: list[Record], sites: list[str]) -> list[Effect]:
    """Main effects over anchors and design with intervals by Student's t; empty where they are too few."""
    used = [one for one in runs if one.phase in ("anchor", "design")]
    held = [{name for name, _ in one.candidate.insertions} for one in used]
    columns = np.array([[float(site in names) for site in sites] for names in held]).reshape(len(used), len(sites))
    fit = _least_squares(columns, np.array([one.metrics[METRIC] for one in used]), spare=2)
    if fit is None:
        return []
    values, halves, *_ = fit
    return [
        Effect(site, value, value - half, value + half, 0, len(used))
        for site, value, half in zip(sites, values[1:], halves[1:], strict=True)
    ]


def rows_of(table: BenchmarkTable, space: BoundSpace, study: int, trials: int, lag: int, seeds: int) -> Iterator[Row]:
    runs = simulate(table, space, study, trials, lag, seeds)
    truth = truths(table, study, runs)
    sites = [site.name for site in space.sites]
    worth = worth_of([Run(one.candidate, one.metrics[METRIC]) for one in runs], sites)
    for method, model, effects in (("model", worth.model, worth.sites), ("least squares", "", least_squares(runs, sites))):
        for effect in effects:
            if effect.value is not None and effect.low is not None and effect.high is not None:
                yield Row(study, method, model, effect.name, effect.value, effect.low, effect.high, truth[effect.name])


def main() -> bool:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="placement", help="a shipped one, or the folder of one; default: %(default)s")
    parser.add_argument(
        "--study", default="placement", metavar="NAME", help="its trials, lag and replicates; default: %(default)s"
    )
    parser.add_argument("--studies", type=positive, default=200, help="default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every interval there, as CSV")
    arguments = parser.parse_args()
    table = read_table(arguments.table)
    settings = compose_study(arguments.study).study
    one = next(iter(table.candidates.values()))
    config = compose_study(arguments.study, [f"space={table.card['space']}"])
    space = bind_space(config.space, one.backbone.name, dict(one.backbone.options), one.frames, one.resolution)
    seeds = min(settings.replicates, table.num_seeds)
    rows = [
        row
        for study in track(range(arguments.studies), "studies", console=Console(stderr=True))
        for row in rows_of(table, space, study, settings.trials, settings.lag, seeds)
    ]
    if arguments.out is not None:
        with arguments.out.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(Row.__dataclass_fields__)
            writer.writerows([getattr(row, name) for name in Row.__dataclass_fields__] for row in rows)
    show(rows, arguments.studies, f"{settings.trials} candidates, {seeds} seeds of three of them, table {table.name}")
    return False


def show(rows: list[Row], studies: int, what: str) -> None:
    shown = Table(title=f"{studies} simulated studies of {what}", title_justify="left")
    for column in ("method", "intervals", "hold the truth", "wrong sign", "median width", "decided"):
        shown.add_column(column, justify="left" if column == "method" else "right")
    for method in METHODS:
        mine = [row for row in rows if row.method == method]
        if not mine:
            continue
        held, wrong = (np.mean([getattr(row, name) for row in mine]) for name in ("is_held", "is_wrong"))
        width = np.median([row.high - row.low for row in mine])
        decided = np.mean([row.low > 0 or row.high < 0 for row in mine])
        shown.add_row(method, f"{len(mine):,}", f"{held:.1%}", f"{wrong:.1%}", f"{100 * width:.2f} points", f"{decided:.0%}")
    print_wide(shown)
    models = [row.model for row in rows if row.method == "model"]
    print("models: " + ", ".join(f"{name} {models.count(name) / len(models):.0%}" for name in sorted(set(models))))


if __name__ == "__main__":
    sys.exit(run(main))
