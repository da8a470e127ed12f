"""The learnable gate: tanh of one 3x3x3 convolution a group (equations 1, 2).

The published code puts a BatchNorm and a ReLU before the convolution and gives it a bias; both are switches here. N clips *
frames, c touched channels, T frames.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsfnas.temporal._shift import sum_taps


class LearnableGate(nn.Module):
    """One gating plane in (-1, 1) for each of two groups: (N, c, H, W) -> (N, 2, H, W). It starts at zero, as published.

    The 3x3x3 convolution runs as one grouped 2D convolution with three outputs a group, one for each temporal tap, which are
    then added along time: on CPUs a Conv3d with two outputs is many times slower, and the features need no transposed copy.
    """

    def __init__(self, touched: int, frames: int, *, norm: bool, bias: bool) -> None:
        super().__init__()
        self.frames = frames
        # Over (N, H, W) it takes the same statistics as a BatchNorm3d over clips, frames and positions.
        self.norm = nn.BatchNorm2d(touched) if norm else None
        self.weight = nn.Parameter(torch.zeros(2, touched // 2, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(2)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        # Grouped convolutions with few outputs are several times faster in this layout, copy included.
        if self.norm is None:
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            x = F.relu(self.norm(x).contiguous(memory_format=torch.channels_last), inplace=True)
        taps = F.conv2d(x, self.weight.transpose(1, 2).flatten(0, 1), padding=1, groups=2).to(self.weight.dtype)
        # Half precision ends with the convolution: three taps and a tanh in the precision of the weights cost nothing.
        planes = sum_taps(torch.unflatten(taps, 1, (2, 3)), self.frames)
        if self.bias is not None:
            planes = planes + self.bias.view(2, 1, 1)
        return planes.tanh()
