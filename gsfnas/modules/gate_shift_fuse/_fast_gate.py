"""The learnable gate in the fast implementation, forward and backward: BatchNorm, ReLU, and the gating planes.

The 3x3x3 convolution is a grouped 2D convolution with a (3, 1) kernel and 9 outputs per group, one for each tap in time and
width, which are then added along both. Libraries pad the outputs of a convolution to 16, so 9 cost as much as 3. With few
channels the additions cost more than they save, so a (3, 3) kernel with 3 outputs per group is used.

N clips * frames, B clips, T frames, c shifted channels, h = c / 2 channels a group.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Norm(NamedTuple):
    """A BatchNorm and the statistics that it uses in this call, all (c,)."""

    mean: Tensor
    variance: Tensor  # biased
    weight: Tensor
    bias: Tensor
    eps: float
    of_batch: bool  # whether these are statistics of the batch, through which gradients flow


def norm_of(module: nn.BatchNorm2d, x: Tensor) -> Norm:
    """The statistics that ``module`` normalises ``x`` with; in training, updates its running statistics."""
    if module.running_mean is not None and module.running_var is not None and not module.training:
        return Norm(module.running_mean, module.running_var, module.weight, module.bias, module.eps, of_batch=False)
    if few(x.shape[1]) or x.dtype.itemsize == 2:
        mean, variance = _planewise_statistics(x)
    else:
        mean, variance = torch.ops.aten.batch_norm_update_stats(x, None, None, 0.0)
    if module.running_mean is not None and module.running_var is not None:
        momentum = module.momentum
        if module.num_batches_tracked is not None:
            module.num_batches_tracked.add_(1)
            momentum = 1 / float(module.num_batches_tracked) if momentum is None else momentum
        count = x.numel() / x.shape[1]
        module.running_mean.lerp_(mean.to(module.running_mean.dtype), momentum or 0.0)
        module.running_var.lerp_((variance * (count / (count - 1))).to(module.running_var.dtype), momentum or 0.0)
    return Norm(mean, variance, module.weight, module.bias, module.eps, of_batch=True)


def _planewise_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel, in at least single precision.

    For contiguous planes this is several times faster than torch's batch norm, and it is not rounded to half precision.
    """
    dtype, count = torch.promote_types(x.dtype, torch.float32), x.numel() / x.shape[1]
    mean = x.sum(dim=(2, 3), dtype=dtype).sum(dim=0) / count
    centred = x.to(dtype) - mean.view(-1, 1, 1)
    return mean, centred.square_().sum(dim=(2, 3)).sum(dim=0) / count


def normalised(x: Tensor, norm: Norm) -> Tensor:
    """BatchNorm and ReLU; returns a new tensor."""
    if x.dtype.itemsize == 2:
        mean, variance = norm.mean.to(norm.weight.dtype), norm.variance.to(norm.weight.dtype)
        return F.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=norm.eps).relu_()
    scale = norm.weight * (norm.variance + norm.eps).rsqrt()
    offset = norm.bias - norm.mean * scale
    return torch.addcmul(offset.view(-1, 1, 1), x, scale.view(-1, 1, 1)).relu_()


def normalised_backward(grad: Tensor, out: Tensor, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the features and of the BatchNorm's weight and bias; ``out`` is the result of ``normalised``."""
    grad = torch.ops.aten.threshold_backward(grad, out, 0)
    mean, variance, weight, _, eps, of_batch = norm
    dtype = torch.promote_types(x.dtype, torch.float32)  # libraries differ in which mixed types they accept
    grad, x_, weight_, mean, variance = (tensor.to(dtype) for tensor in (grad, x, weight, mean, variance))
    grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
        grad, x_, weight_, mean, variance, mean, (variance + eps).rsqrt(), of_batch, eps, [True, True, True]
    )
    return grad_x.to(x.dtype), grad_weight.to(weight.dtype), grad_bias.to(weight.dtype)


def few(num_shifted: int) -> bool:
    """Whether there are so few channels that everything except convolutions is faster plane by plane."""
    return num_shifted < 32


def _columns_apart(num_shifted: int) -> int:
    return 1 if few(num_shifted) else 3


def _kernels(weight: Tensor, apart: int) -> Tensor:
    """(2, h, 3 frames, 3 rows, 3 columns) -> (2 groups * apart * 3 frames, h, 3 rows, 3 / apart columns)."""
    kernels = torch.unflatten(weight, 4, (apart, 3 // apart)).permute(0, 4, 2, 1, 3, 5)
    return kernels.reshape(6 * apart, -1, 3, 3 // apart)


def gating_planes(x: Tensor, weight: Tensor, bias: Tensor | None, frames: int) -> Tensor:
    """Gating planes (N, 2, H, W) in the precision of the weights."""
    apart = _columns_apart(x.shape[1])
    x = x.contiguous(memory_format=torch.channels_last)
    taps = F.conv2d(x, _kernels(weight, apart).to(x.dtype), padding=(1, 1 - apart // 3), groups=2).to(weight.dtype)
    taps = torch.unflatten(torch.unflatten(taps.contiguous(), 1, (2, apart, 3)), 0, (-1, frames))
    columns = taps[:, :, :, apart // 2]  # (B, T, 2, 3 frames, H, W)
    if apart == 3:
        columns[..., 1:].add_(taps[:, :, :, 0, :, :, :-1])
        columns[..., :-1].add_(taps[:, :, :, 2, :, :, 1:])
    planes = columns[:, :, :, 1].clone(memory_format=torch.contiguous_format)
    planes[:, 1:].add_(columns[:, :-1, :, 0])
    planes[:, :-1].add_(columns[:, 1:, :, 2])
    if bias is not None:
        planes += bias.view(2, 1, 1)
    return planes.tanh_().flatten(0, 1)


def gating_planes_backward(grad: Tensor, x: Tensor, weight: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """The gradients of the convolution's input and weight, given the gradient before the tanh."""
    apart = _columns_apart(x.shape[1])
    clips = torch.unflatten(grad, 0, (-1, frames))  # (B, T, 2, H, W)
    batch, _, _, height, width = clips.shape
    taps = clips.new_zeros(batch, frames, 2, apart, 3, height, width)
    columns = taps[:, :, :, apart // 2]
    columns[:, :, :, 1] = clips
    columns[:, :-1, :, 0] = clips[:, 1:]
    columns[:, 1:, :, 2] = clips[:, :-1]
    if apart == 3:
        taps[:, :, :, 0, :, :, :-1] = columns[..., 1:]
        taps[:, :, :, 2, :, :, 1:] = columns[..., :-1]
    grad_taps = taps.view(grad.shape[0], -1, height, width).to(x.dtype, memory_format=torch.channels_last)
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    x = x.contiguous(memory_format=torch.channels_last)
    kernels, padding = _kernels(weight, apart).to(x.dtype), [1, 1 - apart // 3]
    grad_x, grad_kernels, _ = torch.ops.aten.convolution_backward(
        grad_taps, x, kernels, None, [1, 1], padding, [1, 1], False, [0, 0], 2, [True, True, False]
    )
    grad_weight = torch.unflatten(grad_kernels, 0, (2, apart, 3)).permute(0, 3, 2, 4, 1, 5).flatten(4)
    return grad_x.contiguous(memory_format=layout), grad_weight.to(weight.dtype)
