"""Scores a network on a split: top-1, top-5 and loss of each task."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from gsfnas.data import ClipSplit
from gsfnas.train._batch import to_device, to_frames
from gsfnas.weights._normalization import IMAGENET, InputNormalization


@dataclass(frozen=True)
class Score:
    """Top-1 and top-5 accuracy as fractions, and the mean cross-entropy in nats without label smoothing."""

    top1: float
    top5: float
    loss: float


@torch.inference_mode()
def evaluate_split(
    model: nn.Module,
    split: ClipSplit,
    *,
    device: torch.device,
    batch_size: int = 64,
    pixels: InputNormalization = IMAGENET,
    fabric: Fabric | None = None,
) -> dict[str, Score]:
    """The score of each task over all clips of the split, each counted once. Leaves the model in eval mode.

    With ``fabric`` the model runs in fabric's precision. Several processes score a section of the clips each, and all return
    the same scores.
    """
    model.eval()
    rank, world = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    autocast = nullcontext if fabric is None else fabric.autocast
    wide = torch.float32 if device.type == "mps" else torch.float64
    sums = {task: torch.zeros(4, dtype=wide, device=device) for task in split.labels}
    own = split if world == 1 else split.section(len(split) * rank // world, len(split) * (rank + 1) // world)
    for clips, labels in own.batches(batch_size, pinned=device.type == "cuda"):
        with autocast():
            logits = model(to_frames(clips, device, pixels))
        for task, target in to_device(labels, device).items():
            sums[task] += _counts(logits[task].float(), target)
    if fabric is not None and world > 1:
        for counts in sums.values():
            torch.distributed.all_reduce(counts)
    found = {task: counts.tolist() for task, counts in sums.items()}
    assert all(counts[3] == len(split) for counts in found.values())
    return {task: Score(*(total / counts[3] for total in counts[:3])) for task, counts in found.items()}


def metrics_of(scores: dict[str, Score], prefix: str) -> dict[str, float]:
    """``<prefix>_top1`` and ``_top5`` of the first task, ``_loss`` summed over tasks; of several, ``_top1.<task>`` too."""
    first = next(iter(scores.values()))
    metrics = {
        f"{prefix}_top1": first.top1,
        f"{prefix}_top5": first.top5,
        f"{prefix}_loss": sum(score.loss for score in scores.values()),
    }
    if len(scores) > 1:
        metrics |= {f"{prefix}_top1.{task}": score.top1 for task, score in scores.items()}
    return metrics


def _counts(logits: Tensor, target: Tensor) -> Tensor:
    """Top-1 hits, top-5 hits, summed loss and number of clips of a batch, as float64 (float32 on mps, which has no float64)."""
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == target[:, None]
    loss = F.cross_entropy(logits, target, reduction="sum")
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    # Filled on the device, since copying a number there would synchronize with the GPU.
    count = torch.full((), len(target), dtype=wide, device=logits.device)
    return torch.stack([ranked[:, 0].sum().to(wide), ranked.sum().to(wide), loss.to(wide), count])
