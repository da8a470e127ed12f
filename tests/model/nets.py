"""Small networks and clips for these tests."""

import hashlib

import torch
from torch import Tensor, nn

from gsfnas.candidate import Candidate, Site
from gsfnas.model import VideoModel

NARROW = {"width": 0.25}


class Scale(nn.Module):
    """A module of a user's own, that an eye can follow."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Chain(nn.Module):
    """(N, 4, 1, 1) -> (N, 4): doubles, then adds one."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = Scale(2.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.twice(x) + 1
        return out.flatten(1)


def place(kind: str, layer: str = "twice") -> Site:
    return Site(f"{layer}.{kind}", layer, "b", "r", kind, 4, 1, 1)  # type: ignore[arg-type]


def perturbed(model: VideoModel) -> VideoModel:
    """Every parameter and statistic moved by noise from its own name, so that no initial zero hides a difference."""
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                generator = torch.Generator().manual_seed(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
                noise = torch.randn(tensor.shape, generator=generator)
                tensor += 0.1 * noise.abs() if name.endswith("running_var") else 0.3 * noise / tensor[:1].numel() ** 0.5
    return model.eval()


def clips(candidate: Candidate, batch: int = 2) -> Tensor:
    shape = (batch, candidate.frames, 3, candidate.resolution, candidate.resolution)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
