"""The interface of evaluators, which measure a candidate: by training it, with a supernet's weights, or from a table."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from gsfnas.candidate import Candidate
from gsfnas.component import make
from gsfnas.record import Latency
from gsfnas.seeds import digest


@dataclass(frozen=True)
class Context:
    """What an evaluator works with: the folder for checkpoints, the device, the number of CPU threads, the study's seed.

    The evaluator calls ``on_progress(done, total, text)`` often, with the steps done and the total of the current run.
    """

    folder: Path
    device: str = "auto"
    threads: int = 1
    on_progress: Callable[[int, int, str], None] = field(default=lambda done, total, text: None)
    study_seed: int = 0


@dataclass(frozen=True)
class Measurement:
    """The metrics after one epoch (1, 2, ...). The last measurement of a run has the final metrics.

    ``metrics`` are fractions in 0..1 for accuracies (``val_top1``, ``test_top1``), nats for losses (``train_loss``,
    ``val_loss``), seconds for ``seconds``. ``checkpoint`` is a file that ``resume_from`` accepts.
    """

    epoch: int
    metrics: Mapping[str, float]
    checkpoint: Path | None = None
    is_last: bool = False


@dataclass(frozen=True)
class Identity:
    """Fingerprints of recipe and data, which together with candidate and seed determine a run's result."""

    recipe: str
    data: str


class Evaluator(Protocol):
    """Measures candidates, one after another, in one process.

    Each worker process gets a copy, so an evaluator must be picklable before ``prepare``. ``budget`` is the number of epochs of
    a run, ``devices`` the number of devices that one run uses, ``num_seeds`` the most runs that it has of one candidate (None:
    any number). If ``takes_data`` is true, the attribute ``data`` must hold the settings of a data set, which the study opens
    and passes to ``take`` before anything else.
    """

    budget: int
    devices: int = 1
    takes_data: bool = False
    num_seeds: int | None = None

    @classmethod
    def from_settings(cls, train: Any, data: Any, options: Mapping[str, Any]) -> Self:
        """Creates the evaluator from a study's sections ``train``, ``data`` and ``evaluator``.

        By default, the options of the section ``evaluator`` are passed as arguments, and also ``train`` and ``data`` if the
        class has such arguments. Raises UserError for an unknown option.
        """
        accepted = inspect.signature(cls).parameters
        given = {name: value for name, value in (("train", train), ("data", data)) if name in accepted}
        made: Self = make(partial(cls, **given) if given else cls, options, "evaluator")
        return made

    @property
    def identity(self) -> Identity:
        """The fingerprints for a run's results. By default, of the class and its public attributes."""
        values = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return Identity(f"{type(self).__module__}:{type(self).__qualname__}-{digest(values)}", "none")

    @property
    def heads(self) -> Mapping[str, int]:
        """Task -> number of classes. The cost of a candidate depends on them."""
        return {"class": 1000}

    def take(self, data: Any) -> None:
        """Receives the study's data set, which is open."""
        return

    def check(self, space: Any, device: str) -> Sequence[str]:
        """Called before anything of the study is written; returns lines to show to the user.

        Raises UserError for a problem that would make every run on ``device`` fail.
        """
        return ()

    def prepare_once(self, space: Any, context: Context) -> None:
        """Does the work for the whole study, in one worker while the others wait; started again if that worker is killed.

        Its results must be written below ``context.folder``.
        """
        return

    def prepare(self, space: Any, context: Context) -> None:
        """Does the work for all runs of one process, such as opening the data."""
        return

    @abstractmethod
    def evaluate(
        self, candidate: Candidate, *, seed: int, replicate: int, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        """Yields a measurement after each of ``budget`` epochs; resumes the run if a checkpoint is given.

        The last measurement has ``is_last=True`` and the metrics that are objectives of the study: ``val_top1``, a fraction,
        unless the study has others. A run writes below ``<context.folder>/<key>-<seed>/``. Raises FloatingPointError if the
        loss is no longer finite.
        """
        ...

    def known_latency(self, candidate: Candidate) -> Latency | None:
        """The latency of a candidate, if the evaluator knows it; by default the study measures it, on its own machine."""
        return None

    def close(self) -> None:
        """Releases what ``prepare`` acquired."""
        return
