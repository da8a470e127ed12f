"""Triton kernels for the backward pass, which needs one copy of the shifted features, the planes and the shares.

There are at most six launches: the gradients of the shares (a sum over positions), of the fusion's convolution, of the features
except through the gate, of the gate's convolution and BatchNorm (twice, since BatchNorm in training needs sums first), and the
addition of all partial sums. Shapes and pairs of channels are as in ``_triton_forward.py``.
"""

# Kernels have no type annotations, and their constants are in capitals.
# mypy: ignore-errors
# ruff: noqa: N803, SIM102

import triton
import triton.language as tl

from gsfnas.modules.gate_shift_fuse._triton_forward import added, copy_rest, load_pairs, load_row, neighbours, store_pairs


@triton.jit
def load_plane(planes, fixed, image, group, positions, here, num_positions):
    """The saved gating plane, or the fixed gate."""
    if planes is None:
        plane = tl.zeros(positions.shape, tl.float32) + fixed
    else:
        plane = tl.load(planes + (image * 2 + group).to(tl.int64) * num_positions + positions, mask=here, other=0.0)
    return plane


@triton.jit
def grad_share_kernel(
    grad, features, planes, fixed, sums, g_image, g_channel, g_position, f_image, f_channel, f_position,
    num_positions, num_tiles, tiles_per_program, frames,
    HALF: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr, APART: tl.constexpr,
):  # fmt: skip
    """Sums of gradient * (shifted - residual) over some tiles: ``sums`` (splits, N, c)."""
    split, image, group = tl.program_id(0), tl.program_id(1) // 2, tl.program_id(1) % 2
    first = tl.program_id(2) * PAIRS
    source = image + 1 - 2 * group
    there = (source >= image // frames * frames) & (source < image // frames * frames + frames)
    total_left = tl.zeros((ROWS, PAIRS), tl.float32)
    total_right = tl.zeros((ROWS, PAIRS), tl.float32)
    for tile in tl.range(split * tiles_per_program, min((split + 1) * tiles_per_program, num_tiles), num_stages=2):
        positions = tile * ROWS + tl.arange(0, ROWS)
        here = positions < num_positions
        column, rows = positions[:, None], here[:, None]
        slopes = grad + image.to(tl.int64) * g_image + column * g_position + group * HALF * g_channel
        slope_left, slope_right = load_pairs(slopes, first, g_channel, rows, HALF, ROWS, PAIRS, APART)
        base = features + column * f_position + group * HALF * f_channel
        left, right = load_pairs(base + image.to(tl.int64) * f_image, first, f_channel, rows, HALF, ROWS, PAIRS, True)
        come_left, come_right = load_pairs(
            base + source.to(tl.int64) * f_image, first, f_channel, rows & there, HALF, ROWS, PAIRS, True
        )
        stay = 1 - load_plane(planes, fixed, image, group, positions, here, num_positions)[:, None]
        come = load_plane(planes, fixed, source, group, positions, here & there, num_positions)[:, None]
        total_left += slope_left.to(tl.float32) * (come_left.to(tl.float32) * come - left.to(tl.float32) * stay)
        total_right += slope_right.to(tl.float32) * (come_right.to(tl.float32) * come - right.to(tl.float32) * stay)
    target = sums + ((split * (tl.num_programs(1) // 2) + image) * 2 + group) * HALF
    channels = first + tl.arange(0, PAIRS)
    tl.store(target + channels, tl.sum(total_left, 0), mask=channels < HALF // 2)
    tl.store(target + channels + HALF // 2, tl.sum(total_right, 0), mask=channels < HALF // 2)


@triton.jit
def fuse_kernel(
    sums, share, means, weight, pooled, partial, num_images, frames, num_positions, w_group, w_plane, w_row, w_column,
    HALF: tl.constexpr, FRAMES: tl.constexpr, CHANNELS: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """The backward pass of the fusion's convolution, for one clip, group and block of channels.

    ``pooled`` (2, N, c) are the gradients through the means, per position. ``partial`` (programs, 2, 32) are those of 18
    weights and the bias.
    """
    clip, group = tl.program_id(0), tl.program_id(1)
    frame = tl.arange(0, FRAMES)[:, None]
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    step = num_images * 2 * HALF
    inside = (frame < frames) & (channel < HALF)
    target = (clip * frames + frame) * (2 * HALF) + group * HALF + channel
    moved = tl.load(means + target, mask=inside, other=0.0)
    residual = tl.load(means + step + target, mask=inside, other=0.0)
    pooled_moved = tl.zeros((FRAMES, CHANNELS), tl.float32)
    pooled_residual = tl.zeros((FRAMES, CHANNELS), tl.float32)
    number = tl.arange(0, 32)
    grads = tl.zeros((32,), tl.float32)
    for down in tl.static_range(3):
        for across in tl.static_range(3):
            # Output (row, time) reads (channel, frame) through this tap.
            time, row = frame - across + 1, channel - down + 1
            valid = inside & (time >= 0) & (time < frames) & (row >= 0) & (row < HALF)
            there = (clip * frames + time) * (2 * HALF) + group * HALF + row
            value = tl.load(share + there, mask=valid, other=0.0)
            slope = added(sums, there, valid, step, SPLITS) * value * (1 - value)
            kernel = weight + group * w_group + down * w_row + across * w_column
            pooled_moved += slope * tl.load(kernel).to(tl.float32)
            pooled_residual += slope * tl.load(kernel + w_plane).to(tl.float32)
            grads += tl.where(number == down * 3 + across, tl.sum(slope * moved), 0.0)
            grads += tl.where(number == 9 + down * 3 + across, tl.sum(slope * residual), 0.0)
            if down == 1 and across == 1:
                grads += tl.where(number == 18, tl.sum(slope), 0.0)
    tl.store(pooled + target, pooled_moved / num_positions, mask=inside)
    tl.store(pooled + step + target, pooled_residual / num_positions, mask=inside)
    program = clip * tl.num_programs(2) + tl.program_id(2)
    tl.store(partial + (program * 2 + group) * 32 + number, grads)


@triton.jit
def direct_kernel(
    grad, features, planes, fixed, share, pooled, slopes, bias_partial, out,
    g_image, g_channel, g_position, f_image, f_channel, f_position, num_positions, num_images, frames, num_channels,
    HALF: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr, REST: tl.constexpr, APART: tl.constexpr,
):  # fmt: skip
    """The features' gradient except through the gate, ``out`` (N, C, H, W), which has the strides of ``grad``.

    ``slopes`` (N, 2, H * W) is the gradient of the gate before its tanh, and ``bias_partial`` (2, N, tiles) its sums. Further
    programs copy the other channels.
    """
    image, group = tl.program_id(1), tl.program_id(2)
    positions = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    here = positions < num_positions
    column, rows = positions[:, None], here[:, None]
    if group < 2:
        taker = image - 1 + 2 * group  # the frame that this one is shifted to
        there = (taker >= image // frames * frames) & (taker < image // frames * frames + frames)
        offset = column * g_position + group * HALF * g_channel
        plane = load_plane(planes, fixed, image, group, positions, here, num_positions)
        total = tl.zeros((ROWS,), tl.float32)
        for first in range(0, HALF // 2, PAIRS):
            left, right = load_pairs(
                grad + image.to(tl.int64) * g_image + offset, first, g_channel, rows, HALF, ROWS, PAIRS, APART
            )
            gone_left, gone_right = load_pairs(
                grad + taker.to(tl.int64) * g_image + offset, first, g_channel, rows & there, HALF, ROWS, PAIRS, APART
            )
            left, right, gone_left, gone_right = (
                left.to(tl.float32), right.to(tl.float32), gone_left.to(tl.float32), gone_right.to(tl.float32),
            )  # fmt: skip
            if share is not None:
                row, other = (image * 2 + group) * HALF, (taker * 2 + group) * HALF
                share_left, share_right = load_row(share + row, first, HALF, PAIRS, True)
                mean_left, mean_right = load_row(pooled + num_images * 2 * HALF + row, first, HALF, PAIRS, True)
                left, right = left * (1 - share_left) + mean_left, right * (1 - share_right) + mean_right
                share_left, share_right = load_row(share + other, first, HALF, PAIRS, there)
                mean_left, mean_right = load_row(pooled + other, first, HALF, PAIRS, there)
                gone_left, gone_right = gone_left * share_left + mean_left, gone_right * share_right + mean_right
            gone_left, gone_right = gone_left - left, gone_right - right  # the gradient of the gated part
            direct_left, direct_right = left + gone_left * plane[:, None], right + gone_right * plane[:, None]
            target = out + image.to(tl.int64) * g_image + offset
            store_pairs(target, first, g_channel, rows, direct_left, direct_right, HALF, ROWS, PAIRS, True)
            if slopes is not None:
                base = features + image.to(tl.int64) * f_image + column * f_position + group * HALF * f_channel
                left, right = load_pairs(base, first, f_channel, rows, HALF, ROWS, PAIRS, True)
                total += tl.sum(gone_left * left.to(tl.float32) + gone_right * right.to(tl.float32), 1)
        if slopes is not None:
            total *= 1 - plane * plane
            tl.store(slopes + (image * 2 + group).to(tl.int64) * num_positions + positions, total, mask=here)
            program = (group * num_images + image) * tl.num_programs(0) + tl.program_id(0)
            tl.store(bias_partial + program, tl.sum(total, 0))
    else:
        channels = 2 * HALF + (group - 2) * REST + tl.arange(0, REST)[None, :]
        copy_rest(grad, out, image, 1, column, channels, rows & (channels < num_channels), g_image, g_channel, g_position)


@triton.jit
def gate_kernel(
    features, slopes, mean, variance, norm_weight, norm_bias, weight, norm_sums, partial, out,
    f_image, f_channel, f_position, g_image, g_channel, g_position,
    height, width, frames, num_tiles, tiles_per_image, tiles_per_program, num_values, eps,
    HALF: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The backward pass of the gate's convolution and BatchNorm, for some tiles of a block of channels.

    ``partial`` (chunks, c, 32) receives, per channel, the gradients of 27 weights and of the BatchNorm's bias and weight. The
    features' gradient is added to ``out`` (N, C, H, W), which for batch statistics needs ``norm_sums`` (2, c), the gradients of
    the BatchNorm's bias and weight over all positions. ``partial`` or ``out`` may be None.
    """
    chunk, group = tl.program_id(0), tl.program_id(2)
    local = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = local < HALF
    channels = group * HALF + local
    num_positions = height * width
    tap = tl.arange(0, 32)
    later, down, across = tap // 9 - 1, (tap // 3) % 3 - 1, tap % 3 - 1
    kernel = tl.load(
        weight + channels[None, :] * 27 + tap[:, None], mask=inside[None, :] & (tap < 27)[:, None], other=0.0
    ).to(features.dtype.element_ty)  # fmt: skip
    if mean is not None:
        centre = tl.load(mean + channels, mask=inside, other=0.0).to(tl.float32)
        rate = tl.rsqrt(tl.load(variance + channels, mask=inside, other=1.0).to(tl.float32) + eps)
        scale = tl.load(norm_weight + channels, mask=inside, other=0.0).to(tl.float32)
        offset = tl.load(norm_bias + channels, mask=inside, other=0.0).to(tl.float32)
        of_bias = tl.zeros((CHANNELS,), tl.float32)
        of_weight = tl.zeros((CHANNELS,), tl.float32)
        if norm_sums is not None:
            of_bias += tl.load(norm_sums + channels, mask=inside, other=0.0) / num_values
            of_weight += tl.load(norm_sums + 2 * HALF + channels, mask=inside, other=0.0) / num_values
    sum_bias = tl.zeros((ROWS, CHANNELS), tl.float32)
    sum_weight = tl.zeros((ROWS, CHANNELS), tl.float32)
    grad_kernel = tl.zeros((CHANNELS, 32), tl.float32)
    for tile in range(chunk * tiles_per_program, min((chunk + 1) * tiles_per_program, num_tiles)):
        image = tile // tiles_per_image
        positions = (tile % tiles_per_image) * ROWS + tl.arange(0, ROWS)
        here = positions < num_positions
        row, column = positions // width, positions % width
        # Output (frame - later, row - down, column - across) reads this position through this tap.
        frame = image % frames - later
        bits = tl.where(here, neighbours(row, column, height, width), 0)
        bit = tl.where((tap < 27) & (frame >= 0) & (frame < frames), 8 - tap % 9, 9)
        valid = (bits[:, None] >> bit[None, :]) & 1 != 0
        from_image = ((image - later) * 2 + group) * num_positions - down * width - across
        around = tl.load(slopes + positions[:, None] + from_image[None, :], mask=valid, other=0.0)
        operand = around.to(features.dtype.element_ty)
        grad_read = tl.dot(operand, kernel, input_precision="ieee")
        mask = here[:, None] & inside[None, :]
        pointers = features + image.to(tl.int64) * f_image + positions[:, None] * f_position + channels[None, :] * f_channel
        loaded = tl.load(pointers, mask=mask, other=0.0)
        read = loaded
        if mean is not None:
            normal = (loaded.to(tl.float32) - centre[None, :]) * rate[None, :]
            after = normal * scale[None, :] + offset[None, :]
            grad_read = tl.where(mask & (after > 0), grad_read, 0.0)
            read = tl.where(mask, tl.maximum(after, 0.0), 0.0).to(loaded.dtype)
        if partial is not None:
            grad_kernel = tl.dot(tl.trans(read), operand, grad_kernel, input_precision="ieee")
            if mean is not None:
                sum_bias += grad_read
                sum_weight += grad_read * normal
        if out is not None:
            if mean is not None:
                grad_read = (grad_read - of_bias[None, :] - normal * of_weight[None, :]) * (rate * scale)[None, :]
            target = out + image.to(tl.int64) * g_image + positions[:, None] * g_position + channels[None, :] * g_channel
            direct = tl.load(target, mask=mask, other=0.0).to(tl.float32)
            tl.store(target, (direct + grad_read).to(out.dtype.element_ty), mask=mask)
    if partial is not None:
        values = tl.where((tap == 27)[None, :], tl.sum(sum_bias, 0)[:, None], grad_kernel)
        values = tl.where((tap == 28)[None, :], tl.sum(sum_weight, 0)[:, None], values)
        offsets = (chunk * 2 * HALF + channels)[:, None] * 32 + tap[None, :]
        tl.store(partial + offsets, values, mask=inside[:, None])


@triton.jit
def total_kernel(
    partial, bias_partial, fuse_partial, grad_gate, grad_gate_bias, norm_sums, grad_norm, grad_norm_bias,
    grad_fuse, grad_fuse_bias, chunks, bias_chunks, fuse_chunks, num_of_gate,
    HALF: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Adds partial sums: program i < ``num_of_gate`` those of the gate's channel i, the last two those of the fusion."""
    program = tl.program_id(0)
    tap = tl.arange(0, 32)
    total = tl.zeros((32,), tl.float32)
    if program < num_of_gate:
        if partial is not None:
            for first in range(0, chunks, ROWS):
                rows = first + tl.arange(0, ROWS)[:, None]
                values = tl.load(partial + (rows * 2 * HALF + program) * 32 + tap[None, :], mask=rows < chunks, other=0.0)
                total += tl.sum(values, 0)
            tl.store(grad_gate + program * 27 + tap, total.to(grad_gate.dtype.element_ty), mask=tap < 27)
            if grad_gate_bias is not None:
                if program % HALF == 0:
                    group = program // HALF
                    slopes = tl.zeros((1024,), tl.float32)
                    for first in range(0, bias_chunks, 1024):
                        rows = first + tl.arange(0, 1024)
                        slopes += tl.load(bias_partial + group * bias_chunks + rows, mask=rows < bias_chunks, other=0.0)
                    tl.store(grad_gate_bias + group, tl.sum(slopes, 0).to(grad_gate_bias.dtype.element_ty))
            if norm_sums is not None:
                tl.store(norm_sums + program + (tap - 27) * 2 * HALF, total, mask=(tap == 27) | (tap == 28))
                tl.store(grad_norm_bias + program + tap * 0, total.to(grad_norm_bias.dtype.element_ty), mask=tap == 27)
                tl.store(grad_norm + program + tap * 0, total.to(grad_norm.dtype.element_ty), mask=tap == 28)
    else:
        if fuse_partial is not None:
            group = program - num_of_gate
            for first in range(0, fuse_chunks, ROWS):
                rows = first + tl.arange(0, ROWS)[:, None]
                values = tl.load(
                    fuse_partial + (rows * 2 + group) * 32 + tap[None, :], mask=rows < fuse_chunks, other=0.0
                )  # fmt: skip
                total += tl.sum(values, 0)
            tl.store(grad_fuse + group * 18 + tap, total.to(grad_fuse.dtype.element_ty), mask=tap < 18)
            if grad_fuse_bias is not None:
                tl.store(grad_fuse_bias + group + tap * 0, total.to(grad_fuse_bias.dtype.element_ty), mask=tap == 18)
