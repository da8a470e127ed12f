"""Which devices there are, asked once and not before a test needs to know."""

import functools
from contextlib import contextmanager

import pytest
import torch

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@functools.cache
def num_gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def need_gpus(count: int) -> None:
    """Skips the test where there are fewer."""
    if num_gpus() < count:
        there = f"there is {num_gpus()}" if num_gpus() else "torch finds no CUDA device"
        pytest.skip(f"needs {count} GPUs, but {there}" if count > 1 else f"needs a GPU, but {there}")


@contextmanager
def no_synchronisation(device: torch.device):
    """Within, whatever makes the processor wait for the GPU is an error. On a CPU there is nothing to wait for."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
