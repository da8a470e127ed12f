"""The operator built from plain modules, as it was published, so that fvcore and ptflops can count it.

They count modules (ptflops) or traced convolutions (fvcore), while the cost must not depend on the implementation that runs.
This form is only for counting: it is slower and always in eval mode.
"""

import torch
from torch import Tensor, nn

from gsfnas.modules.gate_shift_fuse._fuse import LearnableFuse
from gsfnas.modules.gate_shift_fuse._gate import LearnableGate
from gsfnas.modules.gate_shift_fuse.spec import Options


class CountingForm(nn.Module):
    """The operator as Conv3d, BatchNorm3d, ReLU, Tanh, Conv2d and Sigmoid: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(
        self, channels: int, frames: int, options: Options, gate: LearnableGate | None, fuse: LearnableFuse | None
    ) -> None:
        super().__init__()
        self.channels, self.frames, self.options = channels, frames, options
        self.gate = None if gate is None else _plain_gate(gate)
        self.fuse = None if fuse is None else nn.ModuleList(_plain_fuse(fuse, group) for group in range(2))
        self.eval()

    def forward(self, x_nchw: Tensor) -> Tensor:
        moving, rest = torch.split(x_nchw, [self.options.num_shifted, self.channels - self.options.num_shifted], dim=1)
        x = torch.unflatten(moving, 0, (-1, self.frames)).transpose(1, 2).contiguous()  # (B, c, T, H, W)
        gates = (float(self.options.gate),) * 2 if self.gate is None else self.gate(x).split(1, dim=1)
        groups = []
        for group, (part, gate) in enumerate(zip(x.chunk(2, dim=1), gates, strict=True)):
            gated = part * gate
            residual = part - gated
            shifted = _shift3d(gated, forward=group == 0)
            if self.fuse is None:
                out = shifted + residual
            else:
                maps = torch.stack((shifted.mean(dim=(3, 4)), residual.mean(dim=(3, 4))), dim=1)  # (B, 2, c/2, T)
                share = self.fuse[group](maps).squeeze(1)[..., None, None]
                out = shifted * share + residual * (1 - share)
            if self.options.interleave:
                out = torch.unflatten(out, 1, (2, -1)).transpose(1, 2).flatten(1, 2)
            groups.append(out)
        return torch.cat((torch.cat(groups, dim=1).transpose(1, 2).flatten(0, 1), rest), dim=1)


def _shift3d(x: Tensor, *, forward: bool) -> Tensor:
    """(B, c, T, H, W): replaces each frame by the next one (``forward``) or the previous one; zeros at the end."""
    zeros = torch.zeros_like(x[:, :, :1])
    return torch.cat((x[:, :, 1:], zeros) if forward else (zeros, x[:, :, :-1]), dim=2)


def _plain_gate(gate: LearnableGate) -> nn.Sequential:
    num_shifted = 2 * gate.weight.shape[1]
    modules: list[nn.Module] = []
    if gate.norm is not None:
        norm = nn.BatchNorm3d(num_shifted, device=gate.weight.device, dtype=gate.weight.dtype)
        norm.load_state_dict(gate.norm.state_dict())
        modules += [norm, nn.ReLU()]
    convolution = nn.Conv3d(num_shifted, 2, 3, padding=1, groups=2, bias=gate.bias is not None)
    _copy(convolution, gate.weight, gate.bias)
    return nn.Sequential(*modules, convolution, nn.Tanh())


def _plain_fuse(fuse: LearnableFuse, group: int) -> nn.Sequential:
    convolution = nn.Conv2d(2, 1, 3, padding=1, bias=fuse.bias is not None)
    _copy(convolution, fuse.weight[group : group + 1], None if fuse.bias is None else fuse.bias[group : group + 1])
    return nn.Sequential(convolution, nn.Sigmoid())


def _copy(convolution: nn.Conv2d | nn.Conv3d, weight: Tensor, bias: Tensor | None) -> None:
    convolution.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        convolution.bias = nn.Parameter(bias.detach().clone())
