"""The temporal shift of channel groups, for the plain and the fast implementation.

The first of two groups is taken from the next frame, the second from the previous one, with zeros at the ends of a clip.

N clips * frames, B clips, T frames, C channels.
"""

from typing import Any

import torch
from torch import Tensor

from gsfnas.modules.gate_shift_fuse._triton_call import on_triton


def shifted(x: Tensor) -> Tensor:
    """Shifts (B, T, 2, ...), with operators that autograd and compilers support."""
    first, second = x[:, :, 0], x[:, :, 1]
    zeros = torch.zeros_like(first[:, :1])
    return torch.stack((torch.cat((first[:, 1:], zeros), dim=1), torch.cat((zeros, second[:, :-1]), dim=1)), dim=2)


def shift(x: Tensor, frames: int, half: int, *, inplace: bool = False) -> Tensor:
    """Takes the first ``half`` channels of (N, C, H, W) from the next frame, and the second ``half`` from the previous one.

    Further channels stay unchanged.
    """
    moved: Tensor = _Shift.apply(x, frames, half, 1, inplace)
    return moved


class _Shift(torch.autograd.Function):
    """With its own backward pass, since that of slices would create and add a tensor of zeros for every slice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frames: int, half: int, step: int, inplace: bool) -> Tensor:
        ctx.frames, ctx.half, ctx.step = frames, half, step
        if inplace:
            ctx.mark_dirty(x)
        if on_triton(x):
            from gsfnas.modules.gate_shift_fuse._triton import shifted_by_one

            with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
                return shifted_by_one(x, frames, half, step, inplace=inplace)
        out = x if inplace else x.clone()
        clips_in, clips = torch.unflatten(x, 0, (-1, frames)), torch.unflatten(out, 0, (-1, frames))
        for group, direction in ((slice(0, half), step), (slice(half, 2 * half), -step)):
            # In an order in which, in place, every frame is read before it is overwritten.
            order = range(frames - 1) if direction > 0 else range(frames - 1, 0, -1)
            for frame in order:
                clips[:, frame, group] = clips_in[:, frame + direction, group]
            clips[:, -1 if direction > 0 else 0, group] = 0
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        return _Shift.apply(grads[0], ctx.frames, ctx.half, -ctx.step, False), None, None, None, None
