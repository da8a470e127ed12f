"""Decides when the fast implementation uses Triton kernels, and with which strides, blocks and numbers of programs.

Nothing is tuned at run time. The shape of a site determines the blocks; few distinct ones keep the number of compiled kernels
small.
"""

import functools
import importlib
from typing import NamedTuple

import torch
from torch import Tensor

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# About two programs of eight warps per multiprocessor of a large GPU.
_PROGRAMS = 256
# The second axis of a grid holds two programs per image, and at most 65535.
_MOST_IMAGES = 32767
# Kernels index elements with 32 bits.
_MOST_NUMBERS = 2**31


class Strides(NamedTuple):
    """Strides of (N, C, H * W), in elements."""

    image: int
    channel: int
    position: int


@functools.cache
def has_triton(device: torch.device) -> bool:
    """Whether kernels can be compiled for this GPU (cached)."""
    if torch.version.hip is not None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        importlib.import_module("triton")
    except ImportError:
        return False
    return True


def on_triton(x: Tensor, *weights: Tensor | None) -> bool:
    """Whether kernels support these features and weights: on a GPU, dense, in single or half precision."""
    if not (x.is_cuda and x.dtype in _DTYPES and x.shape[0] <= _MOST_IMAGES and 0 < x.numel() < _MOST_NUMBERS and is_dense(x)):
        return False
    return has_triton(x.device) and all(weight is None or weight.dtype in (torch.float32, x.dtype) for weight in weights)


def is_dense(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) or x.is_contiguous()


def strides_of(x: Tensor) -> Strides:
    """The strides of dense features."""
    _, channels, height, width = x.shape
    if x.is_contiguous(memory_format=torch.channels_last):
        return Strides(channels * height * width, 1, channels)
    return Strides(channels * height * width, height * width, 1)


def empty_shifted(x: Tensor, num_shifted: int) -> Tensor:
    """An uninitialised tensor (N, num_shifted, H, W), dense, in the memory format of ``x``."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    shape = (x.shape[0], num_shifted, *x.shape[2:])
    return torch.empty(
        shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last if last else torch.contiguous_format
    )


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least ``number``."""
    return 1 << (number - 1).bit_length()


def blocked(number: int, most: int, least: int = 1) -> int:
    """The block size for ``number`` items: a power of two from ``least`` to ``most``."""
    return max(least, min(most, power_of_two(number)))


def rows_beside(channels: int, num_positions: int, elements: int) -> int:
    """The number of positions in a tile of ``channels`` channels and about ``elements`` elements."""
    return blocked(num_positions, max(1, min(256, elements // channels)))


def divided(number: int, by: int) -> int:
    """``number / by``, rounded up."""
    return -(-number // by)


def num_splits(programs: int, tiles: int) -> int:
    """The number of parts into which each of ``programs`` loops over ``tiles`` is split, to have enough programs."""
    wanted = max(1, min(4, tiles, divided(_PROGRAMS, programs)))
    return divided(tiles, divided(tiles, wanted))


def num_chunks(programs: int, tiles: int) -> int:
    """Like ``num_splits``, for loops over all images, where each part leaves a partial sum to add."""
    wanted = max(1, min(tiles, divided(2 * _PROGRAMS, programs)))
    return divided(tiles, divided(tiles, wanted))
