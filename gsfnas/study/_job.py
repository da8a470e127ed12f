"""The job of a study's workers, as a value that can be sent to another process."""

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
    """Computes the cost that is recorded for a candidate; ``heads`` are the (task, classes) pairs of the study's data."""

    heads: tuple[tuple[str, int], ...]

    def __call__(self, candidate: Candidate) -> Mapping[str, int]:
        from gsfnas.cost import price

        return price(candidate, dict(self.heads)).as_record()


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs: the settings, the space, the parts of the study, and the hashes that records refer to.

    ``budget`` is in epochs. ``recipe`` and ``data`` are fingerprints; ``environment`` and ``configuration`` are the hashes that
    the study stores them under. ``deadline`` is in seconds since the Unix epoch. ``call`` is a unique id of this call of the
    study. ``price`` computes ``Record.cost``, and ``estimate``, if there is one, ``Record.estimates``.
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
    estimate: Callable[[Candidate], Mapping[str, float]] | None = None
    call: str = field(default_factory=lambda: uuid4().hex)

    @property
    def folder(self) -> Path:
        return self.settings.folder

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def open(self) -> StudyStorage:
        """Opens the study for reading and writing."""
        return self.storage.open(self.folder, self.settings.name, "write")


def history_of(job: Job, storage: StudyStorage, runs: list[Run], trials: int | None = None) -> History:
    """The history of a study as of now; ``trials``, if given, replaces the setting of that name."""
    return History(
        space=job.space,
        seed=job.settings.seed,
        trials=job.settings.trials if trials is None else trials,
        num_seeds=job.settings.replicates,
        budget=job.budget,
        records=tuple(run.record for run in runs if run.part == "main"),
        replicates=tuple(run.record for run in runs if run.part == "measurements"),
        points=storage.design,
        objectives=job.settings.metrics,
    )
