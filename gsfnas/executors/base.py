"""What a study asks of whoever starts its workers."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

# What a worker tells the study: whatever it is, an executor passes it on.
Tell = Callable[[Any], None]


class Task(Protocol):
    """A worker's work until nothing is left, as a value that can be sent to a process.

    ``devices`` is on how many devices a run computes at once.
    """

    @property
    def devices(self) -> int: ...

    def __call__(self, device: str, threads: int, tell: Tell) -> None:
        """Works on a device with a number of CPU threads. Raises UserError for what the user must mend."""
        ...


class Executor(Protocol):
    """Starts workers, which meet only in the study's storage. ``workers`` is how many."""

    workers: int

    def check(self, task: Task) -> None:
        """Refuses what its workers could not do, before a study begins; the default refuses nothing. Raises UserError."""
        return

    @abstractmethod
    def run(self, task: Task, device: str, tell: Callable[[int, Any], None], say: Callable[[str], None]) -> None:
        """Returns when every worker is done. ``tell`` gets a worker's number and what it tells, ``say`` a line for people.

        A worker that dies is replaced, a bounded number of times. Raises UserError where a worker met what the user must mend.
        Whatever ends this call, no worker outlives it.
        """
        ...
