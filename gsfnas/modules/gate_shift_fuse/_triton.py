"""The fast implementation in Triton: launches the kernels, forward and backward, and those of TSM's shift.

It differs from the one in PyTorch's operators in two ways: intermediate values stay in single precision, and two of the
tensors kept for the backward pass have other shapes, ``means`` (2, N, c) and ``share`` (N, c). Block sizes are chosen here. The
kernels, and the legend of shapes, are in ``_triton_forward.py`` and ``_triton_backward.py``.
"""

import torch
from torch import Tensor, nn

from gsfnas.modules.gate_shift_fuse._fast import _Call, _Kept, _Weights
from gsfnas.modules.gate_shift_fuse._fast_gate import Norm
from gsfnas.modules.gate_shift_fuse._triton_backward import (
    direct_kernel,
    fuse_kernel,
    gate_kernel,
    grad_share_kernel,
    total_kernel,
)
from gsfnas.modules.gate_shift_fuse._triton_call import (
    blocked,
    divided,
    empty_shifted,
    is_dense,
    num_chunks,
    num_splits,
    power_of_two,
    rows_beside,
    strides_of,
)
from gsfnas.modules.gate_shift_fuse._triton_forward import (
    combine_kernel,
    mix_kernel,
    share_kernel,
    shift_kernel,
    statistics_kernel,
    sums_kernel,
    taps_kernel,
)

_FLOAT, _DENSE = torch.float32, torch.contiguous_format


