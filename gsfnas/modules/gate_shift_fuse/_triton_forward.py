"""Triton kernels for the forward pass and for TSM's shift; equal to the plain implementation (equations 1 to 10).

There are at most six launches: BatchNorm's statistics (two, in training), the convolution's three temporal taps, pooled sums,
shares, and the mixture. Arithmetic is in single precision. The shifted channels are read three times and written once; in
training they are read four times, and one copy is kept. The last kernel copies the other channels, unless it works in place.
Sums are partial sums that are added in a fixed order.

N clips * frames, B clips, T frames, C channels, c shifted channels, h = c / 2 channels a group. Kernels index H * W
positions. They process pairs of a group's channels, i and i + h / 2, which interleaving makes neighbours.
"""

# Kernels have no type annotations, and their constants are in capitals.
# mypy: ignore-errors
# ruff: noqa: N803, N806

import triton
import triton.language as tl


@triton.jit
def load_pairs(base, first, stride, here, HALF: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr, APART: tl.constexpr):
    """Loads two tiles (ROWS, PAIRS) of a group: channels i and i + h / 2, which are neighbours in memory unless APART."""
    if APART:
        channels = first + tl.arange(0, PAIRS)[None, :]
        inside = here & (channels < HALF // 2)
        left = tl.load(base + channels * stride, mask=inside, other=0.0)
        right = tl.load(base + (channels + HALF // 2) * stride, mask=inside, other=0.0)
    else:
        channels = 2 * first + tl.arange(0, 2 * PAIRS)[None, :]
        both = tl.load(base + channels * stride, mask=here & (channels < HALF), other=0.0)
        left, right = tl.split(tl.reshape(both, (ROWS, PAIRS, 2)))
    return left, right


@triton.jit
def store_pairs(
    base, first, stride, here, left, right, HALF: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr, APART: tl.constexpr
):
    if APART:
        channels = first + tl.arange(0, PAIRS)[None, :]
        inside = here & (channels < HALF // 2)
        tl.store(base + channels * stride, left.to(base.dtype.element_ty), mask=inside)
        tl.store(base + (channels + HALF // 2) * stride, right.to(base.dtype.element_ty), mask=inside)
    else:
        channels = 2 * first + tl.arange(0, 2 * PAIRS)[None, :]
        both = tl.reshape(tl.join(left.to(base.dtype.element_ty), right.to(base.dtype.element_ty)), (ROWS, 2 * PAIRS))
        tl.store(base + channels * stride, both, mask=here & (channels < HALF))


@triton.jit
def load_row(base, first, HALF: tl.constexpr, PAIRS: tl.constexpr, there):
    """Loads one value for each channel of a group's pairs, two (1, PAIRS); zeros unless ``there``."""
    channels = first + tl.arange(0, PAIRS)[None, :]
    inside = (channels < HALF // 2) & there
    return tl.load(base + channels, mask=inside, other=0.0), tl.load(base + channels + HALF // 2, mask=inside, other=0.0)


@triton.jit
def neighbours(row, column, height, width):
    """9 bits for each position: which of its neighbours are inside the image, row by row."""
    bits = row * 0
    for number in tl.static_range(9):
        beside, next_to = row + (number // 3 - 1), column + (number % 3 - 1)
        inside = (beside >= 0) & (beside < height) & (next_to >= 0) & (next_to < width)
        bits |= inside.to(tl.int32) << number
    return bits


@triton.jit
def copy_rest(source, target, image, frames, positions, channels, mask, s_image, s_channel, s_position):
    """Copies channels that are not shifted, for some images."""
    offsets = positions * s_position + channels * s_channel
    for index in range(frames):
        start = (image + index).to(tl.int64) * s_image
        tl.store(target + start + offsets, tl.load(source + start + offsets, mask=mask, other=0.0), mask=mask)


@triton.jit
def gating_plane(taps, bias, fixed, image, frame, group, frames, positions, here, num_positions):
    """The gating plane at ``positions``: the tanh of the sum of three temporal taps, or the fixed gate."""
    if taps is None:
        plane = tl.zeros(positions.shape, tl.float32) + fixed
    else:
        row = taps + (image * 2 + group).to(tl.int64) * (3 * num_positions) + positions
        total = tl.load(row + num_positions, mask=here, other=0.0)
        total += tl.load(row - 6 * num_positions, mask=here & (frame > 0), other=0.0)
        total += tl.load(row + 8 * num_positions, mask=here & (frame + 1 < frames), other=0.0)
        if bias is not None:
            total += tl.load(bias + group).to(tl.float32)
        # tanh, by its series where the difference of exponentials would lose precision.
        square = total * total
        series = 1 + square * (-1 / 3 + square * (2 / 15 + square * (-17 / 315 + square * (62 / 2835))))
        decay = tl.exp(-2 * tl.abs(total))
        size = (1 - decay) / (1 + decay)
        plane = tl.where(square < 0.0625, total * series, tl.where(total < 0, -size, size))
    return plane


@triton.jit
def statistics_kernel(
    x, partial, x_image, x_channel, x_position, num_positions, num_tiles, tiles_per_image, tiles_per_program,
    SHIFTED: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Counts, means and sums of squared deviations of some tiles, by Welford's update, to ``partial`` (3, chunks, c)."""
    chunk, num_programs = tl.program_id(0), tl.num_programs(0)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < SHIFTED
    count = tl.zeros((ROWS, 1), tl.float32)
    mean = tl.zeros((ROWS, CHANNELS), tl.float32)
    squares = tl.zeros((ROWS, CHANNELS), tl.float32)
    for tile in tl.range(chunk * tiles_per_program, min((chunk + 1) * tiles_per_program, num_tiles), num_stages=3):
        positions = (tile % tiles_per_image) * ROWS + tl.arange(0, ROWS)[:, None]
        here = positions < num_positions
        pointers = x + (tile // tiles_per_image).to(tl.int64) * x_image + positions * x_position + channels[None, :] * x_channel
        value = tl.load(pointers, mask=here & inside[None, :], other=0.0).to(tl.float32)
        count += here.to(tl.float32)
        change = tl.where(here, value - mean, 0.0)
        mean += change * (1 / tl.maximum(count, 1.0))
        squares += change * (value - mean)
    total = tl.sum(tl.sum(count, 1), 0)
    together = tl.sum(count * mean, 0) / total
    apart = mean - together[None, :]
    row = partial + chunk * SHIFTED + channels
    tl.store(row, tl.zeros((CHANNELS,), tl.float32) + total, mask=inside)
    tl.store(row + num_programs * SHIFTED, together, mask=inside)
    tl.store(row + 2 * num_programs * SHIFTED, tl.sum(squares + count * apart * apart, 0), mask=inside)


@triton.jit
def combine_kernel(
    partial, statistics, running_mean, running_variance, num_batches, momentum, chunks,
    SHIFTED: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Combines partial statistics to mean and biased variance, ``statistics`` (2, c); updates the running ones, if any."""
    channels = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < SHIFTED
    count = tl.zeros((CHANNELS,), tl.float32)
    total = tl.zeros((CHANNELS,), tl.float32)
    for first in range(0, chunks, ROWS):
        rows = first + tl.arange(0, ROWS)[:, None]
        here = (rows < chunks) & inside[None, :]
        counts = tl.load(partial + rows * SHIFTED + channels[None, :], mask=here, other=0.0)
        means = tl.load(partial + (chunks + rows) * SHIFTED + channels[None, :], mask=here, other=0.0)
        total += tl.sum(counts * means, 0)
        count += tl.sum(counts, 0)
    mean = total / tl.maximum(count, 1.0)
    squares = tl.zeros((CHANNELS,), tl.float32)
    for first in range(0, chunks, ROWS):
        rows = first + tl.arange(0, ROWS)[:, None]
        here = (rows < chunks) & inside[None, :]
        counts = tl.load(partial + rows * SHIFTED + channels[None, :], mask=here, other=0.0)
        apart = tl.load(partial + (chunks + rows) * SHIFTED + channels[None, :], mask=here, other=0.0) - mean[None, :]
        within = tl.load(partial + (2 * chunks + rows) * SHIFTED + channels[None, :], mask=here, other=0.0)
        squares += tl.sum(within + counts * apart * apart, 0)
    variance = squares / tl.maximum(count, 1.0)
    tl.store(statistics + channels, mean, mask=inside)
    tl.store(statistics + SHIFTED + channels, variance, mask=inside)
    if running_mean is not None:
        old = tl.load(running_mean + channels, mask=inside, other=0.0).to(tl.float32)
        tl.store(running_mean + channels, (old + momentum * (mean - old)).to(running_mean.dtype.element_ty), mask=inside)
        old = tl.load(running_variance + channels, mask=inside, other=0.0).to(tl.float32)
        unbiased = squares / tl.maximum(count - 1, 1.0)
        new = old + momentum * (unbiased - old)
        tl.store(running_variance + channels, new.to(running_variance.dtype.element_ty), mask=inside)
    if num_batches is not None and tl.program_id(0) == 0:
        tl.store(num_batches, tl.load(num_batches) + 1)


@triton.jit
def taps_kernel(
    x, mean, variance, norm_weight, norm_bias, weight, taps, x_image, x_channel, x_position, height, width, tiles_across,
    row_step, row_halo, column_step, column_halo, eps,
    HALF: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gate's convolution of one frame and group, with separate temporal taps: ``taps`` (N, 2, 3, H * W).

    One matrix product computes all 27 products of each position with the weights. Those of neighbours are then gathered and
    added, so a tile needs a halo, unless it is the whole image.
    """
    tile, image, group = tl.program_id(0), tl.program_id(1) // 2, tl.program_id(1) % 2
    TILE: tl.constexpr = ROWS * COLUMNS
    local = tl.arange(0, TILE)
    tile_row, tile_column = local // COLUMNS, local % COLUMNS
    row = (tile // tiles_across) * row_step - row_halo + tile_row
    column = (tile % tiles_across) * column_step - column_halo + tile_column
    valid = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    tap = tl.arange(0, 32)
    base = x + image.to(tl.int64) * x_image + group * HALF * x_channel
    products = tl.zeros((TILE, 32), tl.float32)
    for first in range(0, HALF, CHANNELS):
        channels = first + tl.arange(0, CHANNELS)
        inside = channels < HALF
        mask = valid[:, None] & inside[None, :]
        pointers = base + (row * width + column)[:, None] * x_position + channels[None, :] * x_channel
        loaded = tl.load(pointers, mask=mask, other=0.0)
        read = loaded
        if mean is not None:
            here = group * HALF + channels
            centre = tl.load(mean + here, mask=inside, other=0.0).to(tl.float32)
            scale = tl.rsqrt(tl.load(variance + here, mask=inside, other=1.0).to(tl.float32) + eps)
            scale *= tl.load(norm_weight + here, mask=inside, other=0.0).to(tl.float32)
            offset = tl.load(norm_bias + here, mask=inside, other=0.0).to(tl.float32)
            normal = (loaded.to(tl.float32) - centre[None, :]) * scale[None, :] + offset[None, :]
            # ReLU that passes NaN on.
            read = tl.where(mask, tl.where(normal <= 0, 0.0, normal), 0.0).to(loaded.dtype)
        weights = weight + (group * HALF + channels)[:, None] * 27 + tap[None, :]
        kernel = tl.load(weights, mask=inside[:, None] & (tap < 27)[None, :], other=0.0).to(loaded.dtype)
        products = tl.dot(read, kernel, products, input_precision="ieee")
    down, across = (tap // 3) % 3 - 1, tap % 3 - 1
    source = local[:, None] + (down * COLUMNS + across)[None, :]
    gathered = tl.gather(products, tl.minimum(tl.maximum(source, 0), TILE - 1), 0)
    bits = neighbours(row, column, height, width)
    gathered = tl.where((bits[:, None] >> (tap % 9)[None, :]) & 1 != 0, gathered, 0.0)
    inner = (tile_row >= row_halo) & (tile_row < row_halo + row_step)
    inner = inner & (tile_column >= column_halo) & (tile_column < column_halo + column_step) & valid
    target = taps + tl.program_id(1).to(tl.int64) * (3 * height * width) + row * width + column
    for time in tl.static_range(3):
        tl.store(target + time * height * width, tl.sum(tl.where((tap // 9 == time)[None, :], gathered, 0.0), 1), mask=inner)


@triton.jit
def sums_kernel(
    x, taps, bias, fixed, sums, x_image, x_channel, x_position, num_positions, num_tiles, tiles_per_program, frames,
    HALF: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sums of the gated part and of the features over some tiles of an image: ``sums`` (2, splits, N, c)."""
    split, image, group = tl.program_id(0), tl.program_id(1) // 2, tl.program_id(1) % 2
    channels = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < HALF
    base = x + image.to(tl.int64) * x_image + (group * HALF + channels)[None, :] * x_channel
    gated = tl.zeros((ROWS, CHANNELS), tl.float32)
    whole = tl.zeros((ROWS, CHANNELS), tl.float32)
    for tile in tl.range(split * tiles_per_program, min((split + 1) * tiles_per_program, num_tiles), num_stages=3):
        positions = tile * ROWS + tl.arange(0, ROWS)
        here = positions < num_positions
        plane = gating_plane(taps, bias, fixed, image, image % frames, group, frames, positions, here, num_positions)
        pointers = base + positions[:, None] * x_position
        value = tl.load(pointers, mask=here[:, None] & inside[None, :], other=0.0).to(tl.float32)
        gated += value * plane[:, None]
        whole += value
    num_images = tl.num_programs(1) // 2
    target = sums + ((split * num_images + image) * 2 + group) * HALF + channels
    tl.store(target, tl.sum(gated, 0), mask=inside)
    tl.store(target + tl.num_programs(0) * num_images * 2 * HALF, tl.sum(whole, 0), mask=inside)


@triton.jit
def added(sums, offsets, inside, step, SPLITS: tl.constexpr):
    """The sum of partial sums at a distance of ``step``; unrolled, so that all are loaded at once."""
    total = tl.zeros(offsets.shape, tl.float32)
    for split in tl.static_range(SPLITS):
        total += tl.load(sums + split * step + offsets, mask=inside, other=0.0)
    return total


@triton.jit
def share_kernel(
    sums, weight, bias, share, means, num_images, frames, num_positions, w_group, w_plane, w_row, w_column,
    HALF: tl.constexpr, FRAMES: tl.constexpr, CHANNELS: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """The fusion's convolution of one clip and group: ``share`` (N, c), and its input, ``means`` (2, N, c), from sums."""
    clip, group = tl.program_id(0), tl.program_id(1)
    frame = tl.arange(0, FRAMES)[:, None]
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    step = num_images * 2 * HALF
    before_sigmoid = tl.zeros((FRAMES, CHANNELS), tl.float32)
    if bias is not None:
        before_sigmoid += tl.load(bias + group).to(tl.float32)
    target = (clip * frames + frame) * (2 * HALF) + group * HALF + channel
    stored = (frame < frames) & (channel < HALF)
    for down in tl.static_range(3):
        for across in tl.static_range(3):
            time, row = frame + across - 1, channel + down - 1
            source = time + 1 - 2 * group  # the frame that is shifted to ``time``
            inside = (time >= 0) & (time < frames) & (row >= 0) & (row < HALF)
            here = (clip * frames + time) * (2 * HALF) + group * HALF + row
            there = (clip * frames + source) * (2 * HALF) + group * HALF + row
            residual = added(sums + SPLITS * step, here, inside, step, SPLITS) - added(sums, here, inside, step, SPLITS)
            moved = added(sums, there, inside & (source >= 0) & (source < frames), step, SPLITS)
            moved, residual = moved / num_positions, residual / num_positions
            kernel = weight + group * w_group + down * w_row + across * w_column
            before_sigmoid += moved * tl.load(kernel).to(tl.float32) + residual * tl.load(kernel + w_plane).to(tl.float32)
            if down == 1 and across == 1:
                tl.store(means + target, moved, mask=stored)
                tl.store(means + step + target, residual, mask=stored)
    tl.store(share + target, 1 / (1 + tl.exp(-before_sigmoid)), mask=stored)


@triton.jit
def mix_kernel(
    x, out, taps, bias, fixed, share, planes, kept, x_image, x_channel, x_position, k_image, k_channel, k_position,
    num_positions, frames, num_channels,
    HALF: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr, REST: tl.constexpr, APART: tl.constexpr,
):  # fmt: skip
    """The output at some positions of a clip's group; ``out`` may be ``x``. Further programs copy the other channels.

    The order of the frames is such that each is read before it is overwritten.
    """
    clip, group = tl.program_id(1), tl.program_id(2)
    positions = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    here = positions < num_positions
    column, rows = positions[:, None], here[:, None]
    if group < 2:
        step = 1 - 2 * group
        frame = group * (frames - 1)
        image = clip * frames + frame
        base, target = x + column * x_position + group * HALF * x_channel, out + column * x_position + group * HALF * x_channel
        left, right = load_pairs(base + image.to(tl.int64) * x_image, 0, x_channel, rows, HALF, ROWS, PAIRS, True)
        plane = gating_plane(taps, bias, fixed, image, frame, group, frames, positions, here, num_positions)
        for index in range(frames):
            there = index + 1 < frames
            source = base + (image + step).to(tl.int64) * x_image
            next_left, next_right = load_pairs(source, 0, x_channel, rows & there, HALF, ROWS, PAIRS, True)
            next_plane = gating_plane(
                taps, bias, fixed, image + step, frame + step, group, frames, positions, here & there, num_positions
            )
            stay, come = (1 - plane)[:, None], next_plane[:, None]
            stay_left, stay_right = left.to(tl.float32) * stay, right.to(tl.float32) * stay
            come_left, come_right = next_left.to(tl.float32) * come, next_right.to(tl.float32) * come
            if share is None:
                mixed_left, mixed_right = come_left + stay_left, come_right + stay_right
            else:
                share_left, share_right = load_row(share + (image * 2 + group) * HALF, 0, HALF, PAIRS, True)
                mixed_left = stay_left + share_left * (come_left - stay_left)
                mixed_right = stay_right + share_right * (come_right - stay_right)
            if kept is not None:
                keep = kept + image.to(tl.int64) * k_image + column * k_position + group * HALF * k_channel
                store_pairs(keep, 0, k_channel, rows, left, right, HALF, ROWS, PAIRS, True)
            if planes is not None:
                tl.store(planes + (image * 2 + group).to(tl.int64) * num_positions + positions, plane, mask=here)
            tl.debug_barrier()  # in place, another thread may still have to read what this one overwrites
            store_pairs(
                target + image.to(tl.int64) * x_image, 0, x_channel, rows, mixed_left, mixed_right, HALF, ROWS, PAIRS, APART
            )
            left, right, plane = next_left, next_right, next_plane
            image += step
            frame += step
    else:
        channels = 2 * HALF + (group - 2) * REST + tl.arange(0, REST)[None, :]
        copy_rest(
            x, out, clip * frames, frames, column, channels, rows & (channels < num_channels), x_image, x_channel, x_position
        )


@triton.jit
def shift_kernel(
    x, out, x_image, x_channel, x_position, num_positions, frames, frames_per_program, direction, num_channels, blocks,
    HALF: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Shifts some positions of some channels of a group by one frame; ``out`` may be ``x``."""
    part = tl.program_id(2)
    column = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    rows = column < num_positions
    first = tl.program_id(1) * frames_per_program
    clip = first // frames * frames
    if part < 2 * blocks:
        group = part // blocks
        step = direction * (1 - 2 * group)
        channels = (part % blocks) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
        mask = rows & (channels < HALF)
        offsets = column * x_position + (group * HALF + channels) * x_channel
        image = tl.where(step > 0, first, first + frames_per_program - 1)
        for _ in range(frames_per_program):
            source = image + step
            there = (source >= clip) & (source < clip + frames)
            tile = tl.load(x + source.to(tl.int64) * x_image + offsets, mask=mask & there, other=0.0)
            tl.debug_barrier()
            tl.store(out + image.to(tl.int64) * x_image + offsets, tile, mask=mask)
            image = source
    else:
        channels = 2 * HALF + (part - 2 * blocks) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
        copy_rest(
            x, out, first, frames_per_program, column, channels, rows & (channels < num_channels),
            x_image, x_channel, x_position,
        )  # fmt: skip
