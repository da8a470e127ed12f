"""From a batch of bytes to what a network reads.

Shapes: B clips, T frames, N = B*T, H x W pixels.
"""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn

from gsfnas.weights._pixels import IMAGENET, Pixels


def to_frames(clips: Tensor, device: torch.device, pixels: Pixels = IMAGENET, *, is_channels_last: bool = True) -> Tensor:
    """uint8 (..., T,3,H,W) -> float (N,3,H,W) on the device, as ``pixels`` say. Bytes travel, not floats."""
    frames = clips.to(device, non_blocking=True).flatten(0, -4)
    if pixels.order == "bgr":
        frames = frames.flip(1)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    floats = frames.to(torch.float32, memory_format=layout)
    mean, std = _mean_and_std(pixels, device)
    return floats.sub_(mean).div_(std)


@cache
def _mean_and_std(pixels: Pixels, device: torch.device) -> tuple[Tensor, Tensor]:
    """On the device once: a copy in each step would make a GPU wait."""
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (pixels.mean, pixels.std))
    return mean, std


def to_device(labels: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Labels on the device. A GPU copies from pinned memory while it computes; a copy from elsewhere would wait for it."""
    return {task: _pinned(values, device).to(device, non_blocking=True) for task, values in labels.items()}


def _pinned(values: Tensor, device: torch.device) -> Tensor:
    return values.pin_memory() if device.type == "cuda" and values.device.type == "cpu" else values


def channels_last(network: nn.Module) -> None:
    """Lays out the weights of 2D convolutions as the frames are; ``Module.to`` would refuse those of 3D convolutions."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
