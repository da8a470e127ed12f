"""The learnable fusion: a weight for every channel and frame, from pooled features (equations 7, 8).

In the published code the convolutions have a bias; here it is optional. N clips*frames, B clips, T frames, h channels a group.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LearnableFuse(nn.Module):
    """The weight of the shifted features: two pooled maps (N, 2, h) -> (N, 2, h), in (0, 1).

    Each group has a 3x3 convolution over its (channel, frame) map, with two input planes, shifted and residual, and torch's
    default initialisation, as published. The two run as one grouped convolution, in the precision of the weights.
    """

    def __init__(self, frames: int, *, bias: bool) -> None:
        super().__init__()
        self.frames = frames
        self.weight = nn.Parameter(torch.empty(2, 2, 3, 3))
        self.bias = nn.Parameter(torch.empty(2)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            nn.init.uniform_(self.bias, -1 / math.sqrt(18), 1 / math.sqrt(18))

    def forward(self, shifted: Tensor, residual: Tensor) -> Tensor:
        with torch.autocast(shifted.device.type, enabled=False):
            maps = torch.stack((shifted, residual), dim=2).to(self.weight.dtype)  # (N, 2 groups, 2 planes, h)
            maps = torch.unflatten(maps, 0, (-1, self.frames)).permute(0, 2, 3, 4, 1).flatten(1, 2)  # (B, 2 * 2, h, T)
            share = F.conv2d(maps, self.weight, self.bias, padding=1, groups=2).sigmoid()  # (B, 2, h, T)
        return share.permute(0, 3, 1, 2).flatten(0, 1)
