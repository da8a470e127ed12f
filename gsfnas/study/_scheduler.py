"""Decides which run a worker evaluates next. Workers ask one at a time, under a lock, and have no other contact.

A running trial belongs to the worker that holds its claim. If no worker does, the process has died or was stopped, and the next
worker that asks resumes the run.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from gsfnas.component import where
from gsfnas.errors import UserError, shown, with_article
from gsfnas.record import Phase, Record
from gsfnas.samplers import History, Proposal, Sampler, anchors, distinct_candidates
from gsfnas.seeds import run_id, training_seed
from gsfnas.stoppers import NoStopper
from gsfnas.storages.base import Claim, Run, StudyStorage
from gsfnas.storages.journal import files_of_runs
from gsfnas.study._checkpoints import clean
from gsfnas.study._job import Job, history_of
from gsfnas.study._run_cache import CachedRun, RunCache

_MAX_CRASHES = 3
_HOPELESS = 3


@dataclass(frozen=True)
class Assignment:
    """A run assigned to one worker until it ends. ``cached`` is the same run of another study, if there is one."""

    run: Run
    claim: Claim
    cached: CachedRun | None = None


class Scheduler:
    """Assigns runs: first those that a worker left unfinished, then proposals of the samplers, which are asked in turn."""

    def __init__(self, job: Job, storage: StudyStorage) -> None:
        self.job, self.storage = job, storage
        self._cache = RunCache(job.folder, job.storage, job.recipe, job.data, job.budget)

    def next(self) -> Assignment | Literal["wait"] | None:
        """The next run; "wait" if that depends on runs that have not ended; None if nothing is left.

        Raises UserError if the first candidates have all failed for the same reason, and for an invalid or repeated proposal.
        """
        with self.storage.claiming():
            runs = self.storage.runs()
            running = [run for run in runs if run.record.outcome == "running"]
            for run in running:
                claim = self._claim(run.folder_name)
                if claim is None:
                    continue
                if claim.left == self.job.call:
                    # Its last holder was a worker of this call that neither ended the run nor released the claim: it crashed.
                    run = self.storage.add_crash(run)
                if run.num_crashes < _MAX_CRASHES:
                    return Assignment(run, claim, None if run.record.curve else self._cache.find(run.record.run_id))
                self._end(Assignment(run, claim), failed(run.record, f"its process died {run.num_crashes} times"))
                return "wait"
            history = self._history(runs)
            _give_up_where_hopeless(history.records, self.job)
            found = self._propose(history)
            if isinstance(found, Sampled):
                return self._assign(found, history)
            return "wait" if found == "wait" or running else None

    def plan(self) -> list[tuple[int, ...]]:
        """The points that the samplers plan before the search begins: the stored ones, followed by the missing ones."""
        history = history_of(self.job, self.storage, self.storage.runs(), self.job.settings.trials)
        for sampler in self.job.samplers:
            history = replace(history, points=tuple(sampler.plan(history)))
        return [tuple(point) for point in history.points]

    def sweep(self) -> None:
        """Removes claims and checkpoints of ended runs, left if a process was killed just when it ended a run.

        A symbolic link in the place of a run's folder is removed, since its target must be neither written nor deleted; no
        study creates one.
        """
        with self.storage.claiming():
            runs = self.storage.runs()
            for path in files_of_runs(self.job.checkpoints):
                if path.is_symlink():
                    path.unlink()
            self.storage.sweep({run.folder_name for run in runs if run.record.outcome == "running"})
            self._clean(runs)

    def finish(self, assignment: Assignment, record: Record) -> None:
        """Ends a run and removes the checkpoints that are no longer needed."""
        with self.storage.claiming():
            self._end(assignment, record)

    def num_left(self, records: Sequence[Record]) -> int:
        """An estimate of the number of runs that have not ended yet, those that have not begun included."""
        main = tuple(record for record in records if record.phase != "replicate")
        replicates = tuple(record for record in records if record.phase == "replicate")
        history = replace(self._history([]), records=main, replicates=replicates)
        history = replace(history, trials=min(self._trials(len(main)), distinct_candidates(self.job.space)))
        running = sum(record.outcome == "running" for record in records)
        later = sum(sampler.num_left(history) for sampler in self.job.samplers)
        return running + max(0, history.trials - len(main)) + later

    def _propose(self, history: History) -> "Sampled | Literal['wait'] | None":
        """The first proposal of the samplers; "wait" if a sampler must see results that are not available yet."""
        asked = begun(history)
        for sampler in self.job.samplers:
            seen = _seen(sampler, history, self.job)
            if seen is None:
                return "wait"
            proposal = _ask(sampler, seen, asked, self.job)
            if proposal is None or (not proposal.replicate and not history.wants_candidates):
                continue
            _check_phase(sampler, proposal, history)
            if proposal in asked:
                run = f"candidate {proposal.candidate.key}, replicate {proposal.replicate}, once more"
                raise UserError(f"{_name(sampler)} proposed {run}; a sampler must not propose a run that is in `asked`")
            return Sampled(proposal, sampler)
        return None

    def _assign(self, sampled: "Sampled", history: History) -> Assignment:
        job, (candidate, replicate, _) = self.job, sampled.proposal
        seed = training_seed(job.settings.seed, candidate.key, replicate)
        record = Record(
            number=len(history.records) + (len(history.replicates) if replicate else 0),
            candidate=candidate,
            phase="replicate" if replicate else sampled.sampler.phase,
            outcome="running",
            seed=seed,
            replicate=replicate,
            cost=dict(job.price(candidate)),
            estimates=dict(job.estimate(candidate)) if job.estimate is not None else {},
            run_id=run_id(candidate.key, seed, job.recipe, job.data),
            environment=job.environment,
            configuration=job.configuration,
        )
        claim = self._claim(f"{candidate.key}-{seed}")
        assert claim is not None, "a run that has not begun is nobody's"
        cached = self._cache.find(record.run_id)
        if cached is not None:
            cached.write_names(self.storage)
            record = replace(record, environment=cached.record.environment, configuration=cached.record.configuration)
        return Assignment(self.storage.start(record, job.space), claim, cached)

    def _history(self, runs: list[Run]) -> History:
        return history_of(self.job, self.storage, runs, self._trials(sum(run.part == "main" for run in runs)))

    def _trials(self, num_known: int) -> int:
        """The number of candidates requested; after the deadline, at most the number that have begun."""
        job = self.job
        in_time = job.deadline is None or time.time() < job.deadline
        return job.settings.trials if in_time else min(job.settings.trials, num_known)

    def _claim(self, folder_name: str) -> Claim | None:
        claim = self.storage.claim(folder_name)
        if claim is not None:
            claim.note(self.job.call)
        return claim

    def _end(self, assignment: Assignment, record: Record) -> None:
        self.storage.finish(assignment.run, record)
        assignment.claim.remove()
        self._clean(self.storage.runs())

    def _clean(self, runs: list[Run]) -> None:
        clean(self.job.checkpoints, runs, anchors(self.job.space), self.job.settings.metrics)


@dataclass(frozen=True)
class Sampled:
    """A proposal and the sampler that made it."""

    proposal: Proposal
    sampler: Sampler


def begun(history: History) -> set[Proposal]:
    """The runs that have begun, as their samplers proposed them."""
    records = (*history.records, *history.replicates)
    return {Proposal(record.candidate, record.replicate, history.budget) for record in records}


def before_lag(history: History, lag: int) -> History:
    """The history with the latest ``lag`` candidates shown as running, even if they have ended.

    This hides the results of all runs that may still be running when a worker asks. Proposals therefore do not depend on the
    number of workers or their speed.
    """
    known = max(0, len(history.records) - lag)
    nothing: dict[str, Any] = {"metrics": {}, "curve": (), "error": None, "device": "", "seconds": 0.0, "source": None}
    hidden = (replace(record, outcome="running", **nothing) for record in history.records[known:])
    return replace(history, records=(*history.records[:known], *hidden))


def failed(record: Record, error: str, **changes: Any) -> Record:
    return replace(record, outcome="failed", error=error, **changes)


def _seen(sampler: Sampler, history: History, job: Job) -> History | None:
    """The history as ``sampler`` may see it; None while runs that it or the stopper must see have not ended."""
    if sampler.sees == "ended":
        return None if any(record.outcome == "running" for record in history.records) else history
    known = history.records[: max(0, len(history.records) - job.settings.lag)]
    is_seen = sampler.sees == "lagged" or not isinstance(job.stopper, NoStopper)
    if is_seen and history.wants_candidates and any(record.outcome == "running" for record in known):
        return None
    return before_lag(history, job.settings.lag) if sampler.sees == "lagged" else history


def _ask(sampler: Sampler, history: History, asked: set[Proposal], job: Job) -> Proposal | None:
    """A sampler's proposal; any tuple of (candidate, replicate, budget) is accepted. Raises UserError if it is invalid."""
    try:
        proposal = sampler.propose(history, asked)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{_name(sampler)} failed ({where(error)})") from error
    if proposal is None:
        return None
    try:
        found = Proposal(*proposal)
        key = found.candidate.key
        is_one = isinstance(found.replicate, int) and found.replicate >= 0
    except (TypeError, AttributeError):
        is_one = False
    if not is_one and isinstance(proposal, tuple):
        raise UserError(f"{_name(sampler)} proposed {shown(proposal)}; a proposal is (candidate, replicate, budget)")
    if not is_one:
        returned = with_article(type(proposal).__name__)
        raise UserError(f"{_name(sampler)} returned {returned}; return Proposal(candidate, replicate, budget)")
    if found.budget != job.budget:
        raise UserError(
            f"{_name(sampler)} proposed {key} with {shown(found.budget)} epochs, but every run of this study has {job.budget}"
        )
    is_empty = found.candidate == job.space.empty and job.space.is_within(found.candidate)
    if found.candidate not in job.space and not is_empty:
        raise UserError(f"{_name(sampler)} proposed {key}, which is not in space {job.space.name!r}")
    complete = (record.candidate for record in history.records if record.outcome == "complete")
    if found.replicate and found.candidate not in complete:
        run = f"replicate {found.replicate} of {key}"
        raise UserError(f"{_name(sampler)} proposed {run}, which has no first run that it sees to be complete")
    return found


