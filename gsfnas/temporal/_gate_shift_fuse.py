"""Gate, shift, fuse (Gate-Shift-Fuse, section 3.1, equations 1 to 10) and the family it spans.

The first two halves of the touched channels are two groups. Each is split by its gate into a gated part, which moves one frame
(the first group takes from the next frame, the second from the previous one, zeros at the ends), and the residual, which stays;
the two are then summed or mixed by a learned weight for every channel and frame. The published code departs from the equations
in three ways, each a switch: ``gate_norm`` (BatchNorm and ReLU before the gate), ``bias`` (in all three convolutions) and
``interleave`` (the two halves of each group's channels alternate in the output).

N clips*frames, B clips, T frames, C channels, c touched channels.
"""

import torch
from torch import Tensor, nn

from gsfnas.candidate import Insertion, Site
from gsfnas.errors import UserError
from gsfnas.spec import Options, touched_channels
from gsfnas.temporal._counting import CountingForm
from gsfnas.temporal._fuse import LearnableFuse
from gsfnas.temporal._gate import LearnableGate
from gsfnas.temporal._shift import gate_shift, shift


class GateShiftFuse(nn.Module):
    """(N, C, H, W) -> (N, C, H, W), where each ``frames`` images in a row are one clip.

    ``gate`` is learnable, 1, -1 or 0; ``fuse`` is learnable or sum. ``ratio`` of the channels are touched, rounded down to a
    multiple of 4, or exactly ``touched``; the others pass bit for bit. A switch that is None is as published where the gate is
    learnable; with a fixed gate nothing is interleaved, so that gate 1 with sum is TSM.

    Raises UserError for a parameter that cannot be, and in ``forward`` where N is no whole number of clips.
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
        touched: int | None = None,
    ) -> None:
        super().__init__()
        if frames < 1:
            raise UserError(f"`frames` must be at least 1, but got {frames}")
        if touched is None:
            touched = touched_channels(channels, ratio)
        elif touched % 4 or not 4 <= touched <= channels:
            raise UserError(f"`touched` must be a multiple of 4 from 4 to {channels}, but got {touched}")
        self.channels, self.frames = channels, frames
        self.options = Options.of(touched, str(gate), fuse, gate_norm, bias, interleave)
        options = self.options
        self.gate = LearnableGate(touched, frames, norm=options.gate_norm, bias=options.bias) if gate == "learnable" else None
        self.fuse = LearnableFuse(frames, bias=options.bias) if fuse == "learnable" else None

    def extra_repr(self) -> str:
        options = self.options
        return f"{self.channels}, touched={options.touched}, frames={self.frames}, gate={options.gate}, fuse={options.fuse}"

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] % self.frames:
            raise UserError(f"the number of images must be a multiple of {self.frames} frames, but got {x.shape[0]}")
        if x.shape[1] != self.channels:
            raise UserError(f"the features must have {self.channels} channels, but got {x.shape[1]}")
        options = self.options
        if (options.fuse, options.interleave) == ("sum", False):
            if options.gate == "0":
                return x
            if options.gate == "1":
                return shift(x, self.frames, options.touched // 2)
        touched, rest = torch.split(x, [options.touched, self.channels - options.touched], dim=1)
        out = self._fused(*self._shifted_and_residual(touched))
        if options.interleave:
            out = interleave(out)
        return torch.cat((out, rest), dim=1) if rest.shape[1] else out

    def _shifted_and_residual(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Equations 1 to 6 on (N, c, H, W); None is zero everywhere."""
        half = self.options.touched // 2
        if self.gate is None:
            if self.options.gate == "0":
                return None, x
            shifted = shift(x, self.frames, half)
            return (shifted, None) if self.options.gate == "1" else (-shifted, 2 * x)
        return gate_shift(x, self.gate(x), self.frames)

    def _fused(self, shifted: Tensor | None, residual: Tensor | None) -> Tensor:
        """Equations 7 to 10, or the sum, of two (N, c, H, W)."""
        present = shifted if residual is None else residual
        assert present is not None
        if self.fuse is None:
            return present if shifted is None or residual is None else residual.add_(shifted)
        pooled = _pooled(present)
        zeros = torch.zeros_like(pooled)
        if shifted is None:
            return present * (1 - self._share(zeros, pooled, present))
        if residual is None:
            return present * self._share(pooled, zeros, present)
        share = self._share(_pooled(shifted), pooled, present)
        # In place, as nothing else needs the two: residual + share * (shifted - residual).
        return residual.addcmul_(shifted.sub_(residual), share)

    def _share(self, shifted: Tensor, residual: Tensor, like: Tensor) -> Tensor:
        assert self.fuse is not None
        share: Tensor = self.fuse(shifted, residual)
        return share.to(like.dtype)[:, :, None, None]

    def counting_form(self) -> nn.Module:
        """The same weights as plain modules with an equal output, in eval mode: what operation counters run on."""
        return CountingForm(self.channels, self.frames, self.options, self.gate, self.fuse)


def _pooled(x: Tensor) -> Tensor:
    """(N, c, H, W) -> (N, c): the spatial mean, in single precision at least (a sum, as its gradient needs no new tensor)."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return x.sum(dim=(2, 3), dtype=dtype) / (x.shape[2] * x.shape[3])


def interleave(x: Tensor) -> Tensor:
    """(N, c, H, W): each half of the channels is viewed as 2 x c/4 and transposed."""
    if x.is_contiguous(memory_format=torch.channels_last):
        nhwc = torch.unflatten(x.permute(0, 2, 3, 1), 3, (2, 2, -1))
        return nhwc.transpose(4, 5).flatten(3, 5).permute(0, 3, 1, 2)
    return torch.unflatten(x, 1, (2, 2, -1)).transpose(2, 3).flatten(1, 3)


def build_module(insertion: Insertion, site: Site, frames: int) -> nn.Module:
    """The module of a canonical insertion at its site, for clips of ``frames`` frames."""
    assert insertion.module == "gate_shift_fuse", insertion.module
    options = Options.of_insertion(insertion)
    return GateShiftFuse(
        site.channels,
        frames,
        gate=options.gate,
        fuse=options.fuse,
        gate_norm=options.gate_norm,
        bias=options.bias,
        interleave=options.interleave,
        touched=options.touched,
    )
