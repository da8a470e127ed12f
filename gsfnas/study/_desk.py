"""Who does what next. Workers ask here, one at a time under a lock, and meet nowhere else.

A running trial belongs to whoever holds the lock on its file. Where nobody does, its process has died or was stopped, and the
next worker that asks takes it up.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gsfnas.candidate import Candidate
from gsfnas.errors import UserError
from gsfnas.record import Phase, Record, best
from gsfnas.space import BoundRows
from gsfnas.study import _propose
from gsfnas.study._checkpoints import clean
from gsfnas.study._elsewhere import Elsewhere, Known
from gsfnas.study._job import Job
from gsfnas.study._locks import FileLock
from gsfnas.study._seeds import run_id, training_seed
from gsfnas.study._storage import Run, StudyStorage, failed

_MAX_DEATHS = 3
_HOPELESS = 3


@dataclass(frozen=True)
class Claim:
    """A run that is this worker's until it ends: ``is_new`` unless begun before; ``known`` where another study made it."""

    run: Run
    lock: FileLock
    is_new: bool
    known: Known | None = None


class Desk:
    """Gives out runs: those left behind, then new candidates, then replicates of the anchors and the best, or of every row."""

    def __init__(self, job: Job, storage: StudyStorage) -> None:
        self.job, self.storage = job, storage
        self._elsewhere = Elsewhere(job.folder, job.recipe, job.data, job.budget)

    def next(self) -> Claim | Literal["wait"] | None:
        """The next run; "wait" while another's result decides what comes; None where nothing is left.

        Raises UserError where the first candidates have all failed for one reason.
        """
        with self.storage.claiming():
            runs = self.storage.runs()
            running = [run for run in runs if run.record.outcome == "running"]
            for run in running:
                lock = self._own(run.record)
                if lock is None:
                    continue
                if lock.left == self.job.call:
                    # Whoever held it within this call neither ended the run nor gave it back.
                    run = self.storage.add_death(run)
                if run.deaths < _MAX_DEATHS:
                    known = None if run.record.curve else self._elsewhere.find(run.record.run_id)
                    return Claim(run, lock, is_new=False, known=known)
                self._end(Claim(run, lock, is_new=False), failed(run.record, f"its process died {run.deaths} times"))
                return "wait"
            main = [run.record for run in runs if run.part == "main"]
            _give_up_where_hopeless(main, self.job)
            if self._wants_candidate(len(main)):
                if self._must_wait(main):
                    return "wait"
                proposal = _propose.propose(self.job.settings, self.job.space, self.storage.design, main)
                assert proposal is not None
                return self._claim(*proposal, number=len(main), replicate=0)
            if any(run.part == "main" for run in running) and not isinstance(self.job.space, BoundRows):
                return "wait"
            for candidate, replicate in missing_replicates(self.job, [run.record for run in runs]):
                return self._claim(candidate, "replicate", number=len(runs), replicate=replicate)
            return "wait" if running else None

    def sweep(self) -> None:
        """Removes what a kill in the last instant of a run has left: its lock file, its checkpoints.

        No study puts a link in the place of a run's folder: what it leads to is not ours to write and to remove, so it goes.
        """
        with self.storage.claiming():
            runs = self.storage.runs()
            running = {run.folder_name for run in runs if run.record.outcome == "running"}
            for path in _of_runs(self.job.checkpoints):
                if path.is_symlink():
                    path.unlink()
            for path in _of_runs(self.job.folder / "locks"):
                lock = None if path.name in running else FileLock.take(path)
                # A worker of a call that was killed may live for an instant longer than that call.
                if lock is not None:
                    path.unlink(missing_ok=True)
                    lock.release()
            clean(self.job.checkpoints, runs, _propose.anchors(self.job.space))

    def finish(self, claim: Claim, record: Record) -> None:
        """Ends a run and removes the checkpoints that nobody needs any more."""
        with self.storage.claiming():
            self._end(claim, record)

    def num_left(self, records: Sequence[Record]) -> int:
        """Runs that are still to be finished, as far as can be told now."""
        main = [record for record in records if record.phase != "replicate"]
        running = sum(record.outcome == "running" for record in records)
        if not self._wants_candidate(len(main)):
            if any(record.outcome == "running" for record in main):
                return running + max(0, num_replicate_runs(self.job) - (len(records) - len(main)))
            return running + len(missing_replicates(self.job, records))
        target = min(self.job.settings.trials, _propose.distinct_candidates(self.job.space))
        return running + target - len(main) + num_replicate_runs(self.job)

    def _wants_candidate(self, num_known: int) -> bool:
        job = self.job
        in_time = job.deadline is None or time.time() < job.deadline
        return in_time and num_known < min(job.settings.trials, _propose.distinct_candidates(job.space))

    def _must_wait(self, main: Sequence[Record]) -> bool:
        """Whether the sampler's next proposal rests on a result that is not there yet."""
        job = self.job
        if isinstance(job.space, BoundRows):
            return False
        num_given = len(_propose.anchors(job.space)) + len(self.storage.design)
        known = main[: _propose.num_known(job.settings, len(main))]
        return len(main) >= num_given and any(record.outcome == "running" for record in known)

    def _claim(self, candidate: Candidate, phase: Phase, *, number: int, replicate: int) -> Claim:
        job = self.job
        seed = training_seed(job.settings.seed, candidate.key, replicate)
        record = Record(
            number=number,
            candidate=candidate,
            phase=phase,
            outcome="running",
            seed=seed,
            replicate=replicate,
            cost=dict(job.price(candidate)),
            run_id=run_id(candidate.key, seed, job.recipe, job.data),
            environment=job.environment,
            configuration=job.configuration,
        )
        lock = self._own(record)
        assert lock is not None, "a run that has not begun is nobody's"
        known = self._elsewhere.find(record.run_id)
        if known is not None:
            known.write_names(self.storage)
            record = replace(record, environment=known.record.environment, configuration=known.record.configuration)
        return Claim(self.storage.start(record, job.space), lock, is_new=True, known=known)

    def _own(self, record: Record) -> FileLock | None:
        lock = FileLock.take(self.job.folder / "locks" / f"{record.candidate.key}-{record.seed}")
        if lock is not None:
            lock.note(self.job.call)
        return lock

    def _end(self, claim: Claim, record: Record) -> None:
        self.storage.finish(claim.run, record)
        claim.lock.path.unlink(missing_ok=True)
        claim.lock.release()
        clean(self.job.checkpoints, self.storage.runs(), _propose.anchors(self.job.space))


