"""Converts a batch of uint8 clips to the input of a network.

Shapes: B clips, T frames, N = B*T, H x W pixels.
"""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn

from gsfnas.weights._normalization import IMAGENET, InputNormalization

_MIN_CHANNELS = 8


def to_frames(
    clips: Tensor, device: torch.device, pixels: InputNormalization = IMAGENET, *, is_channels_last: bool = True
) -> Tensor:
    """uint8 (..., T,3,H,W) -> float (N,3,H,W) on the device, normalized by ``pixels``. Only bytes are copied to the device."""
    frames = clips.to(device, non_blocking=True).flatten(0, -4)
    if pixels.order == "bgr":
        frames = frames.flip(1)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    floats = frames.to(torch.float32, memory_format=layout)
    mean, std = _mean_and_std(pixels, device)
    return floats.sub_(mean).div_(std)


@cache
def _mean_and_std(pixels: InputNormalization, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cached on the device, since a copy in each step would stall a GPU."""
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (pixels.mean, pixels.std))
    return mean, std


def to_device(labels: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Moves labels to the device, through pinned memory for a GPU, so that the copy does not wait for its computation."""
    return {task: _pinned(values, device).to(device, non_blocking=True) for task, values in labels.items()}


def _pinned(values: Tensor, device: torch.device) -> Tensor:
    return values.pin_memory() if device.type == "cuda" and values.device.type == "cpu" else values


def can_be_channels_last(network: nn.Module) -> bool:
    """Whether a network can be trained with the channels-last memory format on this processor.

    Without AVX-512, oneDNN in torch 2.14 writes beyond its buffers in the backward pass of a strided 1 x 1 convolution with
    fewer than 8 channels, and the process crashes sooner or later.
    """
    if "AVX512" in torch.backends.cpu.get_cpu_capability():
        return True
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return not any(
        conv.in_channels < _MIN_CHANNELS and conv.kernel_size == (1, 1) and max(conv.stride) > 1 for conv in convolutions
    )


def channels_last(network: nn.Module) -> None:
    """Converts the weights of 2D convolutions to channels last, if ``can_be_channels_last``.

    ``Module.to`` would raise an error for the weights of 3D convolutions.
    """
    if not can_be_channels_last(network):
        return
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
