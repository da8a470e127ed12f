"""Moves along time: the shift of channel groups, gating with it (equations 1 to 6), the sum of a convolution's temporal taps.

N clips * frames, B clips, T frames, c touched channels. Each is an ``autograd.Function``: autograd through slices would fill
and add a whole tensor of zeros for every slice, and keep products that are cheaper to compute again.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, frames: int, half: int, step: int) -> Tensor:
        ctx.frames, ctx.half, ctx.step = frames, half, step
        return _moved(x, frames, half, step)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return _Shift.apply(grads[0], ctx.frames, ctx.half, -ctx.step), None, None, None


def _moved(x: Tensor, frames: int, half: int, step: int) -> Tensor:
    """Channels [0, half) from frame t + step, [half, 2 half) from frame t - step, the others as they are; step is 1 or -1."""
    out = torch.empty_like(x)
    source, target = torch.unflatten(x, 0, (-1, frames)), torch.unflatten(out, 0, (-1, frames))
    for group, direction in ((slice(0, half), step), (slice(half, 2 * half), -step)):
        if direction > 0:
            target[:, :-1, group] = source[:, 1:, group]
            target[:, -1, group] = 0
        else:
            target[:, 1:, group] = source[:, :-1, group]
            target[:, 0, group] = 0
    if 2 * half < x.shape[1]:
        target[:, :, 2 * half :] = source[:, :, 2 * half :]
    return out


def shift(x: Tensor, frames: int, half: int) -> Tensor:
    """The first ``half`` channels of (N, C, H, W) from the next frame of the clip, the second ``half`` from the previous one.

    Zeros at the ends of a clip; channels past the two groups stay as they are.
    """
    shifted: Tensor = _Shift.apply(x, frames, half, 1)
    return shifted


class _GateShift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, gate)
        ctx.frames = frames
        # The shift of a product is the product of the shifts.
        gate = gate.to(x.dtype)
        shifted = _moved(x, frames, x.shape[1] // 2, 1)
        _by_group(shifted).mul_(_moved(gate, frames, 1, 1).unsqueeze(2))
        residual = x.clone()
        _by_group(residual).addcmul_(_by_group(x), gate.unsqueeze(2), value=-1)
        return shifted, residual

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gate = ctx.saved_tensors
        grad_shifted, grad_residual = grads
        grad_gated = _moved(grad_shifted, ctx.frames, x.shape[1] // 2, -1).sub_(grad_residual)
        planes = gate.to(x.dtype).unsqueeze(2)
        grad_x = torch.addcmul(_by_group(grad_residual), _by_group(grad_gated), planes).flatten(1, 2)
        return grad_x, _by_group(grad_gated.mul_(x)).sum(2, dtype=gate.dtype), None


def _by_group(x: Tensor) -> Tensor:
    return torch.unflatten(x, 1, (2, -1))


def gate_shift(x: Tensor, gate: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Equations 1 to 6: features (N, c, H, W) and gating planes (N, 2, H, W) to the shifted gated part and the residual.

    The planes may be of a higher precision than the features; so is their gradient, then.
    """
    shifted, residual = _GateShift.apply(x, gate, frames)
    return shifted, residual


class _SumTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, taps: Tensor, frames: int) -> Tensor:
        ctx.frames = frames
        taps = torch.unflatten(taps, 0, (-1, frames))
        total = taps[:, :, :, 1].clone()
        total[:, 1:] += taps[:, :-1, :, 0]
        total[:, :-1] += taps[:, 1:, :, 2]
        return total.flatten(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = torch.unflatten(grads[0], 0, (-1, ctx.frames))
        taps = grad.new_zeros(*grad.shape[:3], 3, *grad.shape[3:])
        taps[:, :, :, 1] = grad
        taps[:, :-1, :, 0] = grad[:, 1:]
        taps[:, 1:, :, 2] = grad[:, :-1]
        return taps.flatten(0, 1), None


def sum_taps(taps: Tensor, frames: int) -> Tensor:
    """(N, G, 3, H, W) -> (N, G, H, W): tap 0 of the previous frame, tap 1 of this one and tap 2 of the next, zeros outside."""
    total: Tensor = _SumTaps.apply(taps, frames)
    return total