def _of_runs(folder: Path) -> list[Path]:
    """What lies in a folder under the name of a run."""
    return [path for path in folder.iterdir() if re.fullmatch(r"c1-[0-9a-f]{16}-[0-9]+", path.name)] if folder.is_dir() else []


def num_replicate_runs(job: Job) -> int:
    """Further seeds: of every row, or else of the two anchors and the best, if the best is none of the anchors."""
    named = min(len(_propose.anchors(job.space)) + 1, _propose.distinct_candidates(job.space))
    if isinstance(job.space, BoundRows):
        named = min(job.settings.trials, job.space.size)
    return named * (job.settings.replicates - 1)


def missing_replicates(job: Job, records: Sequence[Record]) -> list[tuple[Candidate, int]]:
    """Candidates and replicates that were not begun; only of candidates that are complete."""
    main = [record for record in records if record.phase != "replicate"]
    complete = {record.candidate for record in main if record.outcome == "complete"}
    top = best(main)
    named = dict.fromkeys([*_propose.anchors(job.space), *([top.candidate] if top else [])])
    if isinstance(job.space, BoundRows):
        named = dict.fromkeys(record.candidate for record in main)
    begun = {(record.candidate, record.replicate) for record in records}
    wanted = ((candidate, replicate) for replicate in range(1, job.settings.replicates) for candidate in named)
    return [
        (candidate, replicate)
        for candidate, replicate in wanted
        if candidate in complete and (candidate, replicate) not in begun
    ]


def _give_up_where_hopeless(main: Sequence[Record], job: Job) -> None:
    ended = [record for record in main if record.outcome != "running"]
    reasons = {re.sub(r"[\d.]+", "#", record.error or "") for record in ended}
    if len(ended) >= _HOPELESS and len(reasons) == 1 and all(record.outcome == "failed" for record in ended):
        cure = f"mend this, then remove {job.folder} or choose another study.name"
        raise UserError(f"the first {len(ended)} candidates all failed: {ended[-1].error}; {cure}")
