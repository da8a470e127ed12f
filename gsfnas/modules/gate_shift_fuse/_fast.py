"""The fast implementation, with few passes over the features, forward and backward; equal to the plain one (equations 1 to 10).

It saves time and memory as follows:

- Only the shifted channels are read and written. In place, the others are not even copied.
- The gate's 3x3x3 convolution is a 2D convolution with more outputs, which are then added (``_fast_gate.py``).
- The means of the shifted features are the shifted means of the gated part; those of the residual are a difference of means.
- For the backward pass only a copy of the shifted features, the planes and the shares are kept; the rest is computed again.
- Buffers are reused: newly allocated large memory causes page faults, which can take longer than the arithmetic.
- On a GPU, in single or half precision, it uses Triton kernels (``_triton.py``).

N clips * frames, B clips, T frames, C channels, c shifted channels, h = c / 2 channels a group.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsfnas.modules.gate_shift_fuse._fast_gate import (
    Norm,
    few,
    gating_planes,
    gating_planes_backward,
    norm_of,
    normalised,
    normalised_backward,
)
from gsfnas.modules.gate_shift_fuse._fuse import LearnableFuse
from gsfnas.modules.gate_shift_fuse._gate import LearnableGate
from gsfnas.modules.gate_shift_fuse._triton_call import on_triton
from gsfnas.modules.gate_shift_fuse.spec import Options

# For each group, the target and source frames of the shift.
_MOVES = ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1)))


class _Call(NamedTuple):
    """The arguments of one call that are not tensors."""

    options: Options
    frames: int
    inplace: bool
    norm: nn.BatchNorm2d | None
    triton: bool = False


class _Weights(NamedTuple):
    norm: Tensor | None
    norm_bias: Tensor | None
    gate: Tensor | None
    gate_bias: Tensor | None
    fuse: Tensor | None
    fuse_bias: Tensor | None


class _Kept(NamedTuple):
    """What the backward pass needs; fields that these options do not need are None."""

    features: Tensor | None  # (N, c, H, W), dense
    planes: Tensor | None  # (N, 2, H, W)
    mean: Tensor | None  # (c,), of the BatchNorm, as the variance
    variance: Tensor | None
    maps: Tensor | None  # (B, 2 groups * 2 planes, h, T), input of the fusion's convolution
    share: Tensor | None  # (B, 2, h, T), the weight of the shifted features


def fast(
    x: Tensor, options: Options, frames: int, gate: LearnableGate | None, fuse: LearnableFuse | None, *, inplace: bool
) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W); ``inplace`` overwrites ``x`` and returns it. The gate's norm is a BatchNorm2d or None."""
    norm = None if gate is None else gate.norm
    weights = _Weights(
        None if norm is None else norm.weight,
        None if norm is None else norm.bias,
        None if gate is None else gate.weight,
        None if gate is None else gate.bias,
        None if fuse is None else fuse.weight,
        None if fuse is None else fuse.bias,
    )
    call = _Call(options, frames, inplace, norm, triton=on_triton(x, *weights))
    with torch.autocast(x.device.type, enabled=False):
        if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in (x, *weights)):
            result: Tensor = _Fast.apply(x, call, *weights)
            return result
        return _forward(x, call, weights, keep=False)[0]


class _Fast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, call: _Call, *weights: Tensor | None) -> Tensor:
        out, kept, norm = _forward(x, call, _Weights(*weights), keep=True)
        if call.inplace:
            ctx.mark_dirty(x)
        ctx.call = call
        ctx.norm_of_batch = norm is not None and norm.of_batch
        ctx.save_for_backward(*kept, *weights)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("the fast implementation has no second derivative; set_implementation(model, 'plain') has one")
        saved = ctx.saved_tensors  # read once: under checkpointing each access computes the tensors again
        kept, weights = _Kept(*saved[: len(_Kept._fields)]), _Weights(*saved[len(_Kept._fields) :])
        grad_x, grad_weights = _backward(grads[0], ctx.call, weights, kept, ctx.norm_of_batch)
        return grad_x, None, *grad_weights


