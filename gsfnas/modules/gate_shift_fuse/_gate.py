"""The learnable gate: the tanh of a 3x3x3 convolution per group (equations 1, 2).

In the published code a BatchNorm and a ReLU precede the convolution, which has a bias; here both are optional.

N clips * frames, B clips, T frames, c shifted channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsfnas.modules.gate_shift_fuse._shift import shifted


class LearnableGate(nn.Module):
    """A gating plane in (-1, 1) for each of two groups: (N, c, H, W) -> (N, 2, H, W). Its initial value is zero, as published.

    The 3x3x3 convolution runs as one grouped 2D convolution with an output for each temporal tap, which are then added along
    time. On CPUs this is many times faster than a Conv3d with two outputs, and the features need no transposed copy.
    """

    def __init__(self, num_shifted: int, frames: int, *, norm: bool, bias: bool) -> None:
        super().__init__()
        self.frames = frames
        # Its statistics over (N, H, W) equal those of a BatchNorm3d over clips, frames and positions.
        self.norm = nn.BatchNorm2d(num_shifted) if norm else None
        self.weight = nn.Parameter(torch.zeros(2, num_shifted // 2, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(2)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = F.relu(self.norm(x))
        taps = F.conv2d(x, self.weight.transpose(1, 2).flatten(0, 1), padding=1, groups=2).to(self.weight.dtype)
        # Only the convolution runs in half precision: the additions and the tanh cost nothing in that of the weights.
        before, now, after = torch.unflatten(torch.unflatten(taps, 1, (2, 3)), 0, (-1, self.frames)).unbind(3)
        # The first tap belongs to the previous frame, the last to the next one.
        planes = now + shifted(torch.stack((after, before), dim=2)).sum(dim=2)
        if self.bias is not None:
            planes = planes + self.bias.view(2, 1, 1)
        return planes.flatten(0, 1).tanh()
