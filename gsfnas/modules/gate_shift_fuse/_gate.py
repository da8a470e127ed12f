"""The learnable gate: tanh of one 3x3x3 convolution a group (equations 1, 2).

The published code puts a BatchNorm and a ReLU before the convolution and gives it a bias; both are switches here. N clips *
frames, B clips, T frames, c shifted channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsfnas.modules.gate_shift_fuse._shift import shifted


class LearnableGate(nn.Module):
    """One gating plane in (-1, 1) for each of two groups: (N, c, H, W) -> (N, 2, H, W). It starts at zero, as published.

    The 3x3x3 convolution runs as one grouped 2D convolution with an output for each temporal tap, which are then added along
    time: on CPUs a Conv3d with two outputs is many times slower, and the features need no transposed copy.
    """

    def __init__(self, num_shifted: int, frames: int, *, norm: bool, bias: bool) -> None:
        super().__init__()
        self.frames = frames
        # Over (N, H, W) it takes the same statistics as a BatchNorm3d over clips, frames and positions.
        self.norm = nn.BatchNorm2d(num_shifted) if norm else None
        self.weight = nn.Parameter(torch.zeros(2, num_shifted // 2, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(2)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = F.relu(self.norm(x))
        taps = F.conv2d(x, self.weight.transpose(1, 2).flatten(0, 1), padding=1, groups=2).to(self.weight.dtype)
        # Half precision ends with the convolution: three taps and a tanh in the precision of the weights cost nothing.
        before, now, after = torch.unflatten(torch.unflatten(taps, 1, (2, 3)), 0, (-1, self.frames)).unbind(3)
        # The first tap belongs to the previous frame, the last to the next one.
        planes = now + shifted(torch.stack((after, before), dim=2)).sum(dim=2)
        if self.bias is not None:
            planes = planes + self.bias.view(2, 1, 1)
        return planes.flatten(0, 1).tanh()
