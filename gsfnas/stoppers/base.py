"""The interface of stoppers, which end runs early."""

from abc import abstractmethod
from typing import Protocol

from gsfnas.record import Record
from gsfnas.samplers.base import History


class Stopper(Protocol):
    """Ends unpromising runs. Its answers must be a pure function of the run so far and of the history it is given."""

    @abstractmethod
    def stops(self, run: Record, history: History) -> bool:
        """Whether to end a run now; asked after each epoch but the last. ``run.curve`` has the metrics of its epochs so far.

        ``history.records`` are the runs that began more than ``lag`` runs before this one; all of them have ended.
        """
        ...
