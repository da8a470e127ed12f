"""A user's own backbone: ``package.module:factory``, called with the candidate's options."""

from typing import Any

from torch import nn

from gsfnas.candidate import BackboneRef
from gsfnas.component import load
from gsfnas.errors import UserError, one_line


def find_factory(name: str) -> Any:
    """Imports the function or class ``package.module:factory``.

    Raises UserError as ``gsfnas.component.load`` does, and for a class that is not a ``torch.nn.Module``.
    """
    factory = load(name, "backbone")
    if isinstance(factory, type) and not issubclass(factory, nn.Module):
        raise UserError(f"backbone {name!r}: a class must be a torch.nn.Module, but {factory.__name__} is none")
    return factory


def build_custom(ref: BackboneRef) -> nn.Module:
    """Calls the user's factory with the options. Raises UserError unless it returns a network with ``num_features``."""
    try:
        network = find_factory(ref.name)(**dict(ref.options))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"backbone {str(ref)!r}: its factory failed ({one_line(error)})") from None
    if not isinstance(network, nn.Module):
        raise UserError(f"backbone {ref.name!r}: its factory must return a torch.nn.Module, but gave {type(network).__name__}")
    if not isinstance(getattr(network, "num_features", None), int):
        raise UserError(f"backbone {ref.name!r}: the network must have an integer `num_features`")
    return network
