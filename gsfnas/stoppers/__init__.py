"""Stoppers end runs early, like Optuna's pruners."""

from collections.abc import Mapping

from gsfnas.stoppers._none import NoStopper
from gsfnas.stoppers.base import Stopper

# The names that `stopper=` accepts.
STOPPERS: Mapping[str, str] = {"none": "gsfnas.stoppers._none:NoStopper"}

__all__ = ["STOPPERS", "NoStopper", "Stopper"]