def forward(x: Tensor, call: _Call, weights: _Weights, *, keep: bool) -> tuple[Tensor, _Kept, Norm | None]:
    """Dense features (N, C, H, W) -> the output, what the backward pass needs, and the statistics of the gate's norm."""
    options, frames, half = call.options, call.frames, call.options.num_shifted // 2
    images, channels, height, width = x.shape
    positions = height * width
    norm = taps = planes = means = share = None
    fixed = 0.0
    if weights.gate is None:
        fixed = float(options.gate)
    else:
        norm = None if call.norm is None else _norm_of(call.norm, x, options.num_shifted)
        taps = _taps(x, norm, weights.gate.contiguous())
        if keep:
            planes = torch.empty(images, 2, positions, dtype=_FLOAT, device=x.device)
    if weights.fuse is not None:
        share, means = _share(x, taps, fixed, weights, frames, half)

    needs_features = keep and (weights.gate is not None or weights.fuse is not None)
    kept = empty_shifted(x, options.num_shifted) if needs_features else None
    out = x if call.inplace else torch.empty_like(x)
    pairs = power_of_two(half // 2)
    rows = rows_beside(2 * pairs, positions, 2048)
    rest = blocked(channels, max(16, 4096 // rows))
    parts = 2 + (0 if call.inplace else divided(channels - options.num_shifted, rest))
    mix_kernel[(divided(positions, rows), images // frames, parts)](
        x, out, taps, weights.gate_bias, fixed, share, planes, kept, *strides_of(x), *strides_of(x if kept is None else kept),
        positions, frames, channels,
        HALF=half, ROWS=rows, PAIRS=pairs, REST=rest, APART=not options.interleave,
    )  # fmt: skip
    if call.inplace:
        _mark_written(x)
    mean, variance = (None, None) if norm is None else (norm.mean, norm.variance)
    return out, _Kept(kept, planes, mean, variance, means, share), norm


def _norm_of(module: nn.BatchNorm2d, x: Tensor, num_shifted: int) -> Norm:
    """Like ``norm_of``: the statistics for the shifted channels; updates the running ones in training."""
    running_mean, running_variance = module.running_mean, module.running_var
    if running_mean is not None and running_variance is not None and not module.training:
        return Norm(running_mean, running_variance, module.weight, module.bias, module.eps, of_batch=False)
    positions = x.shape[2] * x.shape[3]
    block = blocked(num_shifted, 64, 16)
    rows = rows_beside(block, positions, 4096)
    blocks, per_image = divided(num_shifted, block), divided(positions, rows)
    tiles = x.shape[0] * per_image
    chunks = num_chunks(blocks, tiles)
    partial = torch.empty(3, chunks, num_shifted, dtype=_FLOAT, device=x.device)
    statistics_kernel[(chunks, blocks)](
        x, partial, *strides_of(x), positions, tiles, per_image, divided(tiles, chunks),
        SHIFTED=num_shifted, ROWS=rows, CHANNELS=block,
    )  # fmt: skip
    statistics = torch.empty(2, num_shifted, dtype=_FLOAT, device=x.device)
    momentum, num_batches = module.momentum, module.num_batches_tracked
    if running_mean is None or running_variance is None:
        running_mean = running_variance = num_batches = None
    elif momentum is None:  # the average over all batches
        momentum = 0.0
        if num_batches is not None:
            momentum, num_batches = 1 / float(num_batches.add_(1)), None
    combine_kernel[(divided(num_shifted, 4),)](
        partial, statistics, running_mean, running_variance, num_batches, float(momentum or 0.0), chunks,
        SHIFTED=num_shifted, ROWS=256, CHANNELS=4,
    )  # fmt: skip
    for buffer in (running_mean, running_variance, num_batches):
        if buffer is not None:
            _mark_written(buffer)
    return Norm(statistics[0], statistics[1], module.weight, module.bias, module.eps, of_batch=True)


def _taps(x: Tensor, norm: Norm | None, weight: Tensor) -> Tensor:
    """The gate's convolution, before its temporal taps are added: (N, 2, 3, H * W)."""
    images, _, height, width = x.shape
    half = weight.shape[1]
    # Tiles of positions, with a halo of one if the image is larger than a tile.
    side = 8 if max(height, width) <= 8 or x.dtype == _FLOAT else 16
    row_halo, column_halo = int(height > side), int(width > side)
    row_step, column_step = side - 2 * row_halo, side - 2 * column_halo
    across = divided(width, column_step)
    taps = torch.empty(images, 2, 3, height * width, dtype=_FLOAT, device=x.device)
    mean, variance, scale, offset, eps, _ = norm or (None, None, None, None, 0.0, None)
    taps_kernel[(across * divided(height, row_step), images * 2)](
        x, mean, variance, scale, offset, weight, taps, *strides_of(x), height, width, across,
        row_step, row_halo, column_step, column_halo, eps,
        HALF=half, ROWS=side, COLUMNS=side, CHANNELS=blocked(half, 16 if x.dtype == _FLOAT else 32, 16),
        num_warps=8 if side == 16 else 4, num_stages=1 if side == 16 else 2,
    )  # fmt: skip
    return taps


def _share(x: Tensor, taps: Tensor | None, fixed: float, weights: _Weights, frames: int, half: int) -> tuple[Tensor, Tensor]:
    """The share of the shifted features (N, c), and the means that it is computed from (2, N, c): shifted and residual."""
    assert weights.fuse is not None
    images, positions = x.shape[0], x.shape[2] * x.shape[3]
    block = blocked(half, 64)
    rows = rows_beside(block, positions, 8192)
    blocks, tiles = divided(half, block), divided(positions, rows)
    splits = num_splits(images * 2 * blocks, tiles)
    sums = torch.empty(2, splits, images, 2 * half, dtype=_FLOAT, device=x.device)
    sums_kernel[(splits, images * 2, blocks)](
        x, taps, weights.gate_bias, fixed, sums, *strides_of(x), positions, tiles, divided(tiles, splits), frames,
        HALF=half, ROWS=rows, CHANNELS=block, num_warps=8,
    )  # fmt: skip
    results = torch.empty(3, images, 2 * half, dtype=_FLOAT, device=x.device)
    share, means = results[0], results[1:]
    block = _map_block(half, frames)
    share_kernel[(images // frames, 2, divided(half, block))](
        sums, weights.fuse, weights.fuse_bias, share, means, images, frames, positions, *weights.fuse.stride(),
        HALF=half, FRAMES=power_of_two(frames), CHANNELS=block, SPLITS=splits,
    )  # fmt: skip
    return share, means


def _map_block(half: int, frames: int) -> int:
    """The number of channels in a tile of the fusion's (frame, channel) map."""
    return blocked(half, max(1, 256 // power_of_two(frames)))


def backward(
    grad: Tensor, call: _Call, weights: _Weights, kept: _Kept, norm_of_batch: bool
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """The gradients of the features and of ``weights``."""
    if not is_dense(grad):
        grad = grad.contiguous()
    options, frames, half = call.options, call.frames, call.options.num_shifted // 2
    images, channels, height, width = grad.shape
    positions, apart = height * width, not options.interleave
    features = kept.features
    fixed = float(options.gate) if weights.gate is None else 0.0

    pooled = fuse_partial = None
    if weights.fuse is not None:
        pooled, fuse_partial = _fuse_backward(grad, fixed, call, weights, kept)

    slopes = bias_partial = None
    grad_x = torch.empty_like(grad)
    pairs = blocked(half // 2, 32)
    rows = rows_beside(2 * pairs, positions, 2048)
    rest = blocked(channels, max(16, 4096 // rows))
    tiles = divided(positions, rows)
    if weights.gate is not None:
        slopes = torch.empty(images, 2, positions, dtype=_FLOAT, device=grad.device)
        bias_partial = torch.empty(2, images, tiles, dtype=_FLOAT, device=grad.device)
    f_strides = strides_of(grad if features is None else features)
    direct_kernel[(tiles, images, 2 + divided(channels - options.num_shifted, rest))](
        grad, features, kept.planes, fixed, kept.share, pooled, slopes, bias_partial, grad_x, *strides_of(grad), *f_strides,
        positions, images, frames, channels,
        HALF=half, ROWS=rows, PAIRS=pairs, REST=rest, APART=apart,
    )  # fmt: skip

    grads = _Weights(*(None if weight is None else torch.empty_like(weight, memory_format=_DENSE) for weight in weights))
    partial = norm_sums = None
    if slopes is not None:
        if call.norm is not None:
            norm_sums = torch.empty(2, options.num_shifted, dtype=_FLOAT, device=grad.device)
        partial = _gate_backward(slopes, call, weights, kept, None if norm_of_batch else grad_x)
    if partial is not None or fuse_partial is not None:
        num_of_gate = 0 if partial is None else options.num_shifted
        chunks, fuse_chunks = (0 if sums is None else sums.shape[0] for sums in (partial, fuse_partial))
        total_kernel[(num_of_gate + (2 if fuse_chunks else 0),)](
            partial, bias_partial, fuse_partial, grads.gate, grads.gate_bias, norm_sums, grads.norm, grads.norm_bias,
            grads.fuse, grads.fuse_bias, chunks, images * tiles, fuse_chunks, num_of_gate,
            HALF=half, ROWS=64,
        )  # fmt: skip
    if slopes is not None and norm_of_batch:
        _gate_backward(slopes, call, weights, kept, grad_x, norm_sums)
    return grad_x, tuple(grads)


def _fuse_backward(grad: Tensor, fixed: float, call: _Call, weights: _Weights, kept: _Kept) -> tuple[Tensor, Tensor]:
    """The gradients through the means, per position (2, N, c), and partial sums of the convolution's gradients."""
    features, frames, half = kept.features, call.frames, call.options.num_shifted // 2
    assert features is not None
    assert weights.fuse is not None
    images, positions = features.shape[0], features.shape[2] * features.shape[3]
    pairs = blocked(half // 2, 32)
    rows = rows_beside(2 * pairs, positions, 4096)
    blocks, tiles = divided(half // 2, pairs), divided(positions, rows)
    splits = num_splits(images * 2 * blocks, tiles)
    sums = torch.empty(splits, images, 2 * half, dtype=_FLOAT, device=grad.device)
    grad_share_kernel[(splits, images * 2, blocks)](
        grad, features, kept.planes, fixed, sums, *strides_of(grad), *strides_of(features),
        positions, tiles, divided(tiles, splits), frames,
        HALF=half, ROWS=rows, PAIRS=pairs, APART=not call.options.interleave, num_warps=8,
    )  # fmt: skip
    pooled = torch.empty(2, images, 2 * half, dtype=_FLOAT, device=grad.device)
    block = _map_block(half, frames)
    blocks = divided(half, block)
    partial = torch.empty(images // frames * blocks, 2, 32, dtype=_FLOAT, device=grad.device)
    fuse_kernel[(images // frames, 2, blocks)](
        sums, kept.share, kept.maps, weights.fuse, pooled, partial, images, frames, positions, *weights.fuse.stride(),
        HALF=half, FRAMES=power_of_two(frames), CHANNELS=block, SPLITS=splits,
    )  # fmt: skip
    return pooled, partial


def _gate_backward(
    slopes: Tensor, call: _Call, weights: _Weights, kept: _Kept, grad_x: Tensor | None, norm_sums: Tensor | None = None
) -> Tensor | None:
    """Adds to ``grad_x`` if given. Without ``norm_sums``, returns partial sums of the weights' gradients."""
    features, half = kept.features, call.options.num_shifted // 2
    assert features is not None
    assert weights.gate is not None
    images, _, height, width = features.shape
    single = features.dtype == _FLOAT
    block = blocked(half, 16 if single else 32, 16)
    rows = blocked(height * width, 64, 16)
    blocks, per_image = divided(half, block), divided(height * width, rows)
    tiles = images * per_image
    # There should be few partial sums; if there are none, more programs are better.
    chunks = num_chunks(2 * blocks, tiles) if norm_sums is None else divided(tiles, 2)
    partial = None
    if norm_sums is None:
        partial = torch.empty(chunks, 2 * half, 32, dtype=_FLOAT, device=features.device)
    gate_kernel[(chunks, blocks, 2)](
        features, slopes, kept.mean, kept.variance, weights.norm, weights.norm_bias, weights.gate.contiguous(),
        norm_sums, partial, grad_x,
        *strides_of(features), *strides_of(features if grad_x is None else grad_x), height, width, call.frames,
        tiles, per_image, divided(tiles, chunks), images * height * width, 0.0 if call.norm is None else call.norm.eps,
        HALF=half, ROWS=rows, CHANNELS=block,
    )  # fmt: skip
    return partial


def shifted_by_one(x: Tensor, frames: int, half: int, direction: int, *, inplace: bool) -> Tensor:
    """The shift: with direction 1, the first ``half`` channels are from the next frame and the second from the previous one."""
    out = x if inplace else torch.empty_like(x)
    images, channels, height, width = x.shape
    block = blocked(half, 64)
    rows = rows_beside(block, height * width, 4096)
    blocks = divided(half, block)
    # In place, one program handles all frames of a clip, so that no frame is overwritten before it is read.
    walk = frames if inplace else 1
    rest = 0 if inplace else divided(channels - 2 * half, block)
    shift_kernel[(divided(height * width, rows), images // walk, 2 * blocks + rest)](
        x, out, *strides_of(x), height * width, frames, walk, direction, channels, blocks,
        HALF=half, ROWS=rows, CHANNELS=block,
    )  # fmt: skip
    if inplace:
        _mark_written(x)
    return out


def _mark_written(x: Tensor) -> None:
    """Tells autograd that a kernel has written ``x``, so that it can refuse to use a saved tensor that has changed."""
    if not x.is_inference():
        torch.autograd.graph.increment_version(x)
