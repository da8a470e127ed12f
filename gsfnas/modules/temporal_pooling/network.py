"""A weighted sum over the frames. N clips*frames, B clips, T frames, F features."""

import torch
from torch import Tensor, nn


class TemporalPooling(nn.Module):
    """(N, F) -> (B, F): a depthwise convolution over all frames of a clip, which starts as their mean."""

    def __init__(self, features: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv = nn.Conv1d(features, features, frames, groups=features, bias=False)
        nn.init.constant_(self.conv.weight, 1 / frames)

    def forward(self, x: Tensor) -> Tensor:
        clips = torch.unflatten(x, 0, (-1, self.frames)).transpose(1, 2)  # (B, F, T)
        pooled: Tensor = self.conv(clips).squeeze(2)
        return pooled
