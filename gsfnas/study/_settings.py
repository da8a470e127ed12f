"""What a study is asked to do, as a value. Neither torch nor optuna here."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from gsfnas.errors import UserError, unknown

SAMPLERS = ("tpe", "nsga2", "random")


@dataclass(frozen=True)
class StudySettings:
    """How many candidates, how they are proposed, how often and by how many processes they are trained.

    ``trials`` counts distinct evaluated candidates, the empty and the full one included. ``design_share`` of them are a
    balanced design; ``sampler`` proposes the rest. ``hours`` bounds the search of one call: no candidate starts after it.
    ``replicates`` is the number of seeds of the two anchors and the best. ``runs`` is the folder that holds studies. Raises
    UserError for a value out of range.
    """

    name: str
    trials: int = 24
    hours: float | None = None
    workers: int = 2
    sampler: str = "tpe"
    delay: int = 4
    seed: int = 0
    design_share: float = 0.5
    replicates: int = 3
    runs: str = "runs"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise UserError(f"`study.name` must be letters, digits, '.', '_' and '-', but got {self.name!r}")
        for name, least in (("trials", 2), ("workers", 1), ("replicates", 1), ("delay", 0), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"`study.{name}` must be an integer of at least {least}, but got {value!r}")
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", str(self.sampler), SAMPLERS)
        if not _is_number(self.design_share) or not 0 <= self.design_share <= 1:
            raise UserError(f"`study.design_share` must be in [0, 1], but got {self.design_share!r}")
        if self.hours is not None and (not _is_number(self.hours) or not 0 < self.hours < math.inf):
            raise UserError(f"`study.hours` must be above 0, but got {self.hours!r}")

    @property
    def folder(self) -> Path:
        """Where the study keeps its journal, locks and checkpoints."""
        return Path(self.runs) / self.name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
