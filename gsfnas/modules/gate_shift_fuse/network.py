"""The gate-shift-fuse operator (Gate-Shift-Fuse, section 3.1, equations 1 to 10), with GSM, TSM, TDN and TSN.

The two halves of the shifted channels are two groups. The gate of a group splits it into a gated part, which is shifted by one
frame (the first group is taken from the next frame, the second from the previous one, zeros at the ends), and the residual,
which stays. The two are then added, or mixed with a learned weight for every channel and frame. The published code departs from
the equations in three ways, each of which is an option: ``gate_norm`` (BatchNorm and ReLU before the gate), ``bias`` (in all
three convolutions) and ``interleave`` (the two halves of each group's channels alternate in the output).

N clips*frames, B clips, T frames, C channels, c shifted channels.
"""

from typing import Any

import torch
from torch import Tensor, nn

from gsfnas.errors import UserError, unknown
from gsfnas.modules.gate_shift_fuse._compiled import compiled
from gsfnas.modules.gate_shift_fuse._counting import CountingForm
from gsfnas.modules.gate_shift_fuse._fast import fast
from gsfnas.modules.gate_shift_fuse._fuse import LearnableFuse
from gsfnas.modules.gate_shift_fuse._gate import LearnableGate
from gsfnas.modules.gate_shift_fuse._shift import shift, shifted
from gsfnas.modules.gate_shift_fuse.spec import Options, shifted_channels

# plain: the equations, one after the other. fast: few passes over the features, in place if allowed. compiled: plain, through
# torch.compile. auto: fast, but plain while torch.compile traces the network.
IMPLEMENTATIONS = ("auto", "plain", "fast", "compiled")


class GateShiftFuse(nn.Module):
    """(N, C, H, W) -> (N, C, H, W), where each ``frames`` consecutive images are one clip.

    ``gate`` is learnable, 1, -1 or 0; ``fuse`` is learnable or sum. A share ``ratio`` of the channels is shifted, rounded down
    to a multiple of 4, or exactly ``num_shifted`` of them; the others pass unchanged. ``gate_norm``, ``bias`` and
    ``interleave`` are by default as published; with a fixed gate nothing is interleaved, so gate 1 with sum is TSM.

    ``inplace`` allows the fast implementation to overwrite its input, if nothing else reads it; ``implementation`` is one of
    IMPLEMENTATIONS.

    Raises UserError for an invalid parameter, and in ``forward`` for the wrong number of channels or an incomplete clip.
    """

    def __init__(
        self,
        channels: int,
        frames: int,
        *,
        ratio: float = 1.0,
        gate: str | int = "learnable",
        fuse: str = "learnable",
        gate_norm: bool | None = None,
        bias: bool | None = None,
        interleave: bool | None = None,
        num_shifted: int | None = None,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        if frames < 1:
            raise UserError(f"`frames` must be at least 1, but got {frames}")
        if num_shifted is None:
            num_shifted = shifted_channels(channels, ratio)
        elif num_shifted % 4 or not 4 <= num_shifted <= channels:
            raise UserError(f"`num_shifted` must be a multiple of 4 from 4 to {channels}, but got {num_shifted}")
        self.channels, self._frames, self.inplace, self.implementation = channels, frames, inplace, "auto"
        self.options = Options.of(num_shifted, str(gate), fuse, gate_norm, bias, interleave)
        options = self.options
        self.gate = (
            LearnableGate(num_shifted, frames, norm=options.gate_norm, bias=options.bias) if gate == "learnable" else None
        )
        self.fuse = LearnableFuse(frames, bias=options.bias) if fuse == "learnable" else None

    @property
    def frames(self) -> int:
        """The number of images in a clip, which gate and fusion depend on."""
        return self._frames

    def extra_repr(self) -> str:
        options = self.options
        parts = f"gate={options.gate}, fuse={options.fuse}"
        return f"{self.channels}, num_shifted={options.num_shifted}, frames={self.frames}, {parts}"

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, torch.fx.Proxy):
            # A tracer records a call of this module, as for torch's own modules, instead of the operations inside it.
            tracer: Any = x.tracer
            traced: Tensor = tracer.create_proxy("call_module", tracer.path_of_module(self), (x,), {})
            return traced
        if x.shape[0] % self.frames:
            raise UserError(f"the number of images must be a multiple of {self.frames} frames, but got {x.shape[0]}")
        if x.shape[1] != self.channels:
            raise UserError(f"the features must have {self.channels} channels, but got {x.shape[1]}")
        if self.implementation == "plain" or torch.compiler.is_compiling() or not self._can_be_fast(x):
            return self._plain(x)
        return _compiled(self, x) if self.implementation == "compiled" else self._fast(x)

    def _can_be_fast(self, x: Tensor) -> bool:
        """Whether the gate's norm is a BatchNorm2d over several values, and no part has hooks, which would not be called."""
        parts = [part for part in (self.gate, self.fuse, None if self.gate is None else self.gate.norm) if part is not None]
        if any(part._forward_pre_hooks or part._forward_hooks for part in parts):
            return False
        norm = None if self.gate is None else self.gate.norm
        return norm is None or (type(norm) is nn.BatchNorm2d and norm.affine and x.numel() > self.channels)

    def _fast(self, x: Tensor) -> Tensor:
        options = self.options
        if (options.fuse, options.interleave) == ("sum", False):
            if options.gate == "0":
                return x
            if options.gate == "1":
                return shift(x, self.frames, options.num_shifted // 2, inplace=self.inplace)
        return fast(x, options, self.frames, self.gate, self.fuse, inplace=self.inplace)

    def _plain(self, x: Tensor) -> Tensor:
        """Equations 1 to 10, one after the other."""
        options = self.options
        moving, rest = torch.split(x, [options.num_shifted, self.channels - options.num_shifted], dim=1)
        gate = float(options.gate) if self.gate is None else self.gate(moving).to(x.dtype).unsqueeze(2)
        groups = torch.unflatten(moving, 1, (2, -1))  # (N, 2, c/2, H, W)
        gated = groups * gate
        residual = groups - gated
        moved = torch.flatten(shifted(torch.unflatten(gated, 0, (-1, self.frames))), 0, 1)
        if self.fuse is None:
            out = moved + residual
        else:
            share = self.fuse(_pooled(moved), _pooled(residual)).to(x.dtype)[..., None, None]  # (N, 2, c/2, 1, 1)
            out = moved * share + residual * (1 - share)
        if options.interleave:
            out = torch.unflatten(out, 2, (2, -1)).transpose(2, 3)
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        return torch.cat((out.reshape(moving.shape), rest), dim=1).contiguous(memory_format=layout)

    def counting_form(self) -> nn.Module:
        """A copy built from plain modules, in eval mode, with an equal output; for operation counters."""
        return CountingForm(self.channels, self.frames, self.options, self.gate, self.fuse)


_compiled = compiled(GateShiftFuse._plain, GateShiftFuse._fast)


def _pooled(x: Tensor) -> Tensor:
    """(N, 2, h, H, W) -> (N, 2, h): the spatial mean, in at least single precision."""
    return x.mean(dim=(3, 4), dtype=torch.promote_types(x.dtype, torch.float32))


def set_implementation(network: nn.Module, implementation: str) -> None:
    """Sets the implementation of every GateShiftFuse in ``network``. Raises UserError for a name not in IMPLEMENTATIONS."""
    if implementation not in IMPLEMENTATIONS:
        raise unknown("implementation", implementation, IMPLEMENTATIONS)
    for module in network.modules():
        if isinstance(module, GateShiftFuse):
            module.implementation = implementation
