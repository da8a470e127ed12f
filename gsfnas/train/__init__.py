"""Trains and tests one network: the recipe, the training loop, checkpoints and test protocols.

Importing the settings does not import torch; everything else is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gsfnas.train._protocol import ProtocolSettings
from gsfnas.train._settings import TrainSettings

if TYPE_CHECKING:
    from gsfnas.train._device import resolve_device as resolve_device
    from gsfnas.train._estimate import estimate_seconds as estimate_seconds
    from gsfnas.train._evaluate import Score as Score
    from gsfnas.train._evaluate import evaluate_split as evaluate_split
    from gsfnas.train._fit import fit_epoch as fit_epoch
    from gsfnas.train._inference import TrainedModel as TrainedModel
    from gsfnas.train._inference import run_test as run_test
    from gsfnas.train._scores import TaskScores as TaskScores
    from gsfnas.train._scores import VideoScores as VideoScores
    from gsfnas.train._scores import read_scores as read_scores

__all__ = [
    "ProtocolSettings",
    "Score",
    "TaskScores",
    "TrainSettings",
    "TrainedModel",
    "VideoScores",
    "estimate_seconds",
    "evaluate_split",
    "fit_epoch",
    "read_scores",
    "resolve_device",
    "run_test",
]

_MODULE_OF = {
    "Score": "_evaluate",
    "TaskScores": "_scores",
    "TrainedModel": "_inference",
    "VideoScores": "_scores",
    "estimate_seconds": "_estimate",
    "evaluate_split": "_evaluate",
    "fit_epoch": "_fit",
    "read_scores": "_scores",
    "resolve_device": "_device",
    "run_test": "_inference",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gsfnas.train' has no attribute {name!r}")
    return getattr(import_module(f"gsfnas.train.{_MODULE_OF[name]}"), name)
