"""What a study asks of whatever measures a candidate: train it, take a supernet's weights, look it up in a table."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gsfnas.candidate import Candidate


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


class Evaluator(Protocol):
    """Measures candidates, one after another, in one process."""

    def prepare(self, space: Any, context: Context) -> None:
        """Work that is shared by all candidates of a bound space: load data, train a supernet."""

    def evaluate(
        self, candidate: Candidate, *, seed: int, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        """Measurements as they come, one an epoch, ``budget`` epochs in all; goes on from a checkpoint where one is given.

        Raises FloatingPointError where the loss is no longer finite, and what torch raises where memory runs out.
        """

    def close(self) -> None:
        """Gives back what ``prepare`` took."""
