"""Equations 1 to 10 of Gate-Shift-Fuse in float64, with explicit loops; the switches add what the published code adds.

Written from the paper alone: nothing here is shared with the package. Shapes: x (B, C, T, H, W), gate weight (2, c/2, 3, 3, 3),
fuse weight (2, 2, 3, 3) over (channel, frame) with input planes shifted, residual.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Parameters:
    gate_weight: np.ndarray | None = None
    gate_bias: np.ndarray | None = None
    norm: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None  # weight, bias, mean, variance
    fuse_weight: np.ndarray | None = None
    fuse_bias: np.ndarray | None = None


def gate_shift_fuse(x, num_shifted, gate, fuse, interleave, parameters):
    out = x.copy()
    half = num_shifted // 2
    for clip in range(x.shape[0]):
        for group in range(2):
            channels = slice(group * half, (group + 1) * half)
            out[clip, channels] = one_group(x[clip, channels], group, gate, fuse, interleave, parameters)
    return out


def one_group(x, group, gate, fuse, interleave, parameters):
    """(c/2, T, H, W) to the same."""
    if gate == "learnable":
        planes = np.tanh(
            convolve3d(normalised(x, group, parameters), parameters.gate_weight[group]) + bias(parameters.gate_bias, group)
        )
    else:
        planes = np.full(x.shape[1:], float(gate))
    y = planes[None] * x  # 1, 2
    r = x - y  # 3, 4
    shifted = np.zeros_like(y)  # 5, 6
    frames = x.shape[1]
    for t in range(frames):
        source = t + 1 if group == 0 else t - 1
        if 0 <= source < frames:
            shifted[:, t] = y[:, source]
    if fuse == "sum":
        z = shifted + r
    else:
        pooled = np.stack([shifted.mean(axis=(2, 3)), r.mean(axis=(2, 3))])  # 2, c/2, T
        share = 1 / (
            1 + np.exp(-(convolve2d(pooled, parameters.fuse_weight[group]) + bias(parameters.fuse_bias, group)))
        )  # 7, 8
        z = share[..., None, None] * shifted + (1 - share[..., None, None]) * r  # 9, 10
    if interleave:
        quarter = len(z) // 2
        z = np.stack([z[position // 2 + (position % 2) * quarter] for position in range(len(z))])
    return z


def bias(values, group):
    return 0.0 if values is None else values[group]


def normalised(x, group, parameters):
    if parameters.norm is None:
        return x
    half = len(x)
    weight, offset, mean, variance = (values[group * half : (group + 1) * half, None, None, None] for values in parameters.norm)
    return np.maximum((x - mean) / np.sqrt(variance + 1e-5) * weight + offset, 0)


def convolve3d(x, weight):
    """(c, T, H, W) with (c, 3, 3, 3) to (T, H, W), zeros outside."""
    _, frames, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1)))
    out = np.zeros((frames, height, width))
    for t in range(frames):
        for i in range(height):
            for j in range(width):
                out[t, i, j] = (padded[:, t : t + 3, i : i + 3, j : j + 3] * weight).sum()
    return out


def convolve2d(x, weight):
    """(2, c, T) with (2, 3, 3) to (c, T), zeros outside."""
    _, channels, frames = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((channels, frames))
    for i in range(channels):
        for t in range(frames):
            out[i, t] = (padded[:, i : i + 3, t : t + 3] * weight).sum()
    return out
