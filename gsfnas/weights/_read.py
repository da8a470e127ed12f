"""State dicts from files, without running anything that is in them."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gsfnas.errors import UserError

# Under which names training code keeps a state dict beside epoch and optimiser.
_NESTED = ("state_dict", "model_state_dict", "model")


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a ``.safetensors`` file or in what ``torch.save`` wrote, on the CPU, its names without ``module.``.

    Raises UserError, one line, for a file that is missing, truncated, no state dict, or a pickle with more in it than tensors
    and plain values: such a file is refused, since loading it would run code.
    """
    if not path.is_file():
        raise UserError(f"there is no file of weights {str(path)!r}")
    return _state(path, _safetensors(path) if path.suffix == ".safetensors" else _pickled(path))


def read_metadata(path: Path) -> Mapping[str, str]:
    """What a safetensors file says beside its tensors. Raises UserError where it is none."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is no whole safetensors file ({_one_line(error)})") from None


def _safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is no whole safetensors file ({_one_line(error)})") from None


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # torch warns of the version of a pickle that it then refuses.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(error))
        if found:
            what = f" ({found[1]})"
            raise UserError(
                f"{path} holds more than tensors and plain values{what}; it is refused, since loading it would run code"
            ) from None
        raise UserError(f"{path} is no file that torch.save wrote, or it is truncated") from None
    except Exception as error:
        # Where a file is cut or damaged decides what fails: struct.error, AssertionError, RuntimeError and more.
        raise UserError(f"{path} is no file that torch.save wrote, or it is truncated ({_one_line(error)})") from None


def _state(path: Path, data: Any) -> dict[str, Tensor]:
    for name in _NESTED:
        if isinstance(data, Mapping) and isinstance(data.get(name), Mapping):
            data = data[name]
            break
    if not isinstance(data, Mapping) or not data:
        raise UserError(f"{path} holds no state dict, but {_what(data)}")
    strange = [name for name, value in data.items() if not isinstance(value, Tensor) or not isinstance(name, str)]
    if strange:
        raise UserError(f"{path} holds no state dict: {strange[0]!r} is {_what(data[strange[0]])}")
    return {_bare(name): value for name, value in data.items()}


def _bare(name: str) -> str:
    """Without what DataParallel and torch.compile put before a name."""
    return re.sub(r"^(?:module\.|_orig_mod\.)+", "", name)


def _what(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an empty mapping" if not value else f"a mapping of {', '.join(map(repr, list(value)[:3]))}"
    return f"something of type {type(value).__name__}"


def _one_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]
