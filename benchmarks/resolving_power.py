"""Whether a data set, a network and a recipe can tell placements apart: random placements, each trained with several seeds.

python benchmarks/resolving_power.py --placements 8 --seeds 2          a pilot
python benchmarks/resolving_power.py data.difficulty=0.6 --workers 2   other data; any override of the placement study
python benchmarks/resolving_power.py backbone=micro data=twins train=quick   what the placement study asked at first

Besides the random placements the network without a module, the one with a module at every site and each single module are
trained. Every finished run is a row of OUT/runs.csv; the same command goes on where it was stopped, and trains nothing twice.
ICC is the share of the variance between placements that is not noise of the seeds (one-way random effects, of the seed means).
With 32 placements and 3 seeds on the placement study's data: at most 120 runs, by estimate 80 minutes on 2 CPU cores.
"""

import argparse
import csv
import dataclasses
import multiprocessing
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Parser, positive, print_wide, run
from _resolving import MIN_GROUP, Figures, best_single_share, figures
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gsfnas.api import bind_space
from gsfnas.candidate import Candidate
from gsfnas.config import compose_study
from gsfnas.data import DataSettings
from gsfnas.errors import UserError
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.seeds import derive, digest, training_seed
from gsfnas.space import BoundRows, BoundSpace
from gsfnas.train import TrainSettings

COLUMNS = ("key", "modules", "replicate", "seed", "val_top1", "test_top1", "seconds", "conditions", "candidate")
# Of a data set whose classes are the two directions of time, the most that a network blind to the order of frames can reach.
BLIND = 50.0


@dataclass(frozen=True)
class Bar:
    """A figure that is compared with ``limit``: at least that, or with ``is_at_most`` at most."""

    label: str
    value: float
    limit: float
    unit: str = ""
    is_at_most: bool = False

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit if self.is_at_most else self.value >= self.limit


@dataclass(frozen=True)
class Plan:
    """The candidates of a measurement; ``placements`` are the random ones."""

    empty: Candidate
    full: Candidate
    singles: tuple[Candidate, ...]
    placements: tuple[Candidate, ...]

    @property
    def candidates(self) -> list[Candidate]:
        return list(dict.fromkeys((self.empty, self.full, *self.placements, *self.singles)))


def plan(space: BoundSpace, num_placements: int, seed: int) -> Plan:
    """Draws distinct placements uniformly. Raises UserError for a space of rows, and for one with too few candidates."""
    if isinstance(space, BoundRows):
        raise UserError(f"the space must be one of modules at sites, but {space.name!r} is a list of candidates")
    if space.size < num_placements:
        raise UserError(f"--placements must be at most the {space.size} of space {space.name!r}, but got {num_placements}")
    generator = random.Random(derive("resolving power", seed))
    placements: dict[Candidate, None] = {}
    while len(placements) < num_placements:
        placements[space.sample(generator)] = None
    singles = tuple(
        dataclasses.replace(space.empty, insertions=((site.name, option),))
        for site, options in zip(space.sites, space.options, strict=True)
        for option in options
        if option is not None
    )
    return Plan(space.empty, space.full, singles, tuple(placements))


def main() -> bool:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="placement", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--placements", type=positive, default=32, help="default: %(default)s, at least 4")
    parser.add_argument("--seeds", type=positive, default=3, help="runs of each; default: %(default)s, at least 2")
    parser.add_argument("--workers", type=positive, default=2, help="runs at a time; default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs/resolving_power"), metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("overrides", nargs="*", help="of the study, such as data.train_clips=240 or backbone=micro_bottleneck")
    arguments = parser.parse_intermixed_args()
    for name, least in (("placements", 4), ("seeds", 2)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} must be at least {least}, but got {getattr(arguments, name)}")
    config = compose_study(arguments.study, arguments.overrides)
    space = bind_space(config.space, config.backbone, config.backbone_options, config.data.frames, config.data.resolution)
    chosen = plan(space, arguments.placements, config.study.seed)
    evaluator = TrainEvaluator(config.train, config.data)
    # Opened here, so that the workers find rendered clips in the cache.
    conditions = digest({"recipe": evaluator.identity.recipe, "data": evaluator.identity.data})
    wanted = [
        (candidate, replicate, training_seed(config.study.seed, candidate.key, replicate))
        for replicate in range(arguments.seeds)
        for candidate in chosen.candidates
    ]
    file = arguments.out / "runs.csv"
    rows = {(row["key"], int(row["seed"])): row for row in read_rows(file) if row["conditions"] == conditions}
    missing = [task for task in wanted if (task[0].key, task[2]) not in rows]
    if missing:
        # A warm start is trained here, and found by the workers.
        evaluator.prepare_once(space, Context(arguments.out / "checkpoints"))
    for row in _train(missing, config.train, config.data, arguments.out, arguments.workers):
        rows[row["key"], row["seed"]] = row = {**row, "conditions": conditions}
        append_row(file, row)
    accuracies = {
        candidate: 100
        * np.array([float(rows[candidate.key, seed]["test_top1"]) for one, _, seed in wanted if one == candidate])
        for candidate in chosen.candidates
    }
    show(chosen, accuracies, is_twins=config.data.name == "twins")
    return False


