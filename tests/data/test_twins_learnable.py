"""Twins can be learned by a small network that shifts features over time, and not by the same network without the shift."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsfnas.data import DataSettings, VideoData, open_data

EPOCHS, BATCH = 6, 32


class Block(nn.Module):
    """A residual block whose branch sees an eighth of the channels of the frame before, and an eighth of the one after."""

    def __init__(self, before: int, after: int, stride: int, frames: int, shifts: bool) -> None:
        super().__init__()
        self.frames, self.shifts = frames, shifts
        self.branch = nn.Sequential(
            *(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
            *(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        shifted = x
        if self.shifts:
            clips = x.unflatten(0, (-1, self.frames))
            part = x.shape[1] // 8
            moved = torch.zeros_like(clips)
            moved[:, :-1, :part] = clips[:, 1:, :part]
            moved[:, 1:, part : 2 * part] = clips[:, :-1, part : 2 * part]
            moved[:, :, 2 * part :] = clips[:, :, 2 * part :]
            shifted = moved.flatten(0, 1)
        return F.relu(self.branch(shifted) + self.shortcut(x))


def top1(data: VideoData, frames: int, shifts: bool) -> float:
    torch.manual_seed(0)
    classes = len(data.tasks["class"])
    shapes = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    blocks = [Block(*shape, frames, shifts) for shape in shapes]
    network = nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))

    def logits(clips: Tensor) -> Tensor:
        out: Tensor = network((clips.flatten(0, 1).float() - 110) / 60)
        return out.unflatten(0, (-1, frames)).mean(1)

    steps = EPOCHS * -(-len(data.splits["train"]) // BATCH)
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.12, total_steps=steps, pct_start=0.15)
    for epoch in range(EPOCHS):
        for clips, labels in data.splits["train"].batches(BATCH, shuffle_seed=epoch, augment_seed=epoch):
            optimiser.zero_grad()
            F.cross_entropy(logits(clips), labels["class"], label_smoothing=0.1).backward()
            optimiser.step()
            schedule.step()
    network.eval()
    right = 0
    with torch.no_grad():
        for clips, labels in data.splits["test"].batches(64):
            right += int((logits(clips).argmax(1) == labels["class"]).sum())
    return right / len(data.splits["test"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_order_is_what_there_is_to_learn(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = open_data(DataSettings(test_clips=480, cache=str(tmp_path_factory.mktemp("cache"))))
    assert top1(data, 8, shifts=True) > 0.7
    assert 0.2 < top1(data, 8, shifts=False) <= 0.5
