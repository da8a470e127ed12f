"""What a study asks of whatever measures a candidate: train it, take a supernet's weights, look it up in a table."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from gsfnas.candidate import Candidate
from gsfnas.component import make
from gsfnas.seeds import digest


@dataclass(frozen=True)
class Context:
    """Where and with what an evaluator works: a folder for checkpoints, a device, a number of CPU threads.

    ``on_progress(done, total, text)`` is called often, with steps of the run now evaluated.
    """

    folder: Path
    device: str = "auto"
    threads: int = 1
    on_progress: Callable[[int, int, str], None] = field(default=lambda done, total, text: None)


@dataclass(frozen=True)
class Measurement:
    """What is known after one epoch (1, 2, ...). The last one of a run carries the final metrics.

    ``metrics`` are fractions in 0..1 for accuracies (``val_top1``, ``test_top1``), nats for losses (``train_loss``,
    ``val_loss``), seconds for ``seconds``. ``checkpoint`` is a file that ``resume_from`` accepts.
    """

    epoch: int
    metrics: Mapping[str, float]
    checkpoint: Path | None = None
    is_last: bool = False


@dataclass(frozen=True)
class Identity:
    """What decides a run's result beside the candidate and its seed: the recipe, and the data, each as a fingerprint."""

    recipe: str
    data: str


class Evaluator(Protocol):
    """Measures candidates, one after another, in one process.

    A worker process gets a copy of it, so an evaluator is picklable before ``prepare``. ``budget`` is the number of epochs of a
    run, ``devices`` on how many devices a run computes at once. Where ``takes_data`` is true, ``data`` holds the settings of a
    data set, which a study opens and hands over by ``take`` before anything else.
    """

    budget: int
    devices: int = 1
    takes_data: bool = False

    @classmethod
    def from_settings(cls, train: Any, data: Any, options: Mapping[str, Any]) -> Self:
        """The evaluator of a study's sections ``train``, ``data`` and ``evaluator``.

        Unless overridden, the options of the section ``evaluator`` are its arguments, beside ``train`` and ``data`` where it
        has such arguments. Raises UserError for an option that is none.
        """
        accepted = inspect.signature(cls).parameters
        given = {name: value for name, value in (("train", train), ("data", data)) if name in accepted}
        made: Self = make(partial(cls, **given) if given else cls, options, "evaluator")
        return made

    @property
    def identity(self) -> Identity:
        """By which results are known; the class and its public attributes, unless overridden."""
        values = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return Identity(f"{type(self).__module__}:{type(self).__qualname__}-{digest(values)}", "none")

    @property
    def heads(self) -> Mapping[str, int]:
        """Classes of each task, which the cost of a candidate depends on."""
        return {"class": 1000}

    def take(self, data: Any) -> None:
        """The study's data set, opened."""
        return

    def check(self, space: Any, device: str) -> Sequence[str]:
        """Raises UserError for what would fail every run on this device, before the study takes its name; returns news."""
        return ()

    def prepare_once(self, space: Any, context: Context) -> None:
        """Work for the whole study, done by one worker while the others wait; begun again where that worker was killed.

        What it makes, it writes below ``context.folder``.
        """
        return

    def prepare(self, space: Any, context: Context) -> None:
        """Work for all runs of one process, such as opening the data."""
        return

    @abstractmethod
    def evaluate(
        self, candidate: Candidate, *, seed: int, replicate: int, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        """Measurements as they come, one an epoch, ``budget`` epochs in all; goes on from a checkpoint where one is given.

        The last one has ``is_last`` and holds ``val_top1``, a fraction, which the search maximises. A run writes below
        ``<context.folder>/<key>-<seed>/``. Raises FloatingPointError where the loss is no longer finite.
        """
        ...

    def close(self) -> None:
        """Gives back what ``prepare`` took."""
        return
