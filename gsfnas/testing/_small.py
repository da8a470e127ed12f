"""Small studies for the suites: step by step in memory, or complete ones with the fake evaluator, within a second."""

import io
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from gsfnas.candidate import Candidate
from gsfnas.evaluators import Evaluator, Measurement
from gsfnas.executors import Task
from gsfnas.executors.base import Executor
from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric
from gsfnas.record import Epoch, Outcome, Record, StudyRecord
from gsfnas.samplers import Anchors, History, Proposal, Random, Replicates, Sampler
from gsfnas.seeds import derive, training_seed
from gsfnas.space import BoundSpace
from gsfnas.stoppers import NoStopper, Stopper
from gsfnas.storages import Storage
from gsfnas.storages.journal import JournalStorage
from gsfnas.study import Afterwards, Circumstances, Parts, StudySettings, run_study
from gsfnas.study._scheduler import before_lag, begun
from gsfnas.testing.fake import BUDGET, FakeEvaluator, fake_price, metrics_of


@dataclass(frozen=True)
class Threads(Executor):
    """Runs workers in threads of this process. Each gets a copy of the task, as a process would."""

    workers: int = 3

    def run(self, task: Task, device: str, tell: Callable[[int, Any], None], say: Callable[[str], None]) -> None:
        failures: list[BaseException] = []

        def work(index: int, copy: Task) -> None:
            try:
                copy(device, 1, lambda message: tell(index, message))
            except BaseException as error:
                failures.append(error)

        copies = [pickle.loads(pickle.dumps(task)) for _ in range(self.workers)]
        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(copies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


@dataclass
class UnevenEvaluator(FakeEvaluator):
    """The fake evaluator with runs of different duration, so that they end in another order than they began."""

    def evaluate(
        self, candidate: Candidate, *, seed: int, replicate: int, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        given = {"seed": seed, "replicate": replicate, "budget": budget, "resume_from": resume_from}
        for measurement in super().evaluate(candidate, **given):  # type: ignore[arg-type]
            time.sleep(derive("pause", candidate.key) % 4 / 100)
            yield measurement


def run_small(
    folder: Path,
    space: BoundSpace,
    *,
    sampler: Sampler | tuple[Sampler, ...] | None = None,
    stopper: Stopper | None = None,
    evaluator: Evaluator | None = None,
    executor: Executor | None = None,
    storage: Storage | None = None,
    trials: int = 10,
    replicates: int = 2,
    lag: int = 3,
    objectives: Sequence[str] = ("val_top1", "macs_fvcore"),
) -> StudyRecord:
    """Runs a complete study below ``folder``; by default, with the fake evaluator and one worker."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = StudySettings("small", trials=trials, replicates=replicates, lag=lag, runs=str(folder / "runs"))
    settings = replace(settings, objectives=tuple(objectives))
    parts = Parts(
        evaluator or UnevenEvaluator(folder),
        Random() if sampler is None else sampler,
        stopper or NoStopper(),
        executor or Threads(1),
        storage or JournalStorage(),
        fake_price,
    )
    console = Console(file=io.StringIO(), width=200)
    return run_study(settings, space, parts, Circumstances(), Afterwards(), device="cpu", console=console)


def comparable(study: StudyRecord) -> list[dict[str, Any]]:
    """All fields of the records except durations, which may differ between two executions of a study."""
    return [
        json.loads(json.dumps({**vars(replace(record, seconds=0.0)), "candidate": record.candidate.key}, default=vars))
        for record in (*study.records, *study.replicates)
    ]


def fake_record(
    number: int,
    candidate: Candidate,
    outcome: Outcome = "complete",
    *,
    replicate: int = 0,
    epochs: int = BUDGET,
    gain: float = 0.0,
    macs: int | None = None,
) -> Record:
    """A record of a run with the metrics of the fake evaluator; ``gain`` is added to its accuracies."""
    seed = training_seed(0, candidate.key, replicate)
    measured = [metrics_of(candidate, seed, epoch, epoch == BUDGET) for epoch in range(1, epochs + 1)]
    curve = [{name: value + gain * name.endswith("top1") for name, value in metrics.items()} for metrics in measured]
    is_complete = outcome == "complete"
    cost = dict(fake_price(candidate))
    return Record(
        number=number,
        candidate=candidate,
        phase="replicate" if replicate else "search",
        outcome=outcome,
        seed=seed,
        replicate=replicate,
        cost=cost if macs is None else {**cost, "macs_fvcore": macs, "macs_ptflops": macs},
        metrics=curve[-1] if is_complete else {},
        curve=tuple(Epoch(epoch, metrics) for epoch, metrics in enumerate(curve, start=1)),
        error=None if is_complete else "RuntimeError: out of memory",
        seconds=1.0,
    )


@dataclass(frozen=True)
class Step:
    """One call of ``Sampler.propose``, with its arguments and its result."""

    sampler: Sampler
    history: History
    asked: frozenset[Proposal]
    proposal: Proposal | None


def steps(
    samplers: Sequence[Sampler],
    space: BoundSpace,
    *,
    trials: int,
    num_seeds: int = 2,
    seed: int = 0,
    lag: int = 3,
    objectives: Sequence[Metric] = DEFAULT_OBJECTIVES,
) -> Iterator[Step]:
    """Simulates a study with one worker, and yields every call of a sampler until none of them proposes anything.

    Every third run fails. The simulation also ends if a sampler repeats a proposal.
    """
    history = History(space, seed, trials, num_seeds, BUDGET, objectives=objectives)
    for sampler in samplers:
        history = replace(history, points=tuple(sampler.plan(history)))
    while True:
        asked = frozenset(begun(history))
        for sampler in samplers:
            seen = before_lag(history, lag) if sampler.sees == "lagged" else history
            found = sampler.propose(seen, set(asked))
            yield Step(sampler, seen, asked, None if found is None else Proposal(*found))
            if found is not None and (found[1] or history.wants_candidates):
                break
        else:
            return
        proposal = Proposal(*found)
        if proposal in asked:
            return
        number = len(history.records) + (len(history.replicates) if proposal.replicate else 0)
        outcome: Outcome = "failed" if number % 3 == 2 else "complete"
        record = fake_record(number, proposal.candidate, outcome, replicate=proposal.replicate)
        if proposal.replicate:
            history = replace(history, replicates=(*history.replicates, record))
        else:
            history = replace(history, records=(*history.records, record))


def default_chain(sampler: Sampler) -> tuple[Sampler, ...]:
    """The samplers of a default study: the anchors, ``sampler``, the replicates."""
    return Anchors(), sampler, Replicates()
