"""gsfnas: architecture search and analysis for temporal modules in video CNNs.

The names a notebook needs are loaded on first use, so that ``import gsfnas`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsfnas.api import Study as Study
    from gsfnas.candidate import Candidate as Candidate
    from gsfnas.component import trust as trust
    from gsfnas.cost import price as price
    from gsfnas.model import build_model as build_model
    from gsfnas.space import Space as Space

__version__ = "0.1.0"
__all__ = ["Candidate", "Space", "Study", "build_model", "price", "trust"]

_MODULE_OF = {
    "Candidate": "gsfnas.candidate",
    "Space": "gsfnas.space",
    "Study": "gsfnas.api",
    "build_model": "gsfnas.model",
    "price": "gsfnas.cost",
    "trust": "gsfnas.component",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gsfnas' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
