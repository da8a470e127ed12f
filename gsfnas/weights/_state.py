"""Finds the state dict in the contents of a file.

Training code saves a state dict beside other values, in nested mappings. A state dict is a mapping in which at least one tensor
with an axis has a dotted name (``layer1.0.conv1.weight``); optimiser moments, generator states and the best accuracy have no
such names. If no name has a dot, any mapping with tensors counts.

Of several state dicts, the one at the top of the file is used, else the first in the order of ``PREFERRED``, which lists
trained weights before their running averages. If two rank equally, the file is refused.
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
_MAX_DEPTH, _MAX_NAME = 4, 500
# DataParallel puts a prefix before a name; torch.compile, FSDP and checkpointing put theirs anywhere in it.
_OUTER = re.compile(r"^(?:module\.)+")
_WITHIN = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")

KeyPath = tuple[str, ...]


class IgnoredObject:
    """An empty stand-in for an object in a pickle that is not a weight: it discards what it is given."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True)
class State:
    """Tensors by name, and notes for the user on how they were chosen."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def find_state(data: Any, path: Path) -> State:
    """The state dict in the contents of a file. Raises UserError if there is none, or if several rank first."""
    found = dict(_nested_mappings(data))
    states = {key_path: each for key_path, each in found.items() if any(_is_dotted(*item) for item in each.items())}
    states = states or {key_path: each for key_path, each in found.items() if any(map(_is_named, each.items()))}
    if not states:
        raise UserError(f"{path} holds no state dict, but {_description(data)}")
    first, *others = sorted(states, key=_rank)
    if others and _rank(first) == _rank(others[0]):
        raise UserError(
            f"{path} holds several state dicts ({_paths_text(states)}), and their names do not say which to use; save only "
            "that one"
        )
    notes = []
    if others:
        notes.append(f"the weights under {_path_text(first)} are used, not those under {_paths_text(others)}")
    values = states[first]
    tensors = dict(filter(_is_named, values.items()))
    non_tensors = [_key_text(name) for name, value in values.items() if name not in tensors and not isinstance(value, Mapping)]
    if non_tensors:
        notes.append(f"left out, because they are not tensors: {_first_few(non_tensors)}")
    return State(_plain_tensors(tensors, path), tuple(notes))


def _nested_mappings(data: Any) -> Iterator[tuple[KeyPath, Mapping[Any, Any]]]:
    """Every nested mapping, each once, with the keys that lead to it; ``data`` itself comes first."""
    level: list[tuple[KeyPath, Any]] = [((), data)]
    seen: set[int] = set()
    for _ in range(_MAX_DEPTH):
        below = []
        for key_path, each in level:
            if isinstance(each, Mapping) and id(each) not in seen:
                seen.add(id(each))
                yield key_path, each
                below += [((*key_path, name), value) for name, value in each.items() if isinstance(name, str)]
        level = below


def _is_named(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _is_dotted(name: Any, value: Any) -> bool:
    return _is_named((name, value)) and "." in name and value.dim() > 0


def _rank(key_path: KeyPath) -> tuple[int, ...]:
    return tuple(PREFERRED.index(name) if name in PREFERRED else len(PREFERRED) for name in key_path)


def _plain_tensors(values: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors under their names without wrappers. Raises UserError for a tensor that is not plain, or a repeated name."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in values.items():
        if len(name) > _MAX_NAME:
            raise UserError(f"a tensor's name has at most {_MAX_NAME} characters, but {path} has one of {len(name):,}")
        unwrapped = _OUTER.sub("", _WITHIN.sub("", name))
        if unwrapped in tensors:
            raise UserError(
                f"{path} holds two tensors that are both called {unwrapped[:80]!r} once wrapper prefixes are removed"
            )
        if kind := _unsupported_kind(tensor):
            raise UserError(f"{path}: {name[:80]!r} is {kind}, but weights are plain tensors of numbers")
        tensors[unwrapped] = tensor.detach()
    return tensors


def _unsupported_kind(tensor: Tensor) -> str:
    """What is special about a tensor that is not plain and dense; an empty string for one that is."""
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"a {type(tensor).__name__}"
    if tensor.is_meta:
        return "a tensor without values (of the device meta)"
    if tensor.is_quantized:
        return "a quantised tensor"
    if tensor.is_nested:
        return "a nested tensor"
    return "" if tensor.layout is torch.strided else "a sparse tensor"


def _paths_text(key_paths: Iterable[KeyPath]) -> str:
    return _first_few([_path_text(key_path) for key_path in key_paths])


def _first_few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _path_text(key_path: KeyPath) -> str:
    return _key_text(".".join(key_path)) if key_path else "the top"


def _key_text(name: Any) -> str:
    """A key for a message: the text itself, or the type of anything else."""
    return repr(name[:60]) if isinstance(name, str) else f"a key of type {type(name).__name__}"


def _description(value: Any) -> str:
    if isinstance(value, IgnoredObject):
        return "only numbers or settings"
    if not isinstance(value, Mapping):
        return f"a value of type {type(value).__name__}"
    names = [_key_text(name) + (" (empty)" if isinstance(each, Mapping) and not each else "") for name, each in value.items()]
    return f"a mapping of {_first_few(names)}" if names else "an empty mapping"
