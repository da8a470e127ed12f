"""Stoppers: what ends a run early."""

from collections.abc import Mapping

from gsfnas.stoppers._none import NoStopper
from gsfnas.stoppers.base import Stopper

# What `stopper=` may name.
STOPPERS: Mapping[str, str] = {"none": "gsfnas.stoppers._none:NoStopper"}

__all__ = ["STOPPERS", "NoStopper", "Stopper"]
