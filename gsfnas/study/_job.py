"""What every worker of a study must know, as one value that can be sent to a process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from gsfnas.candidate import Candidate
from gsfnas.component import trusted
from gsfnas.evaluator import Evaluator
from gsfnas.space import BoundSpace
from gsfnas.study._settings import StudySettings


@dataclass(frozen=True)
class Job:
    """The question, the space, how a candidate is measured and priced, and what the records are to say.

    ``environment`` and ``configuration`` are the hashes under which the study keeps them. ``deadline`` is a time in seconds
    since the epoch. ``devices`` is how many a run computes on. ``call`` names this call of the study among all others.
    ``trusted`` is the code from outside that the user allows, in every process.
    """

    settings: StudySettings
    space: BoundSpace
    make_evaluator: Callable[[], Evaluator]
    price: Callable[[Candidate], Mapping[str, int]]
    budget: int
    recipe: str
    data: str
    environment: str
    configuration: str
    deadline: float | None = None
    devices: int = 1
    trusted: tuple[str, ...] = field(default_factory=trusted)
    call: str = field(default_factory=lambda: uuid4().hex)

    @property
    def folder(self) -> Path:
        return self.settings.folder

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"
