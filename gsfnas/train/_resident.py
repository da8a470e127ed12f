"""Clips that stay on a GPU: with a batch their positions travel, not their pixels, and no processor has to move pixels.

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

# Of the memory that is free: the network needs the rest, and other workers' networks.
_SHARE = 1 / 16


@dataclass(frozen=True, kw_only=True)
class ResidentSplit(ClipSplit):
    """A split whose batches are on the device: the same clips, bit for bit, in the same order.

    ``pixels``, (clips * H * W, T * 3), holds every position's colours over time. ``read`` gives positions in place of clips, so
    that what moves and mirrors pixels on the way moves and mirrors these.
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
    """Reads of each clip where its pixels stand among all, as if they were one grey frame: (B, 1, 1, H, W)."""

    height: int
    width: int

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        size = self.height * self.width
        starts = indices[part].astype(np.int32) * np.int32(size)
        positions = starts[:, None] + np.arange(size, dtype=np.int32)
        return cast(Clips, positions.reshape(-1, 1, 1, self.height, self.width))


def on_device(split: ClipSplit, device: torch.device) -> ClipSplit:
    """The split, resident where that changes no clip: on a GPU with room, of clips that training only moves and mirrors."""
    if device.type != "cuda" or not can_stay(split):
        return split
    first = split.read(np.array([0]), None)
    free, _ = torch.cuda.mem_get_info(device)
    is_small = first.nbytes * len(split) < free * _SHARE and first[0, 0, 0].size * len(split) < 2**31
    return resident(split, device) if is_small else split


def can_stay(split: ClipSplit) -> bool:
    """Whether training does no more to these clips than to move and mirror their pixels."""
    return isinstance(split.read, _Rendered) and not split.read.is_cropped and split.policy == "none"


def resident(split: ClipSplit, device: torch.device) -> ResidentSplit:
    """The split with its clips on ``device``."""
    clips = torch.from_numpy(split.read(np.arange(len(split)), None)).to(device)
    height, width = clips.shape[-2:]
    pixels = clips.permute(0, 3, 4, 1, 2).reshape(len(split) * height * width, -1)
    kept = {each.name: getattr(split, each.name) for each in fields(ClipSplit)}
    return ResidentSplit(**kept | {"read": _Positions(height, width), "workers": 0}, pixels=pixels)
