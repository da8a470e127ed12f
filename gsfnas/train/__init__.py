"""Training from scratch: the evaluator that trains every candidate with one recipe, and its parts.

The settings cost no torch; the rest is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gsfnas.train._settings import TrainSettings

if TYPE_CHECKING:
    from gsfnas.train._device import resolve_device as resolve_device
    from gsfnas.train._estimate import estimate_seconds as estimate_seconds
    from gsfnas.train._evaluate import Score as Score
    from gsfnas.train._evaluate import evaluate_split as evaluate_split
    from gsfnas.train._evaluator import TrainEvaluator as TrainEvaluator
    from gsfnas.train._fit import fit_epoch as fit_epoch

__all__ = [
    "Score",
    "TrainEvaluator",
    "TrainSettings",
    "estimate_seconds",
    "evaluate_split",
    "fit_epoch",
    "resolve_device",
]

_HOME = {
    "Score": "_evaluate",
    "TrainEvaluator": "_evaluator",
    "estimate_seconds": "_estimate",
    "evaluate_split": "_evaluate",
    "fit_epoch": "_fit",
    "resolve_device": "_device",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gsfnas.train' has no attribute {name!r}")
    return getattr(import_module(f"gsfnas.train.{_HOME[name]}"), name)
