"""One epoch of training."""

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

# How often the loss is fetched and progress told.
_STEPS_BETWEEN_LOOKS = 10


def num_steps(clips: int, batch_size: int) -> int:
    """Steps of an epoch; the last batch may be smaller."""
    return -(-clips // batch_size)


def clip_loss(logits: dict[str, Tensor], labels: dict[str, Tensor], label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the clips' logits (B, classes), averaged over clips, summed over tasks."""
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
    """Trains epoch 1, 2, ... on every clip once and returns the mean loss over clips (with label smoothing), in nats.

    ``model`` and ``optimiser`` come from ``fabric.setup``. The order of clips, their augmentation and dropout follow from seed
    and epoch alone, so an epoch is the same after an interruption. Where fabric has several processes, each computes its share
    of every batch; each share is computed in ``settings.accumulate`` parts. ``on_step(step, loss)`` is called every few steps,
    with the steps done in all epochs whose losses are known: on a GPU up to twenty are still to come. Raises
    FloatingPointError, naming epoch and step, where a loss is not finite.
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
    fetched, known, total = _Fetched(), 0, 0.0
    for step, (clips, labels) in enumerate(batches, start=1):
        set_learning_rate(optimiser, learning_rate(before + step - 1, settings, steps))
        optimiser.zero_grad()
        in_batch = min(settings.batch_size, len(split) - (step - 1) * settings.batch_size)
        own = in_batch * (rank + 1) // world - in_batch * rank // world
        told = clips.new_zeros((), dtype=torch.float32, device=fabric.device)
        for part in range(settings.accumulate):
            piece = part_of(len(clips), part, settings.accumulate)
            counted = (own * (part + 1) // settings.accumulate) - own * part // settings.accumulate
            frames = to_frames(clips[piece], fabric.device, pixels, is_channels_last=is_channels_last)
            targets = to_device({task: values[piece] for task, values in labels.items()}, fabric.device)
            is_synchronised = world == 1 or part == settings.accumulate - 1
            with nullcontext() if is_synchronised else fabric.no_backward_sync(model):  # type: ignore[arg-type]
                loss = clip_loss(model(frames), targets, settings.label_smoothing)
                # The mean over the whole batch, of which the processes' gradients are averaged.
                share = counted * world / in_batch
                fabric.backward(loss if share == 1 else loss * share)
            told = told + loss.detach() * counted
        if settings.clip_gradient:
            fabric.clip_gradients(model, optimiser, max_norm=settings.clip_gradient, error_if_nonfinite=False)
        optimiser.step()
        losses.append(told)
        if step % _STEPS_BETWEEN_LOOKS == 0 or step == steps:
            fetched.send(torch.stack(losses))
            losses.clear()
            if values := fetched.take(everything=step == steps):
                _require_finite(values, epoch, known + 1)
                total += sum(values)
                known += len(values)
                on_step(before + known, values[-1] / max(own, 1))
    if world > 1:
        summed = fabric.all_reduce(torch.tensor(total, dtype=torch.float64, device=fabric.device), reduce_op="sum")
        assert isinstance(summed, Tensor)
        total = summed.item()
    return total / len(split)


class _Fetched:
    """Numbers on their way from a device. From a GPU each lot is taken when the next is sent, so that it never runs dry."""

    def __init__(self) -> None:
        self._coming: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def send(self, numbers: Tensor) -> None:
        arrival = None
        if numbers.is_cuda:
            numbers = torch.empty_like(numbers, device="cpu", pin_memory=True).copy_(numbers, non_blocking=True)
            arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrival.record()
        self._coming.append((numbers, arrival))

    def take(self, *, everything: bool) -> list[float]:
        """What has come; the latest lot from a GPU only where ``everything`` is asked for."""
        taken: list[float] = []
        while self._coming:
            numbers, arrival = self._coming[0]
            if arrival is not None:
                if len(self._coming) == 1 and not everything:
                    break
                arrival.synchronize()
            taken += numbers.tolist()
            self._coming.popleft()
        return taken


def _require_finite(losses: list[float], epoch: int, first_step: int) -> None:
    for step, loss in enumerate(losses, start=first_step):
        if not abs(loss) < float("inf"):
            raise FloatingPointError(f"the training loss is {loss} in epoch {epoch}, step {step}")