def _check_phase(sampler: Sampler, proposal: Proposal, history: History) -> None:
    """Raises UserError for an invalid phase: a journal that records it could not be read again."""
    phases = [phase for phase in get_args(Phase) if phase != "replicate"]
    if not proposal.replicate and sampler.phase not in phases:
        raise UserError(f"{_name(sampler)} must have a `phase` of {', '.join(phases)}, but has {shown(sampler.phase)}")
    num_design = sum(record.phase == "design" for record in history.records)
    if not proposal.replicate and sampler.phase == "design" and num_design >= len(history.points):
        raise UserError(f"{_name(sampler)} has the phase 'design', but proposed a run that its `plan` has not laid down")


def _name(sampler: Sampler) -> str:
    return f"sampler {type(sampler).__qualname__!r}"


def _give_up_where_hopeless(main: Sequence[Record], job: Job) -> None:
    ended = [record for record in main if record.outcome != "running"]
    reasons = {re.sub(r"[\d.]+", "#", record.error or "") for record in ended}
    if len(ended) >= _HOPELESS and len(reasons) == 1 and all(record.outcome == "failed" for record in ended):
        cure = f"fix this, then remove {job.folder} or choose another study.name"
        raise UserError(f"the first {len(ended)} candidates all failed: {ended[-1].error}; {cure}")
