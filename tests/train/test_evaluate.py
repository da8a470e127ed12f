import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gsfnas.data import ClipSplit
from gsfnas.data.video._clips import ALL
from gsfnas.train import evaluate_split
from gsfnas.train._batch import to_frames
from gsfnas.train._evaluate import Score, metrics_of

CLIPS, FRAMES = 11, 2


class Probe(nn.Module):
    """Logits that are fixed functions of a clip's first pixel: (N,3,H,W) -> (B, classes) of two tasks."""

    def forward(self, frames):
        first = frames.unflatten(0, (-1, FRAMES))[:, 0, :, 0, 0]
        return {"verb": first @ torch.linspace(-1, 1, 21).view(3, 7), "noun": first @ torch.linspace(1, -2, 9).view(3, 3)}


@pytest.fixture
def split() -> ClipSplit:
    generator = np.random.default_rng(0)
    clips = generator.integers(0, 256, (CLIPS, FRAMES, 3, 4, 4), dtype=np.uint8)
    labels = {"verb": generator.integers(0, 7, CLIPS), "noun": generator.integers(0, 3, CLIPS)}
    return ClipSplit(labels=labels, read=lambda indices, generator, part=ALL: clips[indices[part]])


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_every_clip_counts_once_whatever_the_batches(split, batch_size):
    cpu = torch.device("cpu")
    scores = evaluate_split(Probe(), split, device=cpu, batch_size=batch_size)
    assert list(scores) == ["verb", "noun"]
    everything = torch.from_numpy(split.read(np.arange(CLIPS), None))
    for task, logits in Probe()(to_frames(everything, cpu)).items():
        labels = torch.from_numpy(split.labels[task])
        order = logits.argsort(dim=1, descending=True)
        assert scores[task].top1 == pytest.approx((order[:, 0] == labels).double().mean().item())
        assert scores[task].top5 == pytest.approx((order[:, :5] == labels[:, None]).any(1).double().mean().item())
        assert scores[task].loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    # Three classes: the right one is always among the first five.
    assert scores["noun"].top5 == 1


def test_the_model_is_in_eval_mode_and_no_graph_is_kept(split):
    seen = []

    class Watched(Probe):
        def forward(self, frames):
            seen.append((self.training, torch.is_grad_enabled()))
            return super().forward(frames)

    evaluate_split(Watched().train(), split, device=torch.device("cpu"))
    assert set(seen) == {(False, False)}


def test_the_first_task_is_the_main_metric_and_losses_add_up():
    metrics = metrics_of({"verb": Score(0.5, 0.75, 1.0), "noun": Score(0.25, 1.0, 2.0)}, "val")
    assert metrics == {
        "val_top1": 0.5, "val_top5": 0.75, "val_loss": 3.0, "val_top1.verb": 0.5, "val_top1.noun": 0.25,
    }  # fmt: skip
    assert metrics_of({"class": Score(0.5, 0.75, 1.0)}, "test").keys() == {"test_top1", "test_top5", "test_loss"}
