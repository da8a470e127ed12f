"""Scores of a network on a split: top-1, top-5 and loss of each task."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsfnas.data import ClipSplit
from gsfnas.train._batch import to_device, to_frames


@dataclass(frozen=True)
class Score:
    """Fractions of clips whose label is the first, or among the first five; mean cross-entropy in nats, not smoothed."""

    top1: float
    top5: float
    loss: float


@torch.inference_mode()
def evaluate_split(model: nn.Module, split: ClipSplit, *, device: torch.device, batch_size: int = 64) -> dict[str, Score]:
    """The score of each task over every clip of the split, each counted once. Leaves the model in eval mode."""
    model.eval()
    sums: dict[str, Tensor] = {}
    clips_seen = 0
    for clips, labels in split.batches(batch_size, pinned=device.type == "cuda"):
        logits = model(to_frames(clips, device))
        clips_seen += len(clips)
        for task, target in to_device(labels, device).items():
            counts = _counts(logits[task].float(), target)
            sums[task] = sums[task] + counts if task in sums else counts
    assert clips_seen == len(split)
    return {task: Score(*(total / clips_seen for total in values.tolist())) for task, values in sums.items()}


def metrics_of(scores: dict[str, Score], prefix: str) -> dict[str, float]:
    """``<prefix>_top1`` and ``_top5`` of the first task, ``_loss`` summed over tasks; of several, also ``_top1.<task>``."""
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
    """Top-1 hits, top-5 hits and summed loss of a batch, as a float64 tensor of 3 (float32 where a device has no doubles)."""
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == target[:, None]
    loss = F.cross_entropy(logits, target, reduction="sum")
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    return torch.stack([ranked[:, 0].sum().to(wide), ranked.sum().to(wide), loss.to(wide)])
