import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

from gsfnas.data import ClipSplit
from gsfnas.data.video._clips import ALL
from gsfnas.train import TrainSettings, evaluate_split, fit_epoch
from gsfnas.train._device import make_fabric
from gsfnas.train._fit import clip_loss
from gsfnas.train._optimiser import build_optimiser

FRAMES = 2
SETTINGS = TrainSettings(epochs=4, batch_size=8, lr=0.05, label_smoothing=0.0, clip_gradient=0.0)


class Toy(nn.Module):
    """The mean colour of the frames and one layer a task."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.heads = nn.ModuleDict({"class": nn.Linear(3, 2), "other": nn.Linear(3, 3)})

    def forward(self, frames):
        colour = frames.mean((2, 3)).unflatten(0, (-1, FRAMES)).mean(1)
        return {task: head(colour) for task, head in self.heads.items()}


def toy_split(tasks=("class",)) -> ClipSplit:
    """20 clips, bright ones of class 1; the task `other` says which of the channels is brightest."""
    generator = np.random.default_rng(0)
    clips = generator.integers(0, 60, (20, FRAMES, 3, 4, 4), dtype=np.uint8)
    labels = {"class": np.arange(20) % 2, "other": np.arange(20) % 3}
    clips[1::2] += 100
    clips[np.arange(20), :, labels["other"]] += 60

    def read(indices, generator, part=ALL):
        return clips[indices[part]]

    return ClipSplit(labels={task: labels[task] for task in tasks}, read=read)


def run(settings=SETTINGS, *, model=None, tasks=("class",), epochs=4, **more):
    """The losses of the epochs and the network."""
    fabric = make_fabric(torch.device("cpu"), "32-true")
    network = model or Toy()
    model, optimiser = fabric.setup(network, build_optimiser(network, settings))
    split = toy_split(tasks)
    losses = [
        fit_epoch(model, optimiser, fabric, split, settings, epoch=epoch, seed=0, **more) for epoch in range(1, epochs + 1)
    ]
    return losses, network


def test_the_loss_decreases():
    losses, _ = run()
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.3 < losses[0]


def test_the_loss_of_an_epoch_is_the_mean_over_clips():
    # Nothing moves with so small a rate, so the epoch's loss is that of all clips at once; the last batch holds 4 of 20.
    losses, network = run(dataclasses.replace(SETTINGS, lr=1e-12), epochs=1)
    split = toy_split()
    assert losses[0] == pytest.approx(evaluate_split(network, split, device=torch.device("cpu"))["class"].loss, rel=1e-5)


def test_the_same_seed_gives_the_same_numbers_whatever_ran_before():
    first, _ = run()
    torch.rand(7)
    np.random.rand(3)
    assert run()[0] == first


def test_every_epoch_has_an_order_of_its_own(monkeypatch):
    seeds = []
    batches = ClipSplit.batches

    def watched(split, batch_size, **seeded):
        seeds.append(seeded)
        return batches(split, batch_size, **seeded)

    monkeypatch.setattr(ClipSplit, "batches", watched)
    run(epochs=2)
    assert len({seeded["shuffle_seed"] for seeded in seeds}) == len({seeded["augment_seed"] for seeded in seeds}) == 2


def test_the_losses_of_two_tasks_add_up_and_reach_their_heads():
    labels = {"class": torch.tensor([0, 1]), "other": torch.tensor([2, 0])}
    logits = {"class": torch.randn(2, 2), "other": torch.randn(2, 3), "unlabelled": torch.randn(2, 5)}
    parts = [nn.functional.cross_entropy(logits[task], labels[task]) for task in labels]
    torch.testing.assert_close(clip_loss(logits, labels), parts[0] + parts[1])

    _, network = run(tasks=("class", "other"))
    scores = evaluate_split(network, toy_split(("class", "other")), device=torch.device("cpu"))
    assert scores["class"].top1 == 1
    assert scores["other"].top1 > 0.5


def test_label_smoothing_raises_the_floor():
    logits = {"class": torch.tensor([[50.0, 0.0]])}
    labels = {"class": torch.tensor([0])}
    assert clip_loss(logits, labels).item() == pytest.approx(0, abs=1e-6)
    assert clip_loss(logits, labels, 0.1).item() == pytest.approx(0.05 * 50, rel=1e-5)


def test_the_gradient_is_clipped():
    settings = dataclasses.replace(SETTINGS, weight_decay=0.0, momentum=0.0, nesterov=False, warmup_epochs=0, batch_size=20)
    start = Toy()
    steps = []
    for bound in (0.0, 1e-3):
        _, network = run(dataclasses.replace(settings, clip_gradient=bound), epochs=1)
        moved = [after - before for after, before in zip(network.parameters(), start.parameters(), strict=True)]
        steps.append(torch.cat([part.flatten() for part in moved]).norm().item())
    assert steps[0] > 10 * steps[1]
    assert steps[1] == pytest.approx(settings.lr * 1e-3, rel=1e-3)


def test_progress_is_told_in_steps_of_the_run():
    told = []
    run(dataclasses.replace(SETTINGS, batch_size=1), epochs=2, on_step=lambda step, loss: told.append((step, loss)))
    assert [step for step, _ in told] == [10, 20, 30, 40]
    assert all(np.isfinite(loss) for _, loss in told)


class Breaking(Toy):
    """Not finite from its 5th batch on."""

    calls = 0

    def forward(self, frames):
        self.calls += 1
        return {task: logits * (float("nan") if self.calls >= 5 else 1) for task, logits in super().forward(frames).items()}


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    with pytest.raises(FloatingPointError, match=re.escape("the training loss is nan in epoch 2, step 2")):
        run(model=Breaking())
