"""BN-Inception, the backbone in most tables of the Gate-Shift-Fuse paper.

Ioffe and Szegedy, "Batch Normalization" (2015), figure 5, with the changes of the public Caffe model: biases in the
convolutions, other channel numbers in blocks 4a to 4e, average pooling in all blocks of stride 1 but the last. Parameters and
modules are named as in the PyTorch port of that model, so that public weights load by name. Pooling rounds sizes up, as in
Caffe.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsfnas.backbone._site_spec import SiteSpec
from gsfnas.backbone._width import scaled
from gsfnas.errors import UserError


@dataclass(frozen=True)
class Block:
    """Output channels of the convolutions of an inception block; ``one`` and ``projection`` are 0 in a block of stride 2."""

    name: str
    one: int
    three: tuple[int, int]
    double: tuple[int, int, int]
    projection: int
    pool: str = "avg"

    @property
    def stride(self) -> int:
        return 1 if self.one else 2

    def branches(self) -> Iterator[list[tuple[str, int, int, int]]]:
        """Yields each branch as a list of its convolutions: (role, output channels, kernel size, stride)."""
        if self.one:
            yield [("1x1", self.one, 1, 1)]
        yield [("3x3_reduce", self.three[0], 1, 1), ("3x3", self.three[1], 3, self.stride)]
        yield [
            ("double_3x3_reduce", self.double[0], 1, 1),
            ("double_3x3_1", self.double[1], 3, 1),
            ("double_3x3_2", self.double[2], 3, self.stride),
        ]
        if self.projection:
            yield [("pool_proj", self.projection, 1, 1)]


BLOCKS = (
    Block("3a", 64, (64, 64), (64, 96, 96), 32),
    Block("3b", 64, (64, 96), (64, 96, 96), 64),
    Block("3c", 0, (128, 160), (64, 96, 96), 0, "max"),
    Block("4a", 224, (64, 96), (96, 128, 128), 128),
    Block("4b", 192, (96, 128), (96, 128, 128), 128),
    Block("4c", 160, (128, 160), (128, 160, 160), 128),
    Block("4d", 96, (128, 192), (160, 192, 192), 128),
    Block("4e", 0, (128, 192), (192, 256, 256), 0, "max"),
    Block("5a", 352, (192, 320), (160, 224, 224), 128),
    Block("5b", 352, (192, 320), (192, 224, 224), 128, "max"),
)


class BNInception(nn.Module):
    """(N, 3, H, W) -> (N, num_features), 1024 at width 1; ``width`` scales the channels of every convolution."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.width = width
        channels = self._convolution("conv1_7x7_s2", "conv1_relu_7x7", 3, 64, 7, 2)
        self.pool1_3x3_s2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = self._convolution("conv2_3x3_reduce", "conv2_relu_3x3_reduce", channels, 64, 1, 1)
        channels = self._convolution("conv2_3x3", "conv2_relu_3x3", channels, 192, 3, 1)
        self.pool2_3x3_s2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        for block in BLOCKS:
            channels = self._block(block, channels)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                assert module.bias is not None
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def _convolution(self, name: str, relu: str, in_channels: int, base: int, kernel: int, stride: int) -> int:
        channels = scaled(base, self.width)
        self.add_module(name, nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(channels))
        self.add_module(relu, nn.ReLU(inplace=True))
        return channels

    def _block(self, block: Block, in_channels: int) -> int:
        prefix, total = f"inception_{block.name}", 0
        for branch in block.branches():
            channels = in_channels
            for role, base, kernel, stride in branch:
                channels = self._convolution(f"{prefix}_{role}", f"{prefix}_relu_{role}", channels, base, kernel, stride)
            total += channels
        pool: nn.Module
        if block.pool == "avg":
            pool = nn.AvgPool2d(3, 1, 1, ceil_mode=True, count_include_pad=True)
        else:
            pool = nn.MaxPool2d(3, block.stride, block.stride % 2, ceil_mode=True)
        self.add_module(f"{prefix}_pool", pool)
        return total if block.projection else total + in_channels

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1_3x3_s2(self._run(x, "conv1_7x7_s2", "conv1_relu_7x7"))
        x = self._run(x, "conv2_3x3_reduce", "conv2_relu_3x3_reduce")
        x = self.pool2_3x3_s2(self._run(x, "conv2_3x3", "conv2_relu_3x3"))
        for block in BLOCKS:
            x = self._inception(x, block)
        pooled: Tensor = self.global_pool(x)
        return pooled.flatten(1)

    def _run(self, x: Tensor, name: str, relu: str) -> Tensor:
        out: Tensor = self.get_submodule(relu)(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x)))
        return out

    def _inception(self, x: Tensor, block: Block) -> Tensor:
        prefix = f"inception_{block.name}"
        pool = self.get_submodule(f"{prefix}_pool")
        if block.stride == 2 and (x.shape[2] % 2 or x.shape[3] % 2):
            size = f"{x.shape[2]} x {x.shape[3]}"
            raise UserError(f"block {block.name} halves a map of {size}, which must be even; multiples of 32 px always are")
        outputs = []
        for branch in block.branches():
            out = pool(x) if branch[0][0] == "pool_proj" else x
            for role, *_ in branch:
                out = self._run(out, f"{prefix}_{role}", f"{prefix}_relu_{role}")
            outputs.append(out)
        if not block.projection:
            outputs.append(pool(x))
        return torch.cat(outputs, dim=1)

    def sites(self) -> list[SiteSpec]:
        """A site after each convolution of the ten blocks, before its BatchNorm, with names such as ``4c.1x1``.

        The default site of a block is that of the 1 x 1 convolution, or, in 3c and 4e, which have none, that of the reduction
        before the 3 x 3.
        """
        return [
            SiteSpec(
                f"inception_{block.name}_{role}",
                block.name,
                role,
                is_default=role == ("1x1" if block.one else "3x3_reduce"),
                name=f"{block.name}.{role}",
            )
            for block in BLOCKS
            for branch in block.branches()
            for role, *_ in branch
        ]
