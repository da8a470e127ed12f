"""Weights from elsewhere: ImageNet's, published checkpoints, files made here; what of them fits a network, and what not."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gsfnas.weights._normalization import InputNormalization

if TYPE_CHECKING:
    from gsfnas.weights._import import Imported as Imported
    from gsfnas.weights._import import import_weights as import_weights
    from gsfnas.weights._initialise import initialise as initialise
    from gsfnas.weights._match import Match as Match
    from gsfnas.weights._match import match as match
    from gsfnas.weights._read import read_metadata as read_metadata
    from gsfnas.weights._read import read_state as read_state

__all__ = ["Imported", "InputNormalization", "Match", "import_weights", "initialise", "match", "read_metadata", "read_state"]

_HOME = {
    "Imported": "_import",
    "Match": "_match",
    "import_weights": "_import",
    "initialise": "_initialise",
    "match": "_match",
    "read_metadata": "_read",
    "read_state": "_read",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gsfnas.weights' has no attribute {name!r}")
    return getattr(import_module(f"gsfnas.weights.{_HOME[name]}"), name)
