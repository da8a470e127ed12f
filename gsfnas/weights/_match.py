"""Which tensors of a state dict fit a network: matched, reshaped, missing, left over."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsfnas.errors import UserError

# Smaller floating point numbers go with a scale that a state dict does not say; whole ones are counters.
_TAKEN = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32)


@dataclass(frozen=True)
class Match:
    """``tensors`` fit; of them ``reshaped`` had axes of length 1 too many or too few.

    ``missing`` names the network's own that the file has not (or has in another shape or type), ``left_over`` the file's that
    have no place in the network. ``notes`` are sentences on what else a user should know.
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
    """What of ``state``, under our names, fits ``network``, in the network's types of numbers: half precision becomes float32.

    A counter of batches that the file lacks is not missed.
    """
    wanted = network.state_dict()
    tensors, reshaped, left_over = {}, [], []
    for name, tensor in state.items():
        if name not in wanted:
            left_over.append(name)
        elif not _is_like(tensor, wanted[name]):
            left_over.append(f"{name} (of type {_type(tensor)}, not {_type(wanted[name])})")
        elif tensor.shape == wanted[name].shape:
            tensors[name] = tensor
        elif _squeezed(tensor) == _squeezed(wanted[name]):
            tensors[name] = tensor.reshape(wanted[name].shape)
            reshaped.append(name)
        else:
            left_over.append(f"{name} (of shape {tuple(tensor.shape)}, not {tuple(wanted[name].shape)})")
    # Half a module is none: where one tensor of an insertion has another shape, the others are left over too.
    misfits = {_insertion(name) for name in state if name in wanted and name not in tensors} - {""}
    for name in [name for name in tensors if _insertion(name) in misfits]:
        del tensors[name]
        left_over.append(name)
    reshaped = [name for name in reshaped if name in tensors]
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    tensors = {name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()}
    odd = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    notes = (f"there is NaN or infinity in {len(odd)} of the tensors, the first of them {_bare(odd[0])}",) if odd else ()
    return Match(tensors, tuple(reshaped), tuple(missing), tuple(left_over), notes)


def require_backbone(found: Match, what: str, backbone: str) -> None:
    """Raises UserError unless every weight of the backbone is there, and none of a larger one beside them."""
    missing, extra = ([name for name in names if name.startswith("backbone.")] for names in (found.missing, found.left_over))
    have = sum(name.startswith("backbone.") for name in found.tensors)
    reason = ""
    if missing:
        shaped = next((name for name in extra if name.startswith(f"{missing[0]} (of ")), missing[0])
        reason = f"of its backbone {have} tensors are there and {len(missing)} missing, the first of them {_bare(shaped)}"
    # What has another shape or type is missing, or a counter of batches.
    elif others := [name for name in extra if " (of " not in name]:
        reason = (
            f"beside its backbone's {have} tensors there are {len(others)} of another, the first of them {_bare(others[0])}"
        )
    if reason:
        raise UserError(f"{what} are not the weights of {backbone}: {reason}")


def _bare(name: str) -> str:
    layer, space, shape = name.removeprefix("backbone.").partition(" ")
    return f"{layer!r}{space}{shape}"


def _insertion(name: str) -> str:
    """``insertions.<site>`` of a tensor of a module, or nothing."""
    return ".".join(name.split(".")[:2]) if name.startswith("insertions.") else ""


def _is_like(tensor: Tensor, wanted: Tensor) -> bool:
    """Whether a tensor's numbers can be taken for a network's: of 16 bits or more, and none of them made up by the change."""
    if tensor.dtype not in _TAKEN:
        return False
    # A whole checkpoint is often halved, its counters of batches too.
    return wanted.is_floating_point() == tensor.is_floating_point() or (
        not wanted.is_floating_point() and wanted.dim() == 0 and tensor.numel() == 1 and bool(tensor.isfinite().all())
    )


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _squeezed(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape if size != 1)
