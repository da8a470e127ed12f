"""Loads weights from ImageNet, published checkpoints and gsfnas files, and reports what fits a network."""

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

_MODULE_OF = {
    "Imported": "_import",
    "Match": "_match",
    "import_weights": "_import",
    "initialise": "_initialise",
    "match": "_match",
    "read_metadata": "_read",
    "read_state": "_read",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gsfnas.weights' has no attribute {name!r}")
    return getattr(import_module(f"gsfnas.weights.{_MODULE_OF[name]}"), name)
