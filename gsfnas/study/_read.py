"""Lists studies, loads one as a record, and plans a new one. Reading takes no lock and changes nothing."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from gsfnas.component import find
from gsfnas.errors import UserError, unknown
from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric
from gsfnas.record import Record, StudyRecord, best
from gsfnas.samplers import Design, anchors, distinct_candidates
from gsfnas.seeds import run_id, training_seed
from gsfnas.space import BoundRows, BoundSpace
from gsfnas.storages import STORAGES, Storage, StudyStorage
from gsfnas.study._run_cache import RunCache
from gsfnas.study._settings import StudySettings, check_name

Status = Literal["running", "unfinished", "complete", "unreadable"]


@dataclass(frozen=True)
class StudySummary:
    """One study in a list.

    ``done`` counts the evaluated candidates, including ``failed`` ones; ``asked`` is the number of candidates requested;
    ``changed`` is the time of the last write. ``status`` is ``complete`` if the requested candidates (or the whole space) and
    their replicates are evaluated, and ``unreadable`` if the study cannot be read; ``problem`` then says why, in one line.
    """

    name: str
    status: Status
    done: int
    failed: int
    asked: int
    best: Record | None
    changed: datetime
    problem: str | None = None
    objectives: tuple[Metric, ...] = DEFAULT_OBJECTIVES


@dataclass(frozen=True)
class StudyPlan:
    """The number of runs of a study by kind. ``seconds`` is the estimated wall time of all runs with all workers.

    ``known`` of the runs are reused from other studies. It is 0 for a search, whose proposals are not known beforehand.
    """

    anchors: int
    design: int
    search: int
    replicates: int
    seconds: float
    rows: int = 0
    known: int = 0

    @property
    def candidates(self) -> int:
        return self.anchors + self.design + self.search + self.rows


def plan_study(
    settings: StudySettings,
    space: BoundSpace,
    storage: Storage,
    seconds_per_candidate: float,
    *,
    workers: int = 1,
    recipe: str = "",
    data: str = "",
    budget: int = 0,
    replicates_all: bool = False,
) -> StudyPlan:
    """The runs of a new study, and their time if one run takes ``seconds_per_candidate``.

    ``recipe``, ``data`` and ``budget`` are those of the study's evaluator; runs of other studies with the same ones are reused.
    ``replicates_all`` says whether the sampler evaluates every candidate with all seeds.
    """
    candidates = min(settings.trials, distinct_candidates(space))
    if isinstance(space, BoundRows):
        replicates = candidates * (settings.replicates - 1)
        cache = RunCache(settings.folder, storage, recipe, data, budget)
        seeds = [
            (candidate.key, training_seed(settings.seed, candidate.key, replicate))
            for candidate in space.candidates[:candidates]
            for replicate in range(settings.replicates)
        ]
        known = sum(cache.find(run_id(key, seed, recipe, data)) is not None for key, seed in seeds)
        # Named candidates do not depend on earlier results, so workers are idle only in the last round.
        rounds = -(-(candidates + replicates - known) // workers)
        return StudyPlan(0, 0, 0, replicates, rounds * seconds_per_candidate, rows=candidates, known=known)
    num_anchors = min(candidates, len(anchors(space)))
    design = Design(settings.initial_fraction).num_points(space, settings.trials)
    replicated = candidates if replicates_all else min(candidates, num_anchors + 1)
    replicates = replicated * (settings.replicates - 1)
    rounds = -(-candidates // workers) + -(-replicates // workers)
    return StudyPlan(num_anchors, design, candidates - num_anchors - design, replicates, rounds * seconds_per_candidate)


def study_names(runs: str | Path, kept_in: Storage | None = None) -> list[str]:
    """The sorted names of the studies under ``runs``, unreadable ones included. Raises UserError if ``runs`` cannot be read."""
    folder = Path(runs)
    try:
        return sorted(path.name for path in folder.iterdir() if _is_held(path) or (kept_in is not None and kept_in.holds(path)))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror or error}") from None


def list_studies(runs: str | Path = "runs", kept_in: Storage | None = None) -> list[StudySummary]:
    """Every study under ``runs``, newest first. For a study that cannot be read, the summary says why.

    ``kept_in`` is a storage to look for studies in, in addition to the built-in ones. Raises UserError if the folder ``runs``
    cannot be read.
    """
    summaries = []
    for name in study_names(runs, kept_in):
        try:
            summaries.append(summarise_study(runs, name, kept_in))
        except UserError as error:
            summaries.append(_unreadable(Path(runs) / name, str(error)))
    return sorted(summaries, key=lambda summary: summary.changed, reverse=True)


def summarise_study(runs: str | Path, name: str, kept_in: Storage | None = None) -> StudySummary:
    """The summary of one study. Raises UserError if there is no such study, or it cannot be read."""
    storage = open_study(runs, name, kept_in)
    record = read_study(storage)
    ended = [run for run in record.records if run.outcome != "running"]
    asked = storage.asked.trials if storage.asked else 0
    keeper = kept_in if kept_in is not None and kept_in.holds(storage.folder) else find_storage(storage.folder)
    status: Status = "running" if keeper.is_running(storage.folder) else "complete" if storage.is_complete else "unfinished"
    changed = datetime.fromtimestamp(storage.last_change() or time.time()).astimezone()
    num_failed = sum(run.outcome == "failed" for run in ended)
    return StudySummary(
        name,
        status,
        len(ended),
        num_failed,
        asked,
        best(record.records, record.objectives),
        changed,
        objectives=record.objectives,
    )


def load_study(runs: str | Path, name: str, kept_in: Storage | None = None) -> StudyRecord:
    """All results of a study so far; ``kept_in`` is its storage, unless that is a built-in one.

    Raises UserError if there is no such study, or it cannot be read.
    """
    return read_study(open_study(runs, name, kept_in))


def data_of_study(runs: str | Path, name: str) -> str:
    """The fingerprint of the data that a study was started with. Raises UserError if there is no such study."""
    header = open_study(runs, name).header
    assert header is not None
    return str(header.identity["data"])


def open_study(runs: str | Path, name: str, kept_in: Storage | None = None) -> StudyStorage:
    """Opens a study for reading. Raises UserError if there is no such study, or it cannot be read."""
    check_name(name, "the name of a study")
    folder = Path(runs) / name
    if kept_in is not None and kept_in.holds(folder):
        return kept_in.open(folder, name)
    if not _is_held(folder):
        begun = study_names(runs, kept_in)
        if not begun:
            raise UserError(f"unknown study {name!r}: none was begun in {str(runs)!r}; begin one with gsfnas study run NAME")
        where = f"these were begun in {str(runs)!r}; begin another with gsfnas study run NAME"
        raise UserError(f"{unknown('study', name, begun)}: {where}")
    return find_storage(folder).open(folder, name)


def read_study(storage: StudyStorage) -> StudyRecord:
    """Reads the record of an open study."""
    header, runs = storage.header, storage.runs()
    assert header is not None
    return StudyRecord(
        name=storage.name,
        space=header.space,
        space_size=header.space_size,
        sites=header.sites,
        classes=header.classes,
        records=_ordered([run.record for run in runs if run.part == "main"]),
        replicates=_ordered([run.record for run in runs if run.part == "measurements"]),
        latencies=storage.latencies(),
        protocols=storage.protocols(),
        environments=storage.environments,
        configurations=storage.configurations,
        study_yaml=storage.asked.study_yaml if storage.asked else "",
        rows=header.rows,
        space_interval=header.space_interval,
        bounds=header.bounds,
        objectives=header.objectives,
    )


def _ordered(records: Sequence[Record]) -> tuple[Record, ...]:
    return tuple(sorted(records, key=lambda record: record.number))


def find_storage(folder: Path) -> Storage:
    """The built-in storage that holds the study in ``folder``, or the first built-in one if none does."""
    storages: list[Storage] = [find(name, STORAGES, "storage")() for name in STORAGES]
    return next((storage for storage in storages if storage.holds(folder)), storages[0])


def _is_held(folder: Path) -> bool:
    return find_storage(folder).holds(folder)


def _unreadable(folder: Path, problem: str) -> StudySummary:
    try:
        changed = max((os.lstat(path).st_mtime for path in folder.glob("*.log")), default=0.0)
    except OSError:
        changed = 0.0
    return StudySummary(folder.name, "unreadable", 0, 0, 0, None, datetime.fromtimestamp(changed).astimezone(), problem)
