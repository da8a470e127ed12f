"""Memory in bytes: the activation memory of training, and the peak of a forward pass without gradients."""

import weakref
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def saved_bytes(module: nn.Module, inputs: torch.Tensor) -> int:
    """Activation memory: bytes of the distinct storages that autograd keeps for the backward pass of ``module(inputs)``.

    Parameters, buffers and the input itself do not count, since they exist anyway. The module stays in its train or eval mode.
    """
    present = {tensor.untyped_storage().data_ptr() for tensor in [*module.parameters(), *module.buffers(), inputs]}
    # Storages are kept alive until they are counted: another tensor could reuse the address of a freed one.
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in present:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = module(inputs)
    total = sum(storage.nbytes() for storage in kept.values())
    del outputs
    return total


def peak_inference_bytes(model: nn.Module, inputs: torch.Tensor) -> int:
    """Peak bytes of live tensors during ``model(inputs)`` without gradients: weights, input and feature maps.

    Counted from the tensors themselves, so it is the same on every device and in every run. It does not include the allocator's
    rounding or the workspace that a library uses within one operation.
    """
    tracker = _LiveStorages([*model.parameters(), *model.buffers(), inputs])
    with torch.inference_mode(False), torch.no_grad(), tracker:
        model(inputs)
    return tracker.peak


class _LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tracks every storage that an operation returns until it is freed."""

    def __init__(self, present: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live: dict[int, int] = {}
        self._now = 0
        self.peak = 0
        for tensor in present:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for tensor in outputs if isinstance(outputs, tuple | list) else (outputs,):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor)
        return outputs

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        pointer = storage._cdata
        if pointer in self._live:
            return
        self._live[pointer] = storage.nbytes()
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._remove, pointer)

    def _remove(self, pointer: int) -> None:
        self._now -= self._live.pop(pointer, 0)
