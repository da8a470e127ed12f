"""A backbone of the user's own: ``my_pkg.module:factory``, where the factory returns a network.

The network maps (N, 3, H, W) to (N, num_features), says ``num_features``, and may list its places by a method ``sites()``;
where it lists none, it has a site after each convolution.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from gsfnas.candidate import BackboneRef
from gsfnas.errors import UserError


def find_factory(name: str) -> Any:
    """The callable that ``module:attribute`` names; modules of the working directory are found too.

    Raises UserError where the module cannot be imported, has no such attribute, or the attribute cannot be called.
    """
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except Exception as error:
        raise UserError(f"backbone {name!r}: cannot import {module_name!r} ({_one_line(error)})") from None
    finally:
        if added:
            sys.path.remove(here)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        what = "has no" if factory is None else "cannot call"
        raise UserError(f"backbone {name!r}: {module_name!r} {what} {attribute!r}; write it as package.module:factory")
    return factory


def build_own(ref: BackboneRef) -> nn.Module:
    """What the user's factory returns for the options. Raises UserError where that is no network with ``num_features``."""
    try:
        network = find_factory(ref.name)(**dict(ref.options))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"backbone {str(ref)!r}: its factory failed ({_one_line(error)})") from None
    if not isinstance(network, nn.Module):
        raise UserError(f"backbone {ref.name!r}: its factory must return a torch.nn.Module, but gave {type(network).__name__}")
    if not isinstance(getattr(network, "num_features", None), int):
        raise UserError(f"backbone {ref.name!r}: the network must have an integer `num_features`")
    return network


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
