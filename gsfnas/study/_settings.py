"""The settings of a study. This module imports neither torch nor optuna."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gsfnas.errors import UserError, shown
from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric, objectives_of
from gsfnas.space import parse_bounds

# (minimum, maximum). Counts above are more than a study could hold; a seed above does not fit a signed 64-bit integer.
_RANGES: Mapping[str, tuple[int, int]] = {
    "trials": (2, 100_000),
    "replicates": (1, 1000),
    "lag": (0, 100_000),
    "seed": (0, 2**63 - 1),
}
_MAX_HOURS = 1_000_000


def check_name(name: object, what: str = "`study.name`") -> str:
    """Returns a valid study name, which is also the name of its folder. Raises UserError for any other value."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"{what} must be letters, digits, '.', '_' and '-', but got {shown(name)}")
    return name


@dataclass(frozen=True)
class StudySettings:
    """How many candidates are evaluated, and how often.

    ``trials`` counts distinct candidates, the empty and the full one included; ``initial_fraction`` of them form a balanced
    design. ``hours`` limits the search of one call: no candidate starts later. The search proposes from the results of all runs
    but the latest ``lag``, so at most ``lag`` + 1 of its runs are evaluated in parallel. ``replicates`` is the number of seeds
    for the two anchors and the best candidate. ``latency`` is whether the latency of every candidate is measured after the
    search, on this machine. ``runs`` is the folder that holds the studies. ``bounds``, such as ``params<=2e5``, restrict the
    candidates to those within them. ``objectives`` are one to four names of metrics (``gsfnas.metrics``). Raises UserError for
    a value out of range.
    """

    name: str
    trials: int = 24
    hours: float | None = None
    lag: int = 4
    seed: int = 0
    initial_fraction: float = 0.5
    replicates: int = 3
    latency: bool = True
    runs: str = "runs"
    bounds: tuple[str, ...] = ()
    objectives: tuple[str, ...] = tuple(metric.objective for metric in DEFAULT_OBJECTIVES)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(metric.objective for metric in objectives_of(self.objectives)))
        check_name(self.name)
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                rule = f"of at least {least}" if not isinstance(value, int) or value < least else f"of at most {most:,}"
                raise UserError(f"`study.{name}` must be an integer {rule}, but got {shown(value)}")
        if not _is_number(self.initial_fraction) or not 0 <= self.initial_fraction <= 1:
            raise UserError(f"`study.initial_fraction` must be in [0, 1], but got {shown(self.initial_fraction)}")
        if self.hours is not None and (not _is_number(self.hours) or not 0 < self.hours <= _MAX_HOURS):
            rule = f"at most {_MAX_HOURS:,}" if _is_number(self.hours) and self.hours > 0 else "above 0"
            raise UserError(f"`study.hours` must be {rule}, but got {shown(self.hours)}")
        if not isinstance(self.latency, bool):
            raise UserError(f"`study.latency` must be true or false, but got {shown(self.latency)}")
        if not isinstance(self.runs, str) or not self.runs or "\0" in self.runs:
            raise UserError(f"`study.runs` must be a folder, but got {shown(self.runs)}")
        # One text is a list too: Hydra's grammar has no `<` in a list, so it comes as text from the command line.
        object.__setattr__(self, "bounds", tuple(str(bound) for bound in parse_bounds(self.bounds)))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The objectives as metrics."""
        return objectives_of(self.objectives)

    @property
    def folder(self) -> Path:
        """The folder of the study's journal, locks and checkpoints."""
        return Path(self.runs) / self.name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
