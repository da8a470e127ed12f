"""Keeps all clips of a split on the GPU: a batch then copies the positions of its pixels, and the GPU gathers the pixels.

Shapes: B clips, T frames, H x W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from gsfnas.data import ClipSplit
from gsfnas.data.twins._data_set import _Rendered
from gsfnas.data.video._clips import ALL, Clips, Labels

# The part of the free memory for clips; the network and other workers need the rest.
_MEMORY_FRACTION = 1 / 16


@dataclass(frozen=True, kw_only=True)
class ResidentSplit(ClipSplit):
    """A split whose batches are built on the device: the same clips, bit for bit, in the same order.

    ``pixels``, (clips * H * W, T * 3), has the colours of every position over time. ``read`` returns positions instead of
    clips, so that augmentation shifts and mirrors the positions.
    """

    pixels: Tensor = field(repr=False)

    def batches(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        for positions, labels in super().batches(*args, **kwargs):
            yield self._clips(positions), labels

    def _clips(self, positions: Tensor) -> Tensor:
        """(B, 1, 1, H, W) -> (B, T, 3, H, W)."""
        clips, _, _, height, width = positions.shape
        found = positions.to(self.pixels.device, non_blocking=True).flatten()
        return self.pixels.index_select(0, found).view(clips, height, width, -1, 3).permute(0, 3, 4, 1, 2)


@dataclass(frozen=True)
class _Positions:
    """Reads the positions of each clip's pixels in ``ResidentSplit.pixels``, as one grey frame: (B, 1, 1, H, W)."""

    height: int
    width: int

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        size = self.height * self.width
        starts = indices[part].astype(np.int32) * np.int32(size)
        positions = starts[:, None] + np.arange(size, dtype=np.int32)
        return cast(Clips, positions.reshape(-1, 1, 1, self.height, self.width))


def on_device(split: ClipSplit, device: torch.device) -> ClipSplit:
    """Makes the split resident on a GPU with enough memory, if ``can_stay``; returns it unchanged otherwise."""
    if device.type != "cuda" or not can_stay(split):
        return split
    first = split.read(np.array([0]), None)
    free, _ = torch.cuda.mem_get_info(device)
    is_small = first.nbytes * len(split) < free * _MEMORY_FRACTION and first[0, 0, 0].size * len(split) < 2**31
    return resident(split, device) if is_small else split


def can_stay(split: ClipSplit) -> bool:
    """Whether augmentation only shifts and mirrors these clips, so that it can be applied to positions."""
    return isinstance(split.read, _Rendered) and not split.read.is_cropped and split.policy == "none"


def resident(split: ClipSplit, device: torch.device) -> ResidentSplit:
    """The split with all its clips on ``device``."""
    clips = torch.from_numpy(split.read(np.arange(len(split)), None)).to(device)
    height, width = clips.shape[-2:]
    pixels = clips.permute(0, 3, 4, 1, 2).reshape(len(split) * height * width, -1)
    kept = {each.name: getattr(split, each.name) for each in fields(ClipSplit)}
    return ResidentSplit(**kept | {"read": _Positions(height, width), "workers": 0}, pixels=pixels)
