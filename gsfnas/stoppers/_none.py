"""No run ends early."""

from dataclasses import dataclass

from gsfnas.record import Record
from gsfnas.samplers.base import History
from gsfnas.stoppers.base import Stopper


@dataclass(frozen=True)
class NoStopper(Stopper):
    """Every run goes on to its last epoch."""

    def stops(self, run: Record, history: History) -> bool:
        return False
