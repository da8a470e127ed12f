"""Which of the values in a file are the weights.

Training code keeps a state dict beside other things, in mappings of mappings. A state dict is a mapping in which a tensor of
at least one axis stands under a dotted name (``layer1.0.conv1.weight``): an optimiser's moments, a generator's state, the best
accuracy have none. Where no name has a dot, any mapping of tensors is one.

Of several state dicts, that at the top is taken; else the order is ``PREFERRED``, where the weights as they were trained stand
before their running average. Two of equal rank are not chosen between.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gsfnas.errors import UserError

# timm, torchvision, PyTorch Lightning and mmengine (state_dict), PySlowFast and PyTorchVideo (model_state), and others.
PREFERRED = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params", "backbone"),
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema"),
)
_DEEPEST, _LONGEST_NAME = 4, 500
# What DataParallel puts before a name; what torch.compile, FSDP and checkpointing put into one, wherever it is.
_OUTER = re.compile(r"^(?:module\.)+")
_WITHIN = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")

Where = tuple[str, ...]


class LeftUnread:
    """Stands for an object in a pickle that is no weight: it takes what it is given, and keeps nothing of it."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True)
class State:
    """Tensors by name, and what a user should know of how they were chosen."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def state_in(data: Any, path: Path) -> State:
    """The state dict in what a file holds. Raises UserError where there is none, or none that stands out."""
    found = dict(_mappings(data))
    states = {where: each for where, each in found.items() if any(_is_dotted(*item) for item in each.items())}
    states = states or {where: each for where, each in found.items() if any(map(_is_named, each.items()))}
    if not states:
        raise UserError(f"{path} holds no state dict, but {_what(data)}")
    first, *others = sorted(states, key=_rank)
    if others and _rank(first) == _rank(others[0]):
        raise UserError(
            f"{path} holds several state dicts ({_listed(states)}), and no name says which is meant; save that one alone"
        )
    notes = []
    if others:
        notes.append(f"the weights under {_said(first)} are taken, not those under {_listed(others)}")
    values = states[first]
    tensors = dict(filter(_is_named, values.items()))
    strange = [_key(name) for name, value in values.items() if name not in tensors and not isinstance(value, Mapping)]
    if strange:
        notes.append(f"no weights, and left out: {_few(strange)}")
    return State(_checked(tensors, path), tuple(notes))


def _mappings(data: Any) -> Iterator[tuple[Where, Mapping[Any, Any]]]:
    """Each mapping in a mapping, by the names that lead to it, itself first; one that is met twice only once."""
    level: list[tuple[Where, Any]] = [((), data)]
    seen: set[int] = set()
    for _ in range(_DEEPEST):
        below = []
        for where, each in level:
            if isinstance(each, Mapping) and id(each) not in seen:
                seen.add(id(each))
                yield where, each
                below += [((*where, name), value) for name, value in each.items() if isinstance(name, str)]
        level = below


def _is_named(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _is_dotted(name: Any, value: Any) -> bool:
    return _is_named((name, value)) and "." in name and value.dim() > 0


def _rank(where: Where) -> tuple[int, ...]:
    return tuple(PREFERRED.index(name) if name in PREFERRED else len(PREFERRED) for name in where)


def _checked(values: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Plain tensors under their bare names."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in values.items():
        if len(name) > _LONGEST_NAME:
            raise UserError(f"{path} calls a tensor by a name of {len(name):,} characters, which no network does")
        bare = _OUTER.sub("", _WITHIN.sub("", name))
        if bare in tensors:
            raise UserError(f"{path} holds two tensors that are both called {bare[:80]!r} but for what wraps them")
        if kind := _kind(tensor):
            raise UserError(f"{path}: {name[:80]!r} is {kind}, but weights are plain tensors of numbers")
        tensors[bare] = tensor.detach()
    return tensors


def _kind(tensor: Tensor) -> str:
    """What a tensor is other than numbers in rows, or nothing."""
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"a {type(tensor).__name__}"
    if tensor.is_meta:
        return "a tensor without values (of the device meta)"
    if tensor.is_quantized:
        return "a quantised tensor"
    if tensor.is_nested:
        return "a nested tensor"
    return "" if tensor.layout is torch.strided else "a sparse tensor"


def _listed(wheres: Iterable[Where]) -> str:
    return _few([_said(where) for where in wheres])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _said(where: Where) -> str:
    return _key(".".join(where)) if where else "the top"


def _key(name: Any) -> str:
    """A name as it can be shown; of what is no text, its kind."""
    return repr(name[:60]) if isinstance(name, str) else f"a key of type {type(name).__name__}"


def _what(value: Any) -> str:
    if isinstance(value, LeftUnread):
        return "numbers or settings without a name"
    if not isinstance(value, Mapping):
        return f"something of type {type(value).__name__}"
    names = [_key(name) + (" (empty)" if isinstance(each, Mapping) and not each else "") for name, each in value.items()]
    return f"a mapping of {_few(names)}" if names else "an empty mapping"