def _forward(x: Tensor, call: _Call, weights: _Weights, *, keep: bool) -> tuple[Tensor, _Kept, Norm | None]:
    if call.triton:
        from gsfnas.modules.gate_shift_fuse import _triton

        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            return _triton.forward(x, call, weights, keep=keep)
    options, num_shifted = call.options, call.options.num_shifted
    whole = num_shifted == x.shape[1]
    part = x[:, :num_shifted]
    # Broadcasting over groups is several times faster on a dense copy than on a slice of the channels.
    features = part if whole and call.inplace and not keep else part.clone(memory_format=_layout(x, num_shifted))

    norm = planes = None
    if weights.gate is None:
        gated = features * float(options.gate)
    else:
        if call.norm is not None:
            norm = norm_of(call.norm, features)
        read = features if norm is None else normalised(features, norm)
        planes = gating_planes(read, weights.gate, weights.gate_bias, call.frames)
        gated = torch.empty_like(features) if read is features else read
        torch.mul(_groups(features), planes.to(x.dtype).unsqueeze(2), out=_groups(gated))

    maps = share = None
    if weights.fuse is not None:
        maps = _maps(features, gated, call.frames, weights.fuse.dtype)
        share = F.conv2d(maps, weights.fuse, weights.fuse_bias, padding=1, groups=2).sigmoid()

    mixed = features - gated if keep else features.sub_(gated)  # the residual
    _mix(mixed, gated, share, call.frames)
    if options.interleave:
        torch.unflatten(gated, 1, (2, -1, 2)).copy_(torch.unflatten(mixed, 1, (2, 2, -1)).transpose(2, 3))
        mixed = gated
    if whole and not call.inplace:
        out = mixed.contiguous(memory_format=_format(x))
    else:
        # Copying all channels and then some of them again is faster than copying two slices.
        out = x if call.inplace else x.clone()
        if mixed.data_ptr() != out.data_ptr():
            out[:, :num_shifted] = mixed
    needs_features = weights.gate is not None or weights.fuse is not None
    mean, variance = (None, None) if norm is None else (norm.mean, norm.variance)
    return out, _Kept(features if keep and needs_features else None, planes, mean, variance, maps, share), norm


def _mix(residual: Tensor, gated: Tensor, share: Tensor | None, frames: int) -> None:
    """residual <- share * shifted + (1 - share) * residual, or their sum; ``gated`` is shifted as it is read."""
    if share is None:
        _add_shifted(residual, gated, frames)
        return
    weight = _per_image(share).to(residual.dtype)
    residual.mul_(1 - weight)
    here, there, weights = _clips(residual, frames), _clips(gated, frames), _clips(weight, frames)
    for group, (takes, gives) in enumerate(_MOVES):
        here[:, takes, group].addcmul_(there[:, gives, group], weights[:, takes, group])


