"""Trains one epoch."""

from collections import deque
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from gsfnas.data import ClipSplit, part_of
from gsfnas.train._batch import can_be_channels_last, to_device, to_frames
from gsfnas.train._optimiser import learning_rate, set_learning_rate
from gsfnas.train._seed import derive, seed_all
from gsfnas.train._settings import TrainSettings
from gsfnas.weights._normalization import IMAGENET, InputNormalization

# How often the loss is fetched from the device and progress reported.
_STEPS_BETWEEN_REPORTS = 10


def num_steps(clips: int, batch_size: int) -> int:
    """Steps per epoch; the last batch may be smaller."""
    return -(-clips // batch_size)


def clip_loss(logits: dict[str, Tensor], labels: dict[str, Tensor], label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the clips' logits (B, classes), averaged over clips and summed over tasks."""
    losses = [F.cross_entropy(logits[task], labels[task], label_smoothing=label_smoothing) for task in labels]
    return torch.stack(losses).sum()


def fit_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    fabric: Fabric,
    split: ClipSplit,
    settings: TrainSettings,
    *,
    epoch: int,
    seed: int,
    pixels: InputNormalization = IMAGENET,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Trains one epoch (1, 2, ...) on every clip once; returns the mean loss over clips, with label smoothing, in nats.

    ``model`` and ``optimiser`` come from ``fabric.setup``. The order of clips, their augmentation and dropout depend only on
    seed and epoch, so an epoch is the same after an interruption. With several processes, each computes its share of every
    batch, in ``settings.accumulate`` parts. ``on_step(step, loss)`` is called every few steps; ``step`` counts the steps of all
    epochs whose losses were fetched, which on a GPU is up to twenty steps late. Raises FloatingPointError, naming epoch and
    step, if a loss is not finite.
    """
    rank, world = fabric.global_rank, fabric.world_size
    seed_all(derive(seed, "epoch", epoch) if rank == 0 else derive(seed, "epoch", epoch, "rank", rank))
    model.train()
    steps = num_steps(len(split), settings.batch_size)
    before = (epoch - 1) * steps
    batches = split.batches(
        settings.batch_size,
        shuffle_seed=derive(seed, "order", epoch),
        augment_seed=derive(seed, "augment", epoch),
        pinned=fabric.device.type == "cuda",
        share=(rank, world),
    )
    is_channels_last = settings.channels_last and can_be_channels_last(model)
    losses: list[Tensor] = []
    queue, num_known, total = _LossQueue(), 0, 0.0
    for step, (clips, labels) in enumerate(batches, start=1):
        set_learning_rate(optimiser, learning_rate(before + step - 1, settings, steps))
        optimiser.zero_grad()
        batch_size = min(settings.batch_size, len(split) - (step - 1) * settings.batch_size)
        own = batch_size * (rank + 1) // world - batch_size * rank // world
        batch_loss = clips.new_zeros((), dtype=torch.float32, device=fabric.device)
        for part in range(settings.accumulate):
            part_slice = part_of(len(clips), part, settings.accumulate)
            num_clips = (own * (part + 1) // settings.accumulate) - own * part // settings.accumulate
            frames = to_frames(clips[part_slice], fabric.device, pixels, is_channels_last=is_channels_last)
            targets = to_device({task: values[part_slice] for task, values in labels.items()}, fabric.device)
            is_synchronised = world == 1 or part == settings.accumulate - 1
            with nullcontext() if is_synchronised else fabric.no_backward_sync(model):  # type: ignore[arg-type]
                loss = clip_loss(model(frames), targets, settings.label_smoothing)
                # Weighted so that the gradients, which DDP averages over processes, are those of the whole batch's mean loss.
                weight = num_clips * world / batch_size
                fabric.backward(loss if weight == 1 else loss * weight)
            batch_loss = batch_loss + loss.detach() * num_clips
        if settings.clip_gradient:
            fabric.clip_gradients(model, optimiser, max_norm=settings.clip_gradient, error_if_nonfinite=False)
        optimiser.step()
        losses.append(batch_loss)
        if step % _STEPS_BETWEEN_REPORTS == 0 or step == steps:
            queue.send(torch.stack(losses))
            losses.clear()
            if values := queue.take(everything=step == steps):
                _require_finite(values, epoch, num_known + 1)
                total += sum(values)
                num_known += len(values)
                on_step(before + num_known, values[-1] / max(own, 1))
    if world > 1:
        summed = fabric.all_reduce(torch.tensor(total, dtype=torch.float64, device=fabric.device), reduce_op="sum")
        assert isinstance(summed, Tensor)
        total = summed.item()
    return total / len(split)


class _LossQueue:
    """Losses being copied from the device. Those of a GPU are read one report later, so that it always has work queued."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def send(self, numbers: Tensor) -> None:
        arrival = None
        if numbers.is_cuda:
            numbers = torch.empty_like(numbers, device="cpu", pin_memory=True).copy_(numbers, non_blocking=True)
            arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrival.record()
        self._pending.append((numbers, arrival))

    def take(self, *, everything: bool) -> list[float]:
        """The losses that have arrived; waits for the latest ones from a GPU only if ``everything``."""
        taken: list[float] = []
        while self._pending:
            numbers, arrival = self._pending[0]
            if arrival is not None:
                if len(self._pending) == 1 and not everything:
                    break
                arrival.synchronize()
            taken += numbers.tolist()
            self._pending.popleft()
        return taken


def _require_finite(losses: list[float], epoch: int, first_step: int) -> None:
    for step, loss in enumerate(losses, start=first_step):
        if not abs(loss) < float("inf"):
            raise FloatingPointError(f"the training loss is {loss} in epoch {epoch}, step {step}")
