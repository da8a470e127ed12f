"""One epoch of training."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from gsfnas.data import ClipSplit
from gsfnas.train._batch import to_device, to_frames
from gsfnas.train._optimiser import learning_rate, set_learning_rate
from gsfnas.train._seed import derive, seed_all
from gsfnas.train._settings import TrainSettings

# How often the loss is fetched and progress told: each time a GPU must finish what it was given.
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
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Trains epoch 1, 2, ... on every clip once and returns the mean loss over clips (with label smoothing), in nats.

    ``model`` and ``optimiser`` come from ``fabric.setup``. The order of clips, their augmentation and dropout follow from seed
    and epoch alone, so an epoch is the same after an interruption. ``on_step(step, loss)`` is called every few steps, with the
    steps done in all epochs. Raises FloatingPointError, naming epoch and step, where a loss is not finite.
    """
    seed_all(derive(seed, "epoch", epoch))
    model.train()
    steps = num_steps(len(split), settings.batch_size)
    before = (epoch - 1) * steps
    batches = split.batches(
        settings.batch_size,
        shuffle_seed=derive(seed, "order", epoch),
        augment_seed=derive(seed, "augment", epoch),
        pinned=fabric.device.type == "cuda",
    )
    losses: list[Tensor] = []
    total = 0.0
    for step, (clips, labels) in enumerate(batches, start=1):
        set_learning_rate(optimiser, learning_rate(before + step - 1, settings, steps))
        loss = clip_loss(model(to_frames(clips, fabric.device)), to_device(labels, fabric.device), settings.label_smoothing)
        optimiser.zero_grad()
        fabric.backward(loss)
        if settings.clip_gradient:
            fabric.clip_gradients(model, optimiser, max_norm=settings.clip_gradient, error_if_nonfinite=False)
        optimiser.step()
        losses.append(loss.detach() * len(clips))
        if step % _STEPS_BETWEEN_LOOKS == 0 or step == steps:
            values = torch.stack(losses).tolist()
            _require_finite(values, epoch, step - len(values) + 1)
            total += sum(values)
            losses.clear()
            on_step(before + step, values[-1] / len(clips))
    return total / len(split)


def _require_finite(losses: list[float], epoch: int, first_step: int) -> None:
    for step, loss in enumerate(losses, start=first_step):
        if not abs(loss) < float("inf"):
            raise FloatingPointError(f"the training loss is {loss} in epoch {epoch}, step {step}")
