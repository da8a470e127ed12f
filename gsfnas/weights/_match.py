"""Matches the tensors of a state dict to a network: matched, reshaped, missing, left over."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsfnas.errors import UserError

# 8-bit floats need a scale that a state dict does not record. Integers are batch counters.
_ACCEPTED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32)


@dataclass(frozen=True)
class Match:
    """``tensors`` are those that fit; ``reshaped`` names the ones whose axes of length 1 differed.

    ``missing`` names the network's tensors that the file lacks or has in another shape or type; ``left_over`` names the file's
    tensors that the network does not use. ``notes`` are further sentences for the user.
    """

    tensors: Mapping[str, Tensor]
    reshaped: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def matched(self) -> tuple[str, ...]:
        return tuple(name for name in self.tensors if name not in self.reshaped)

    def summary(self) -> str:
        """``481 tensors matched, 2 reshaped, 4 missing, 2 left over``."""
        counts = (len(self.matched), len(self.reshaped), len(self.missing), len(self.left_over))
        return "{} tensors matched, {} reshaped, {} missing, {} left over".format(*counts)


def match(state: Mapping[str, Tensor], network: nn.Module) -> Match:
    """Matches ``state``, under gsfnas names, to ``network``; tensors are cast to the network's types (half becomes float32).

    A BatchNorm's ``num_batches_tracked`` that the file lacks does not count as missing.
    """
    wanted = network.state_dict()
    tensors, reshaped, left_over = {}, [], []
    for name, tensor in state.items():
        if name not in wanted:
            left_over.append(name)
        elif not _is_castable(tensor, wanted[name]):
            left_over.append(f"{name} (of type {_dtype_name(tensor)}, not {_dtype_name(wanted[name])})")
        elif tensor.shape == wanted[name].shape:
            tensors[name] = tensor
        elif _shape_without_ones(tensor) == _shape_without_ones(wanted[name]):
            tensors[name] = tensor.reshape(wanted[name].shape)
            reshaped.append(name)
        else:
            left_over.append(f"{name} (of shape {tuple(tensor.shape)}, not {tuple(wanted[name].shape)})")
    # An insertion is loaded as a whole or not at all: if one of its tensors does not fit, the others are left over too.
    incomplete = {_insertion_prefix(name) for name in state if name in wanted and name not in tensors} - {""}
    for name in [name for name in tensors if _insertion_prefix(name) in incomplete]:
        del tensors[name]
        left_over.append(name)
    reshaped = [name for name in reshaped if name in tensors]
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    tensors = {name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()}
    non_finite = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    notes = (
        (f"{len(non_finite)} of the tensors contain NaN or infinity, the first is {_quoted(non_finite[0])}",)
        if non_finite
        else ()
    )
    return Match(tensors, tuple(reshaped), tuple(missing), tuple(left_over), notes)


def require_backbone(found: Match, what: str, backbone: str) -> None:
    """Raises UserError unless every tensor of the backbone was found, and no further backbone tensors were left over."""
    missing, extra = ([name for name in names if name.startswith("backbone.")] for names in (found.missing, found.left_over))
    num_found = sum(name.startswith("backbone.") for name in found.tensors)
    reason = ""
    if missing:
        shaped = next((name for name in extra if name.startswith(f"{missing[0]} (of ")), missing[0])
        reason = f"{num_found} tensors of the backbone fit and {len(missing)} are missing, the first is {_quoted(shaped)}"
    # A tensor of another shape or type is already among the missing ones, or is a batch counter.
    elif others := [name for name in extra if " (of " not in name]:
        reason = (
            f"{num_found} tensors of the backbone fit, but there are {len(others)} that it does not have, the first is "
            f"{_quoted(others[0])}"
        )
    if reason:
        raise UserError(f"{what} does not hold the weights of {backbone}: {reason}")


def _quoted(name: str) -> str:
    layer, space, shape = name.removeprefix("backbone.").partition(" ")
    return f"{layer!r}{space}{shape}"


def _insertion_prefix(name: str) -> str:
    """``insertions.<site>`` for a tensor of an insertion, else an empty string."""
    return ".".join(name.split(".")[:2]) if name.startswith("insertions.") else ""


def _is_castable(tensor: Tensor, wanted: Tensor) -> bool:
    """Whether a tensor can be cast to ``wanted``'s type: at least 16 bits, and no change between float and integer."""
    if tensor.dtype not in _ACCEPTED_DTYPES:
        return False
    # Halving a whole checkpoint turns its batch counters into floats: those are accepted.
    return wanted.is_floating_point() == tensor.is_floating_point() or (
        not wanted.is_floating_point() and wanted.dim() == 0 and tensor.numel() == 1 and bool(tensor.isfinite().all())
    )


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shape_without_ones(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape if size != 1)