def _backward(
    grad: Tensor, call: _Call, weights: _Weights, kept: _Kept, norm_of_batch: bool
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    if call.triton:
        from gsfnas.modules.gate_shift_fuse import _triton

        return _triton.backward(grad, call, weights, kept, norm_of_batch)
    options, frames, num_shifted = call.options, call.frames, call.options.num_shifted
    features, planes, share = kept.features, kept.planes, kept.share
    grad_norm = grad_norm_bias = grad_gate = grad_gate_bias = grad_fuse = grad_fuse_bias = None

    grad_mixed = grad[:, :num_shifted].contiguous(memory_format=_layout(grad, num_shifted))
    if options.interleave:
        apart = torch.empty_like(grad_mixed)
        torch.unflatten(apart, 1, (2, 2, -1)).copy_(torch.unflatten(grad_mixed, 1, (2, -1, 2)).transpose(2, 3))
        grad_mixed = apart

    gate = grad.new_full((), float(options.gate)) if planes is None else planes.to(grad.dtype).unsqueeze(2)
    grad_shifted = grad_residual = grad_mixed
    if weights.fuse is not None:
        assert features is not None
        assert share is not None
        assert kept.maps is not None
        difference = (_groups(features) * gate).flatten(1, 2)
        grad_shifted = difference.clone()  # the gated part, for now
        _add_shifted(difference.sub_(features), grad_shifted, frames)  # shifted - residual
        grad_share = _summed(difference.mul_(grad_mixed))
        grad_maps, grad_fuse, grad_fuse_bias = _fuse_backward(grad_share, share, kept.maps, weights, frames)
        weight = _per_image(share).to(grad.dtype)
        grad_pooled = grad_maps.to(grad.dtype) / (features.shape[2] * features.shape[3])  # (2, N, c, 1, 1)
        torch.addcmul(grad_pooled[0], grad_mixed, weight, out=grad_shifted)
        grad_residual = torch.addcmul(grad_pooled[1], grad_mixed, 1 - weight, out=difference)

    grad_gated = -grad_residual
    _add_shifted(grad_gated, grad_shifted, frames, back=True)
    grad_features = torch.addcmul(_groups(grad_residual), _groups(grad_gated), gate).flatten(1, 2)
    if planes is not None:
        assert features is not None
        assert weights.gate is not None
        grad_planes = _groups(grad_gated.mul_(features)).sum(2, dtype=planes.dtype)
        grad_before_tanh = torch.ops.aten.tanh_backward(grad_planes, planes)
        if weights.gate_bias is not None:
            grad_gate_bias = grad_before_tanh.sum(dim=(0, 2, 3))
        norm = _kept_norm(call, kept, weights, norm_of_batch)
        read = features if norm is None else normalised(features, norm)
        grad_read, grad_gate = gating_planes_backward(grad_before_tanh, read, weights.gate, frames)
        if norm is not None:
            grad_read, grad_norm, grad_norm_bias = normalised_backward(grad_read, read, features, norm)
        grad_features += grad_read

    if num_shifted < grad.shape[1]:
        grad_x = grad.clone()
        grad_x[:, :num_shifted] = grad_features
    else:
        grad_x = grad_features.contiguous(memory_format=_format(grad))
    return grad_x, (grad_norm, grad_norm_bias, grad_gate, grad_gate_bias, grad_fuse, grad_fuse_bias)


def _kept_norm(call: _Call, kept: _Kept, weights: _Weights, of_batch: bool) -> Norm | None:
    if call.norm is None:
        return None
    assert kept.mean is not None
    assert kept.variance is not None
    assert weights.norm is not None
    assert weights.norm_bias is not None
    return Norm(kept.mean, kept.variance, weights.norm, weights.norm_bias, call.norm.eps, of_batch)


def _add_shifted(target: Tensor, source: Tensor, frames: int, *, back: bool = False) -> None:
    """target += shifted source, both (N, c, H, W); ``back`` shifts in the other direction."""
    here, there = _clips(target, frames), _clips(source, frames)
    for group, (takes, gives) in enumerate(reversed(_MOVES) if back else _MOVES):
        here[:, takes, group].add_(there[:, gives, group])


def _maps(features: Tensor, gated: Tensor, frames: int, dtype: torch.dtype) -> Tensor:
    """Two (N, c, H, W) -> (B, 2 groups * 2 planes, h, T), the spatial means of the shifted features and of the residual."""
    sums = torch.stack((_summed(gated), _summed(features)), dim=1)  # (N, 2, c)
    means = torch.unflatten(torch.unflatten(sums, 0, (-1, frames)) / (features.shape[2] * features.shape[3]), 3, (2, -1))
    moving, whole = means.permute(2, 0, 3, 4, 1)  # (B, 2 groups, h, T) each
    maps = means.new_zeros(whole.shape[0], 2, 2, *whole.shape[2:])  # (B, 2 groups, 2 planes, h, T)
    for group, (takes, gives) in enumerate(_MOVES):
        maps[:, group, 0, :, takes] = moving[:, group, :, gives]
    torch.sub(whole, moving, out=maps[:, :, 1])
    return maps.flatten(1, 2).to(dtype, memory_format=torch.channels_last)


def _fuse_backward(
    grad_share: Tensor, share: Tensor, maps: Tensor, weights: _Weights, frames: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of the pooled shifted and residual features (2, N, c, 1, 1), of the convolution's weight and its bias."""
    assert weights.fuse is not None
    grad = grad_share.view(-1, frames, *share.shape[1:3]).permute(0, 2, 3, 1).to(share.dtype)
    grad = torch.ops.aten.sigmoid_backward(grad, share).contiguous(memory_format=torch.channels_last)
    kernels = weights.fuse.contiguous(memory_format=torch.channels_last)
    grad_maps, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
        grad, maps, kernels, [2], [1, 1], [1, 1], [1, 1], False, [0, 0], 2, [True, True, True]
    )
    # (B, 2 groups, 2 planes, h, T) -> (2 planes, B, T, 2 groups, h). The gradient of a shifted mean is not shifted back here:
    # it is added to that of the shifted features, which is shifted back later.
    pooled = torch.unflatten(grad_maps, 1, (2, 2)).permute(2, 0, 4, 1, 3).reshape(2, -1, grad_share.shape[1])
    return pooled[..., None, None], grad_weight, None if weights.fuse_bias is None else grad_bias


def _per_image(share: Tensor) -> Tensor:
    """(B, 2, h, T) -> (N, c, 1, 1)."""
    return share.permute(0, 3, 1, 2).flatten(2).flatten(0, 1)[..., None, None]


def _summed(x: Tensor) -> Tensor:
    """(N, c, H, W) -> (N, c): the sum over positions, in at least single precision."""
    return x.sum(dim=(2, 3), dtype=torch.promote_types(x.dtype, torch.float32))


def _groups(x: Tensor) -> Tensor:
    return torch.unflatten(x, 1, (2, -1))


def _clips(x: Tensor, frames: int) -> Tensor:
    """(N, c, H, W) -> (B, T, 2, h, H, W), a view."""
    return torch.unflatten(torch.unflatten(x, 0, (-1, frames)), 2, (2, -1))


def _format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


def _layout(x: Tensor, num_shifted: int) -> torch.memory_format:
    """The memory format of ``x``, except for few shifted channels, where contiguous planes are faster."""
    return torch.contiguous_format if few(num_shifted) else _format(x)
