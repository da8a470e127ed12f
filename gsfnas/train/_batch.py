"""From a batch of bytes to what a network reads.

Shapes: B clips, T frames, N = B*T, H x W pixels.
"""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn

# ImageNet's, in bytes: what pretrained weights expect, and close enough to standardised for the rest.
_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


def to_frames(clips: Tensor, device: torch.device) -> Tensor:
    """uint8 (B,T,3,H,W) -> float (N,3,H,W) on the device, normalised, channels last. Bytes travel, not floats."""
    frames = clips.to(device, non_blocking=True).flatten(0, 1)
    floats = frames.to(torch.float32, memory_format=torch.channels_last)
    mean, std = _mean_and_std(device)
    return floats.sub_(mean).div_(std)


@cache
def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """On the device once: a copy in each step would make a GPU wait."""
    return (torch.tensor(_MEAN, device=device).view(1, 3, 1, 1), torch.tensor(_STD, device=device).view(1, 3, 1, 1))


def to_device(labels: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {task: values.to(device, non_blocking=True) for task, values in labels.items()}


def channels_last(network: nn.Module) -> None:
    """Lays out the weights of 2D convolutions as the frames are; ``Module.to`` would refuse those of 3D convolutions."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
