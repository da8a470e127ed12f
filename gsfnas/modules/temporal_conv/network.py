"""A depthwise convolution over time, then the layer that it was made from. N clips*frames, B clips, T frames, C channels."""

import torch
from torch import Tensor, nn


class TemporalConv(nn.Module):
    """(N, C, H, W) -> the output of ``layer`` on features that each mix ``taps`` frames; zeros before and after a clip.

    ``weight`` is (C, 1, taps, 1, 1) and starts as the identity.
    """

    def __init__(self, layer: nn.Module, channels: int, frames: int, taps: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv = nn.Conv3d(channels, channels, (taps, 1, 1), padding=(taps // 2, 0, 0), groups=channels, bias=False)
        nn.init.zeros_(self.conv.weight)
        with torch.no_grad():
            self.conv.weight[:, :, taps // 2] = 1
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        clips = torch.unflatten(x, 0, (-1, self.frames)).transpose(1, 2)  # (B, C, T, H, W)
        mixed = torch.flatten(self.conv(clips).transpose(1, 2), 0, 1)
        out: Tensor = self.layer(mixed)
        return out
