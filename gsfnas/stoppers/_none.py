"""The stopper that ends no run early."""

from dataclasses import dataclass

from gsfnas.record import Record
from gsfnas.samplers.base import History
from gsfnas.stoppers.base import Stopper


@dataclass(frozen=True)
class NoStopper(Stopper):
    """Lets every run go on to its last epoch."""

    def stops(self, run: Record, history: History) -> bool:
        return False
