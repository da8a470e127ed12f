"""A worker: gets a run from the scheduler, evaluates it and stores the result, until nothing is left."""

import gc
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gsfnas import checked
from gsfnas.component import blaming, where
from gsfnas.errors import UserError, one_line, shown, with_article
from gsfnas.evaluators.base import Context, Evaluator, Measurement
from gsfnas.files import exclusive, write
from gsfnas.metrics import metric_of
from gsfnas.record import Epoch, Record
from gsfnas.seeds import digest
from gsfnas.stoppers import NoStopper
from gsfnas.storages.base import Run, StudyStorage
from gsfnas.study._checkpoints import disk_full, is_disk_full, looks_full
from gsfnas.study._job import Job, history_of
from gsfnas.study._run_cache import CachedRun
from gsfnas.study._scheduler import Assignment, Scheduler, failed

_POLL_SECONDS = 0.2
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Event:
    """A message of a worker to its parent: a run begins (or is resumed), makes progress, or ends."""

    kind: Literal["begin", "progress", "end"]
    record: Record | None = None
    done: int = 0
    total: int = 0
    text: str = ""


Tell = Callable[[Event], None]


class StoppedError(Exception):
    """Raised when a stopper ends a run; the message says after which epoch."""


@dataclass(frozen=True)
class Work:
    """The task of a worker: evaluates runs of a job until none is left."""

    job: Job

    @property
    def devices(self) -> int:
        return self.job.evaluator.devices

    def __call__(self, device: str, threads: int, tell: Tell) -> None:
        """Raises UserError for an error that the user must fix; the run then stays unfinished and can be resumed."""
        job = self.job
        storage = job.open()
        scheduler = Scheduler(job, storage)
        is_prepared = False
        held: Assignment | None = None
        try:
            while (assignment := scheduler.next()) is not None:
                if assignment == "wait":
                    time.sleep(_POLL_SECONDS)
                    continue
                held = assignment
                tell(Event("begin", assignment.run.record, total=job.budget))
                if assignment.cached is not None:
                    record = reuse(job, storage, assignment, assignment.cached)
                else:
                    if not is_prepared:
                        is_prepared = True
                        prepare(job, Context(job.checkpoints, device, threads, _progress(tell), job.settings.seed))
                    record = evaluate(job, storage, assignment, device)
                record = with_objectives(job, storage, record)
                scheduler.finish(assignment, record)
                tell(Event("end", record))
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(job.folder) from None
            raise
        finally:
            # The process may live on, for example after Ctrl-C in a notebook; the run must then be free for the next call.
            if held is not None:
                held.claim.release()
            if is_prepared:
                job.evaluator.close()


def prepare(job: Job, context: Context) -> None:
    """Does the work that all runs share: once per study, by the first worker, and once per process.

    A file marks the work for the study as done once it has ended. If that worker is killed, the next one starts it again.
    """
    evaluator = job.evaluator
    if type(evaluator).prepare_once is not Evaluator.prepare_once:
        done = job.folder / f"prepared-{digest({'recipe': job.recipe, 'data': job.data})}"
        with exclusive(job.folder / "prepare.lock"):
            if not done.exists():
                with blaming(evaluator, "evaluator"):
                    evaluator.prepare_once(job.space, context)
                write(done, "")
    with blaming(evaluator, "evaluator"):
        evaluator.prepare(job.space, context)


def reuse(job: Job, storage: StudyStorage, assignment: Assignment, cached: CachedRun) -> Record:
    """Reuses a run of another study with the same candidate, seed, recipe and data; returns the record for this study."""
    cached.write(assignment.run, storage, job.checkpoints)
    told = cached.record
    record = replace(assignment.run.record, outcome="complete", metrics=told.metrics, curve=told.curve, source=told.source)
    return replace(record, device=told.device, seconds=told.seconds)


def with_objectives(job: Job, storage: StudyStorage, record: Record) -> Record:
    """The record, as failed if it is complete but lacks an objective.

    Raises UserError if no run of the study has had all objectives, since then none ever will.
    """
    missing = [metric.key for metric in job.settings.metrics if record.value(metric) is None]
    if record.outcome != "complete" or not missing:
        return record
    given = ", ".join(sorted(record.metrics)) or "nothing"
    reason = f"the evaluator measured no {missing[0]}, an objective of the study; it measured {given}"
    if any(run.record.outcome == "complete" for run in storage.runs()):
        return failed(record, reason, metrics={})
    raise UserError(f"{reason}; choose study.objectives among these, with another study.name or without {job.folder}")


def evaluate(job: Job, storage: StudyStorage, assignment: Assignment, device: str) -> Record:
    """Starts or resumes a run and evaluates it to its end, storing each epoch.

    The record returned is complete, or failed or stopped with the reason. Raises UserError for what the user must fix, such as
    a full disk.
    """
    record = replace(assignment.run.record, device=device)
    started = time.monotonic()
    try:
        last = _measure(job, storage, assignment.run)
    except UserError:
        raise
    except StoppedError as stopped:
        return replace(record, outcome="stopped", error=str(stopped), seconds=time.monotonic() - started)
    except Exception as error:
        if is_disk_full(error) or looks_full(job.checkpoints, record):
            raise disk_full(job.checkpoints, record) from None
        reason = one_line(error)
        error.__traceback__ = None
        _free_memory()
        return failed(record, reason, seconds=time.monotonic() - started)
    seconds = float(last.metrics.get("seconds", time.monotonic() - started))
    return replace(record, outcome="complete", metrics=dict(last.metrics), seconds=seconds)


