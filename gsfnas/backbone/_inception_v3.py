"""Inception v3, the larger of the two Inception networks in the Gate-Shift-Fuse paper.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016), table 1, with the changes of the public
Caffe model used in video recognition: biases in the convolutions, frames of 229 px, pooling that rounds sizes up, max pooling
in the last block. Layers are named as in the PyTorch port of that model (``mixed_4_tower_1_conv_3_Conv2D``, its ``_batchnorm``,
and the ReLU without a suffix), so that public weights load by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsfnas.backbone._site_spec import SiteSpec
from gsfnas.backbone._width import scaled
from gsfnas.errors import UserError

Kernel = tuple[int, int]


@dataclass(frozen=True)
class Conv:
    """A convolution of a block: its name within the block, role, output channels, kernel size, stride, whether it is padded."""

    name: str
    role: str
    channels: int
    kernel: Kernel = (1, 1)
    stride: int = 1
    is_padded: bool = True


@dataclass(frozen=True)
class Branch:
    """A chain of convolutions; the convolutions in ``fork``, if any, are parallel and all take the output of the chain."""

    chain: tuple[Conv, ...]
    fork: tuple[Conv, ...] = ()


@dataclass(frozen=True)
class Block:
    """An inception block; ``pool`` is "avg" or "max".

    With a ``projection``, its branch is pooling and then a 1 x 1 convolution to that many channels. Without one, the block
    halves the map, and its pooling branch is max pooling with stride 2.
    """

    name: str
    branches: tuple[Branch, ...]
    pool: str
    projection: int = 0
    default: str = "1x1"

    def convolutions(self) -> list[Conv]:
        found = [conv for branch in self.branches for conv in (*branch.chain, *branch.fork)]
        return found + ([self.projected] if self.projection else [])

    @property
    def projected(self) -> Conv:
        return Conv("tower_2_conv", "pool_proj", self.projection)


def _fine(name: str, projection: int) -> Block:
    """A block for the largest maps, with branches 1 x 1, 5 x 5 and two 3 x 3."""
    five = Branch((Conv("tower_conv", "5x5_reduce", 48), Conv("tower_conv_1", "5x5", 64, (5, 5))))
    double = Branch(
        (
            Conv("tower_1_conv", "double_3x3_reduce", 64),
            Conv("tower_1_conv_1", "double_3x3_1", 96, (3, 3)),
            Conv("tower_1_conv_2", "double_3x3_2", 96, (3, 3)),
        )
    )
    return Block(name, (Branch((Conv("conv", "1x1", 64),)), five, double), "avg", projection)


def _factorised(name: str, inner: int) -> Block:
    """A block for the middle maps, with branches 1 x 1, one 7 x 7 and two 7 x 7, each factorised into 7 x 1 and 1 x 7."""
    seven = Branch(
        (
            Conv("tower_conv", "7x7_reduce", inner),
            Conv("tower_conv_1", "7x7_1", inner, (7, 1)),
            Conv("tower_conv_2", "7x7_2", 192, (1, 7)),
        )
    )
    double = Branch(
        (
            Conv("tower_1_conv", "double_7x7_reduce", inner),
            Conv("tower_1_conv_1", "double_7x7_1", inner, (1, 7)),
            Conv("tower_1_conv_2", "double_7x7_2", inner, (7, 1)),
            Conv("tower_1_conv_3", "double_7x7_3", inner, (1, 7)),
            Conv("tower_1_conv_4", "double_7x7_4", 192, (7, 1)),
        )
    )
    return Block(name, (Branch((Conv("conv", "1x1", 192),)), seven, double), "avg", 192)


def _coarse(name: str, pool: str) -> Block:
    """A block for the smallest maps, with a branch 1 x 1 and two branches that end in a 3 x 1 parallel to a 1 x 3."""
    three = Branch(
        (Conv("tower_conv", "3x3_reduce", 384),),
        (Conv("tower_mixed_conv", "3x3_1", 384, (3, 1)), Conv("tower_mixed_conv_1", "3x3_2", 384, (1, 3))),
    )
    double = Branch(
        (Conv("tower_1_conv", "double_3x3_reduce", 448), Conv("tower_1_conv_1", "double_3x3_1", 384, (3, 3))),
        (
            Conv("tower_1_mixed_conv", "double_3x3_2", 384, (3, 1)),
            Conv("tower_1_mixed_conv_1", "double_3x3_3", 384, (1, 3)),
        ),
    )
    return Block(name, (Branch((Conv("conv", "1x1", 320),)), three, double), pool, 192)


_FIRST_HALVING = Block(
    "mixed_3",
    (
        Branch((Conv("conv", "3x3", 384, (3, 3), 2, is_padded=False),)),
        Branch(
            (
                Conv("tower_conv", "double_3x3_reduce", 64),
                Conv("tower_conv_1", "double_3x3_1", 96, (3, 3)),
                Conv("tower_conv_2", "double_3x3_2", 96, (3, 3), 2, is_padded=False),
            )
        ),
    ),
    "max",
    default="3x3",
)
_SECOND_HALVING = Block(
    "mixed_8",
    (
        Branch(
            (Conv("tower_conv", "3x3_reduce", 192), Conv("tower_conv_1", "3x3", 320, (3, 3), 2, is_padded=False)),
        ),
        Branch(
            (
                Conv("tower_1_conv", "7x7_reduce", 192),
                Conv("tower_1_conv_1", "7x7_1", 192, (7, 1)),
                Conv("tower_1_conv_2", "7x7_2", 192, (1, 7)),
                Conv("tower_1_conv_3", "7x7_3x3", 192, (3, 3), 2, is_padded=False),
            )
        ),
    ),
    "max",
    default="3x3_reduce",
)

BLOCKS = (
    _fine("mixed", 32),
    _fine("mixed_1", 64),
    _fine("mixed_2", 64),
    _FIRST_HALVING,
    _factorised("mixed_4", 128),
    _factorised("mixed_5", 160),
    _factorised("mixed_6", 160),
    _factorised("mixed_7", 192),
    _SECOND_HALVING,
    _coarse("mixed_9", "avg"),
    _coarse("mixed_10", "max"),
)

STEM = (
    Conv("conv", "", 32, (3, 3), 2, is_padded=False),
    Conv("conv_1", "", 32, (3, 3), is_padded=False),
    Conv("conv_2", "", 64, (3, 3)),
    Conv("conv_3", "", 80),
    Conv("conv_4", "", 192, (3, 3), is_padded=False),
)
# Convolution of the stem -> name of the pooling after it, which halves the map.
STEM_POOLS = {"conv_2": "pool", "conv_4": "pool_1"}


class InceptionV3(nn.Module):
    """(N, 3, H, W) -> (N, num_features), 2048 at width 1; ``width`` scales the channels of every convolution."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.width = width
        channels = 3
        for conv in STEM:
            channels = self._convolution(conv.name, conv, channels)
            if conv.name in STEM_POOLS:
                self.add_module(STEM_POOLS[conv.name], nn.MaxPool2d(3, 2, ceil_mode=True))
        for block in BLOCKS:
            channels = self._block(block, channels)
        self.top_cls_pool = nn.AdaptiveAvgPool2d(1)
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                assert module.bias is not None
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def _convolution(self, name: str, conv: Conv, in_channels: int) -> int:
        channels = scaled(conv.channels, self.width)
        padding = (conv.kernel[0] // 2, conv.kernel[1] // 2) if conv.is_padded else 0
        self.add_module(f"{name}_Conv2D", nn.Conv2d(in_channels, channels, conv.kernel, conv.stride, padding))
        self.add_module(f"{name}_batchnorm", nn.BatchNorm2d(channels))
        self.add_module(name, nn.ReLU(inplace=True))
        return channels

    def _block(self, block: Block, in_channels: int) -> int:
        total = 0
        for branch in block.branches:
            channels = in_channels
            for conv in branch.chain:
                channels = self._convolution(f"{block.name}_{conv.name}", conv, channels)
            ends = [self._convolution(f"{block.name}_{conv.name}", conv, channels) for conv in branch.fork]
            total += sum(ends) if ends else channels
        pool: nn.Module
        if not block.projection:
            self.add_module(f"{block.name}_pool", nn.MaxPool2d(3, 2, ceil_mode=True))
            return total + in_channels
        if block.pool == "avg":
            pool = nn.AvgPool2d(3, 1, 1, ceil_mode=True, count_include_pad=True)
        else:
            pool = nn.MaxPool2d(3, 1, 1, ceil_mode=True)
        self.add_module(f"{block.name}_tower_2_pool", pool)
        return total + self._convolution(f"{block.name}_{block.projected.name}", block.projected, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        for conv in STEM:
            x = self._run(x, conv.name)
            if conv.name in STEM_POOLS:
                x = self.get_submodule(STEM_POOLS[conv.name])(x)
        for block in BLOCKS:
            x = self._inception(x, block)
        pooled: Tensor = self.top_cls_pool(x)
        return pooled.flatten(1)

    def _run(self, x: Tensor, name: str) -> Tensor:
        out: Tensor = self.get_submodule(name)(self.get_submodule(f"{name}_batchnorm")(self.get_submodule(f"{name}_Conv2D")(x)))
        return out

    def _inception(self, x: Tensor, block: Block) -> Tensor:
        if not block.projection and not (x.shape[2] % 2 and x.shape[3] % 2):
            size = f"{x.shape[2]} x {x.shape[3]}"
            raise UserError(f"block {block.name} halves a map of {size}, which must be odd, as frames of 229 or 101 px make it")
        outputs: list[Tensor] = []
        for branch in block.branches:
            out = x
            for conv in branch.chain:
                out = self._run(out, f"{block.name}_{conv.name}")
            outputs += self._forked(out, block, branch.fork) if branch.fork else [out]
        if block.projection:
            pooled = self.get_submodule(f"{block.name}_tower_2_pool")(x)
            outputs.append(self._run(pooled, f"{block.name}_{block.projected.name}"))
        else:
            outputs.append(self.get_submodule(f"{block.name}_pool")(x))
        return torch.cat(outputs, dim=1)

    def _forked(self, x: Tensor, block: Block, fork: Sequence[Conv]) -> list[Tensor]:
        return [self._run(x, f"{block.name}_{conv.name}") for conv in fork]

    def sites(self) -> list[SiteSpec]:
        """A site after each convolution of the eleven blocks, before its BatchNorm, with names such as ``mixed_4.1x1``.

        The default sites are the published placement: after the 1 x 1 convolution, or, in the blocks that have none, after the
        3 x 3 that halves the map (``mixed_3``) or the reduction before it (``mixed_8``).
        """
        return [
            SiteSpec(
                f"{block.name}_{conv.name}_Conv2D",
                block.name,
                conv.role,
                is_default=conv.role == block.default,
                name=f"{block.name}.{conv.role}",
            )
            for block in BLOCKS
            for conv in block.convolutions()
        ]
