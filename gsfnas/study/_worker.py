"""A worker: asks for a run, measures it, tells the storage; until there is nothing left."""

import gc
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from gsfnas import checked
from gsfnas.errors import UserError
from gsfnas.escape import printable
from gsfnas.evaluator import Context, Evaluator, Measurement
from gsfnas.record import Epoch, Record
from gsfnas.study._checkpoints import disk_full, is_disk_full, looks_full
from gsfnas.study._desk import Claim, Desk
from gsfnas.study._elsewhere import Known
from gsfnas.study._job import Job
from gsfnas.study._storage import Run, StudyStorage, failed

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Event:
    """What a worker tells its parent: a run begins (or is taken up), moves on, ends."""

    kind: Literal["begin", "progress", "end"]
    record: Record | None = None
    done: int = 0
    total: int = 0
    text: str = ""


Tell = Callable[[Event], None]


def work(job: Job, device: str, threads: int, tell: Tell) -> None:
    """Evaluates runs until none is left. The evaluator is made and prepared when the first one comes.

    Raises UserError for what the user must mend: the run then stays as it is and is taken up by the same command.
    """
    storage = StudyStorage(job.folder, job.settings.name, "write")
    desk = Desk(job, storage)
    evaluator: Evaluator | None = None
    held: Claim | None = None
    try:
        while (claim := desk.next()) is not None:
            if claim == "wait":
                time.sleep(_POLL_SECONDS)
                continue
            held = claim
            tell(Event("begin", claim.run.record, total=job.budget))
            if claim.known is not None:
                record = adopt(job, storage, claim, claim.known)
            else:
                if evaluator is None:
                    evaluator = job.make_evaluator()
                    evaluator.prepare(job.space, Context(job.checkpoints, device, threads, _progress(tell)))
                record = evaluate(job, storage, evaluator, claim, device)
            desk.finish(claim, record)
            tell(Event("end", record))
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(job.folder) from None
        raise
    finally:
        # Whoever comes next in this process, after Ctrl-C in a notebook say, must find the run free.
        if held is not None:
            held.lock.release()
        if evaluator is not None:
            evaluator.close()


def adopt(job: Job, storage: StudyStorage, claim: Claim, known: Known) -> Record:
    """A run that another study made, as this study's: the same candidate under the same seed, recipe and data."""
    known.write(claim.run, storage, job.checkpoints)
    told = known.record
    record = replace(claim.run.record, outcome="complete", metrics=told.metrics, curve=told.curve, source=told.source)
    return replace(record, device=told.device, seconds=told.seconds)


def evaluate(job: Job, storage: StudyStorage, evaluator: Evaluator, claim: Claim, device: str) -> Record:
    """One run from where it stands to its end: complete, or failed with the reason. Each epoch is stored as it comes."""
    record = replace(claim.run.record, device=device)
    started = time.monotonic()
    try:
        last = _measure(job, storage, evaluator, claim.run)
    except UserError:
        raise
    except Exception as error:
        if is_disk_full(error) or looks_full(job.checkpoints, record):
            raise disk_full(job.checkpoints, record) from None
        reason = one_line(error)
        error.__traceback__ = None
        _free_memory()
        return failed(record, reason, seconds=time.monotonic() - started)
    seconds = float(last.metrics.get("seconds", time.monotonic() - started))
    return replace(record, outcome="complete", metrics=dict(last.metrics), seconds=seconds)


def _measure(job: Job, storage: StudyStorage, evaluator: Evaluator, run: Run) -> Measurement:
    """Runs an evaluation, from its newest checkpoint where there is one, and returns the last measurement.

    A checkpoint may be newer than what is stored. Where the evaluator does not tell the epochs between once more, the run
    starts afresh: a curve never lacks an epoch. An epoch that stands there already is not written again.
    """
    last = None
    curve = {epoch.epoch: epoch for epoch in run.record.curve}
    for measurement in _resumed(job, evaluator, run):
        due = last.epoch + 1 if last is not None else max(curve, default=0) + 1
        if not (last.epoch if last is not None else 0) < measurement.epoch <= due:
            raise RuntimeError(f"the evaluator told epoch {measurement.epoch} where epoch {due} is due")
        # Plain numbers, whatever library they come from: JSON keeps no other.
        metrics = {name: value if type(value) is int else float(value) for name, value in measurement.metrics.items()}
        for name, value in metrics.items():
            if not abs(value) <= checked.LARGEST:
                raise FloatingPointError(f"{name} is {value} after epoch {measurement.epoch}")
        checkpoint = measurement.checkpoint
        place = str(checkpoint.relative_to(job.folder)) if checkpoint and checkpoint.is_relative_to(job.folder) else None
        epoch = Epoch(measurement.epoch, metrics, place)
        if curve.get(epoch.epoch) != epoch:
            storage.add_epoch(run, epoch)
        curve[epoch.epoch] = epoch
        last = replace(measurement, metrics=metrics)
    if last is None or not last.is_last:
        raise RuntimeError(f"the evaluator ended after {last.epoch if last else 0} of {job.budget} epochs")
    if "val_top1" not in last.metrics:
        raise RuntimeError("the evaluator measured no val_top1")
    return last


def _resumed(job: Job, evaluator: Evaluator, run: Run) -> Iterator[Measurement]:
    known = [epoch for epoch in run.record.curve if epoch.checkpoint]
    path = job.folder / known[-1].checkpoint if known and known[-1].checkpoint else None
    resume_from = path if path is not None and path.exists() else None
    options = {"seed": run.record.seed, "budget": job.budget}
    stream = iter(evaluator.evaluate(run.record.candidate, resume_from=resume_from, **options))
    first = next(stream, None)
    if first is not None and first.epoch > (run.record.curve[-1].epoch if run.record.curve else 0) + 1:
        shutil.rmtree(job.checkpoints / run.folder_name, ignore_errors=True)
        stream = iter(evaluator.evaluate(run.record.candidate, resume_from=None, **options))
        first = next(stream, None)
    if first is not None:
        yield first
        yield from stream


def one_line(error: BaseException) -> str:
    """``Kind: first line of what it says``, at most 200 characters, none of which a terminal would obey."""
    said = next(iter(str(error).splitlines()), "")
    return printable(f"{type(error).__name__}: {said}".rstrip(": ")[:200])


def _free_memory() -> None:
    """Gives back what a failed run held, so that the next one does not run out of memory for its sake."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _progress(tell: Tell) -> Callable[[int, int, str], None]:
    """What an evaluator calls at every step, thinned to a few times a second."""
    latest = 0.0

    def on_progress(done: int, total: int, text: str) -> None:
        nonlocal latest
        if time.monotonic() - latest > 0.2:
            latest = time.monotonic()
            tell(Event("progress", done=done, total=total, text=text))

    return on_progress