def _measure(job: Job, storage: StudyStorage, run: Run) -> Measurement:
    """Evaluates a run, from its newest checkpoint if there is one, and returns the last measurement.

    The checkpoint may be newer than the stored curve. If the evaluator does not repeat the epochs in between, the run starts
    from scratch, so that a curve never lacks an epoch. An epoch that is stored already is not written again.
    """
    last = None
    curve = {epoch.epoch: epoch for epoch in run.record.curve}
    for measurement in _resumed(job, run):
        if not isinstance(measurement, Measurement):
            raise TypeError(f"an evaluator yields values of Measurement, but one is {shown(measurement)}")
        due = last.epoch + 1 if last is not None else max(curve, default=0) + 1
        if not (last.epoch if last is not None else 0) < measurement.epoch <= due:
            raise RuntimeError(f"the evaluator told epoch {measurement.epoch} where epoch {due} is due")
        # Converted to plain numbers, since JSON has no types of numpy or torch.
        metrics = {name: value if type(value) is int else float(value) for name, value in measurement.metrics.items()}
        for name, value in metrics.items():
            if not abs(value) <= checked.LARGEST:
                raise FloatingPointError(f"{name} is {value} after epoch {measurement.epoch}")
            # A mean that is computed in single precision may be a little above 1.
            if metric_of(name).is_fraction and not -_ROUNDING <= value <= 1 + _ROUNDING:
                raise ValueError(f"the evaluator measured {name} = {value}; it is a fraction, from 0 to 1")
        checkpoint = measurement.checkpoint
        place = str(checkpoint.relative_to(job.folder)) if checkpoint and checkpoint.is_relative_to(job.folder) else None
        epoch = Epoch(measurement.epoch, metrics, place)
        if curve.get(epoch.epoch) != epoch:
            storage.add_epoch(run, epoch)
        curve[epoch.epoch] = epoch
        last = replace(measurement, metrics=metrics)
        if not last.is_last and _stops(job, storage, replace(run.record, curve=tuple(curve.values()))):
            raise StoppedError(f"stopped after epoch {last.epoch} of {job.budget}")
    if last is not None and not last.is_last and last.epoch == job.budget:
        raise RuntimeError(f"no last measurement: the measurement of epoch {last.epoch} lacks is_last=True")
    if last is None or not last.is_last:
        raise RuntimeError(f"the evaluator ended after {last.epoch if last else 0} of {job.budget} epochs")
    return last


def _resumed(job: Job, run: Run) -> Iterator[Measurement]:
    known = [epoch for epoch in run.record.curve if epoch.checkpoint]
    path = job.folder / known[-1].checkpoint if known and known[-1].checkpoint else None
    resume_from = path if path is not None and path.exists() else None
    evaluator = job.evaluator
    options = {"seed": run.record.seed, "replicate": run.record.replicate, "budget": job.budget}
    stream = _stream(evaluator.evaluate(run.record.candidate, resume_from=resume_from, **options))
    first = next(stream, None)
    if isinstance(first, Measurement) and first.epoch > (run.record.curve[-1].epoch if run.record.curve else 0) + 1:
        shutil.rmtree(job.checkpoints / run.folder_name, ignore_errors=True)
        stream = _stream(evaluator.evaluate(run.record.candidate, resume_from=None, **options))
        first = next(stream, None)
    if first is not None:
        yield first
        yield from stream


def _stream(given: Iterable[Measurement]) -> Iterator[Measurement]:
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        got = "None" if given is None else with_article(type(given).__name__)
        raise TypeError(f"`evaluate` must yield Measurements, but returned {got}")
    return iter(given)


def _stops(job: Job, storage: StudyStorage, record: Record) -> bool:
    """Asks the stopper, which sees the runs up to ``lag`` before this one; all of those have ended.

    Replicates are never stopped, since they measure the variation between seeds at the full budget.
    """
    if isinstance(job.stopper, NoStopper) or record.replicate:
        return False
    history = history_of(job, storage, storage.runs())
    known = history.records[: max(0, record.number - job.settings.lag)]
    try:
        answer = job.stopper.stops(record, replace(history, records=known, replicates=()))
    except Exception as error:
        raise UserError(f"stopper {type(job.stopper).__qualname__!r} failed ({where(error)})") from error
    if not isinstance(answer, bool | np.bool_):
        raise UserError(f"stopper {type(job.stopper).__qualname__!r} must answer True or False, but got {shown(answer)}")
    return bool(answer)


def _free_memory() -> None:
    """Frees the memory of a failed run, so that the next one does not run out of it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _progress(tell: Tell) -> Callable[[int, int, str], None]:
    """A callback for every step of an evaluator, which passes on at most one event per 0.2 s."""
    latest = 0.0

    def on_progress(done: int, total: int, text: str) -> None:
        nonlocal latest
        if time.monotonic() - latest > 0.2:
            latest = time.monotonic()
            tell(Event("progress", done=done, total=total, text=text))

    return on_progress
