"""What a study asks of whoever ends runs early."""

from abc import abstractmethod
from typing import Protocol

from gsfnas.record import Record
from gsfnas.samplers.base import History


class Stopper(Protocol):
    """Ends runs that need not go on: a pure function of a run so far and of the history before the study's lag."""

    @abstractmethod
    def stops(self, run: Record, history: History) -> bool:
        """Whether a run ends now, asked after each epoch but the last; ``run.curve`` holds what is known of it.

        ``history.records`` are the runs before the lag, all of which have ended.
        """
        ...