def _train(
    tasks: Sequence[tuple[Candidate, int, int]], train: TrainSettings, data: DataSettings, out: Path, workers: int
) -> Iterator[dict[str, Any]]:
    """The rows of the runs as they end."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=_begin, initargs=(train, data, out / "checkpoints")) as pool:
        runs = [pool.submit(_run, *task) for task in tasks]
        try:
            for finished in track(as_completed(runs), "runs", total=len(runs), console=Console(stderr=True)):
                yield finished.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_evaluator: TrainEvaluator | None = None


def _begin(train: TrainSettings, data: DataSettings, folder: Path) -> None:
    """Opens the data once in each process."""
    global _evaluator
    _evaluator = TrainEvaluator(train, data)
    _evaluator.prepare(None, Context(folder))


def _run(candidate: Candidate, replicate: int, seed: int) -> dict[str, Any]:
    assert _evaluator is not None, "the pool calls _begin first"
    *_, last = _evaluator.evaluate(candidate, seed=seed, replicate=replicate, budget=_evaluator.budget)
    measured = {name: f"{last.metrics[name]:.6f}" for name in ("val_top1", "test_top1", "seconds")}
    return {
        "key": candidate.key,
        "modules": len(candidate.insertions),
        "replicate": replicate,
        "seed": seed,
        **measured,
        "candidate": candidate.to_json(),
    }


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of earlier runs, none if there is no file. Raises UserError for a file with other columns."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{file} must have the columns {','.join(COLUMNS)}; choose another --out")
        # A row that a kill cut off is trained again.
        return [row for row in reader if row["candidate"]]


def append_row(file: Path, row: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def bars(found: Figures, empty: float, share: float, *, is_twins: bool) -> list[Bar]:
    """The figures that decide whether a search on these data is worth its runs, each with its bar; accuracies in percent."""
    rows = [
        Bar("ICC of the placements", found.icc, 0.8),
        Bar("range of the placements", found.range, 15, "points"),
        Bar("ICC among equal module counts", found.equal_count_icc, 0.5),
        Bar("range among equal module counts", found.equal_count_range, 10, "points"),
        Bar("Kendall's tau between seeds", found.kendall_tau, 0.7),
        Bar("best single module, share of what all gain", share, 0.6, is_at_most=True),
    ]
    if is_twins:
        rows += [
            Bar("no module, at most", empty, BLIND, "%", is_at_most=True),
            Bar("no module, at least", empty, BLIND / 3, "%"),
        ]
    return rows


def show(chosen: Plan, accuracies: dict[Candidate, Any], *, is_twins: bool) -> None:
    found = figures(
        np.stack([accuracies[candidate] for candidate in chosen.placements]),
        [len(candidate.insertions) for candidate in chosen.placements],
    )
    empty, full = accuracies[chosen.empty].mean(), accuracies[chosen.full].mean()
    singles = [accuracies[candidate].mean() for candidate in chosen.singles]
    share = best_single_share(empty, full, singles)
    seeds = len(accuracies[chosen.empty])
    table = Table(title=f"Test top-1 of {len(chosen.placements)} random placements x {seeds} seeds", title_justify="left")
    for column in ("figure", "value", "bar", ""):
        table.add_column(column, justify="right" if column in ("value", "bar") else "left")
    for bar in bars(found, empty, share, is_twins=is_twins):
        sign = "at most" if bar.is_at_most else "at least"
        said = "cannot tell" if np.isnan(bar.value) else "met" if bar.is_met else "missed"
        table.add_row(bar.label, f"{bar.value:.2f} {bar.unit}".rstrip(), f"{sign} {bar.limit:.4g}", said)
    print_wide(table)
    print(
        f"No module {empty:.1f} %, best single {max(singles):.1f} %, all {full:.1f} %; seeds have a standard deviation of "
        f"{found.seed_sd:.1f} points; one run alone has an ICC of {found.icc_single:.2f}, among equal counts "
        f"{found.equal_count_icc_single:.2f}. ICC, range and tau without the worst and the best placement; equal counts where "
        f"{MIN_GROUP} placements or more have them."
    )


if __name__ == "__main__":
    sys.exit(run(main))
