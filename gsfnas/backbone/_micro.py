"""Small residual networks for clips of about 32 px on a CPU: of six or eight basic blocks, or of sixteen bottlenecks.

The residual blocks are those of He et al., "Deep Residual Learning for Image Recognition" (2016), figure 5; the bottleneck's
stride is in its 3 x 3 convolution. The stages 3-4-6-3 of ``MicroBottleneck`` are those of ResNet-50, and 2-2-2-2 of ``Micro18``
those of ResNet-18, so that a placement found on one can be tried on the other. N clips*frames, C channels.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from gsfnas.backbone._site_spec import SiteSpec, around
from gsfnas.backbone._width import scaled


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: (N, C, H, W) -> (N, channels, H/stride, W/stride)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.relu1(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        out: Tensor = self.relu2(residual + self.downsample(x))
        return out


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions and a shortcut: (N, C, H, W) -> (N, channels, H/stride, W/stride).

    The inner convolutions have a quarter of ``channels``, rounded down to a multiple of 4, at least 4.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        inner = max(4, channels // 16 * 4)
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride)
        self.relu3 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.relu1(self.bn1(self.conv1(x)))
        residual = self.relu2(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        out: Tensor = self.relu3(residual + self.downsample(x))
        return out


class ResidualNet(nn.Module):
    """A 3 x 3 stem of stride 2, stages that halve the map, global average pooling: (N, 3, H, W) -> (N, num_features).

    ``first_stride`` is that of the first stage, the others' is 2.
    """

    block: type[BasicBlock] | type[Bottleneck]
    roles: tuple[str, ...]
    default_role: str
    stem: int
    first_stride: int = 2
    stages: tuple[tuple[int, int], ...]  # (channels, blocks)

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled(self.stem, width)
        self.conv1 = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        for number, (base, depth) in enumerate(self.stages, start=1):
            blocks = []
            for index in range(depth):
                stride = 1 if index else self.first_stride if number == 1 else 2
                blocks.append(self.block(channels, scaled(base, width), stride))
                channels = scaled(base, width)
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        for number in range(1, len(self.stages) + 1):
            x = getattr(self, f"layer{number}")(x)
        pooled: Tensor = self.pool(x)
        return pooled.flatten(1)

    def sites(self) -> list[SiteSpec]:
        return [place for block in self._blocks() for place in around(block, self.roles, self.default_role)]

    def _blocks(self) -> Iterator[str]:
        for number, (_, depth) in enumerate(self.stages, start=1):
            for index in range(depth):
                yield f"layer{number}.{index}"


class Micro(ResidualNet):
    """Eight basic blocks; the eight default sites are after the first convolution of each."""

    block = BasicBlock
    roles = ("conv1", "conv2")
    default_role = "conv1"
    stem = 16
    stages = ((16, 3), (32, 3), (64, 2))


class Micro18(ResidualNet):
    """Eight basic blocks, two for each size of the map, which begins at half the clip's: as in ResNet-18 after its pooling."""

    block = BasicBlock
    roles = ("conv1", "conv2")
    default_role = "conv1"
    stem = 8
    first_stride = 1
    stages = ((8, 2), (16, 2), (32, 2), (64, 2))


class Micro14(Micro18):
    """Six basic blocks: ``Micro18`` with one instead of two in the last two stages."""

    stages = ((8, 2), (16, 2), (32, 1), (64, 1))


class MicroBottleneck(ResidualNet):
    """Sixteen bottlenecks in stages of 3, 4, 6 and 3; the sixteen default sites are after the last convolution of each."""

    block = Bottleneck
    roles = ("conv1", "conv2", "conv3")
    default_role = "conv3"
    stem = 16
    stages = ((32, 3), (64, 4), (128, 6), (256, 3))


def _shortcut(in_channels: int, channels: int, stride: int) -> nn.Module:
    if in_channels == channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
