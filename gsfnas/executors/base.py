"""The interface of executors, which start the workers of a study."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

# Sends a message of a worker to the study. An executor passes messages on without looking at them.
Tell = Callable[[Any], None]


class Task(Protocol):
    """The work of a worker, as a value that can be sent to another process. It returns when nothing is left to do.

    ``devices`` is the number of devices that one run uses.
    """

    @property
    def devices(self) -> int: ...

    def __call__(self, device: str, threads: int, tell: Tell) -> None:
        """Works on ``device`` with ``threads`` CPU threads. Raises UserError for an error that the user must fix."""
        ...


class Executor(Protocol):
    """Starts ``workers`` workers, which communicate only through the study's storage."""

    workers: int

    def check(self, task: Task) -> None:
        """Raises UserError, before a study begins, for a task that its workers could not run. The default accepts any task."""
        return

    @abstractmethod
    def run(self, task: Task, device: str, tell: Callable[[int, Any], None], say: Callable[[str], None]) -> None:
        """Runs the workers and returns when all are done.

        ``tell`` is called with a worker's number and its message, ``say`` with a line for the user. A worker that dies is
        replaced, a limited number of times. Raises UserError for an error that the user must fix. However this call ends, no
        worker outlives it.
        """
        ...
