"""What every worker of a study must know, as one value that can be sent to a process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from gsfnas.candidate import Candidate
from gsfnas.evaluators.base import Evaluator
from gsfnas.samplers import History, Sampler
from gsfnas.space import BoundSpace
from gsfnas.stoppers import Stopper
from gsfnas.storages import Storage
from gsfnas.storages.base import Run, StudyStorage
from gsfnas.study._settings import StudySettings


@dataclass(frozen=True)
class Price:
    """What a study's records say of a candidate's cost, with the heads of its data."""

    heads: tuple[tuple[str, int], ...]

    def __call__(self, candidate: Candidate) -> Mapping[str, int]:
        from gsfnas.cost import price

        return price(candidate, dict(self.heads)).as_record()


@dataclass(frozen=True)
class Job:
    """The question, the space, how a candidate is proposed, measured and priced, and what the records are to say.

    ``environment`` and ``configuration`` are the hashes under which the study keeps them. ``deadline`` is a time in seconds
    since the epoch. ``call`` names this call of the study among all others.
    """

    settings: StudySettings
    space: BoundSpace
    samplers: tuple[Sampler, ...]
    evaluator: Evaluator
    stopper: Stopper
    storage: Storage
    price: Callable[[Candidate], Mapping[str, int]]
    budget: int
    recipe: str
    data: str
    environment: str
    configuration: str
    deadline: float | None = None
    call: str = field(default_factory=lambda: uuid4().hex)

    @property
    def folder(self) -> Path:
        return self.settings.folder

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def open(self) -> StudyStorage:
        """The study, to be read and written."""
        return self.storage.open(self.folder, self.settings.name, "write")


def history_of(job: Job, storage: StudyStorage, runs: list[Run], trials: int | None = None) -> History:
    """What is known of a study now; ``trials`` in place of those that are asked for."""
    return History(
        space=job.space,
        seed=job.settings.seed,
        trials=job.settings.trials if trials is None else trials,
        num_seeds=job.settings.replicates,
        budget=job.budget,
        records=tuple(run.record for run in runs if run.part == "main"),
        replicates=tuple(run.record for run in runs if run.part == "measurements"),
        points=storage.design,
    )
