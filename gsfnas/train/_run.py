"""One run, from its first epoch or where it was left to its last: in this process, or as one of several."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from gsfnas.candidate import Candidate
from gsfnas.data import ClipSplit, VideoData
from gsfnas.evaluators.base import Measurement
from gsfnas.model import VideoModel, build_model
from gsfnas.train import _checkpoint
from gsfnas.train._batch import channels_last
from gsfnas.train._checkpoint import Checkpoint, RunIdentity
from gsfnas.train._evaluate import evaluate_split, metrics_of
from gsfnas.train._fit import fit_epoch, num_steps
from gsfnas.train._graphs import capture, faster
from gsfnas.train._optimiser import build_optimiser, learning_rate, restore
from gsfnas.train._resident import on_device
from gsfnas.train._settings import TrainSettings
from gsfnas.weights import InputNormalization, initialise
from gsfnas.weights._normalization import IMAGENET

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class RunPlan:
    """What one run is and where it writes; it can be sent to another process.

    ``settings.epochs`` is the whole run's. ``begin`` is what ``init`` says, or the weights of the warm start. The test split is
    scored after the last epoch, or with ``tests_each_epoch`` after each one, which changes no other number.
    """

    candidate: Candidate
    identity: RunIdentity
    settings: TrainSettings
    begin: str
    heads: tuple[tuple[str, int], ...]
    folder: Path
    tests_each_epoch: bool = False


def run_epochs(
    plan: RunPlan, data: VideoData, fabric: Fabric, found: Checkpoint | None, on_progress: OnProgress
) -> Iterator[Measurement]:
    """The measurements of the epochs that are still to come; each is saved before it is told.

    Every process of ``fabric`` must go through all of them; the first one saves. Raises what ``TrainEvaluator.evaluate`` does.
    """
    settings, identity = plan.settings, plan.identity
    network, pixels = _network(plan, found)
    model, optimiser = fabric.setup(faster(network, settings, fabric), build_optimiser(network, settings, fabric))
    capture(model, data.splits["train"], settings, fabric)
    curve = []
    if found is not None:
        assert found.optimiser is not None
        restore(optimiser, found.optimiser)
        if found.scaler:
            fabric.strategy.precision.load_state_dict(dict(found.scaler))
        curve = list(found.curve)

    @cache
    def split(name: str) -> ClipSplit:
        return on_device(data.splits[name], fabric.device)

    steps = num_steps(len(data.splits["train"]), settings.batch_size)
    scored_at_once = max(1, 2 * settings.batch_size // (settings.accumulate * settings.devices))
    earlier = curve[-1]["seconds"] if curve else 0.0
    started = time.monotonic()
    for epoch in range(len(curve) + 1, settings.epochs + 1):
        loss = fit_epoch(
            model,
            optimiser,
            fabric,
            split("train"),
            settings,
            epoch=epoch,
            seed=identity.seed,
            pixels=pixels,
            on_step=partial(_tell, on_progress, epoch, settings.epochs, steps * settings.epochs),
        )
        _share_statistics(network, fabric)
        is_last = epoch == settings.epochs
        metrics = {"train_loss": loss, "lr": learning_rate(epoch * steps - 1, settings, steps)}
        for name in ("val", "test") if is_last or plan.tests_each_epoch else ("val",):
            scores = evaluate_split(
                network, split(name), device=fabric.device, batch_size=scored_at_once, pixels=pixels, fabric=fabric
            )
            metrics |= metrics_of(scores, name)
        if not abs(metrics["val_loss"]) < float("inf"):
            raise FloatingPointError(f"the validation loss is {metrics['val_loss']} after epoch {epoch}")
        if settings.accumulate > 1:
            metrics["accumulate"] = settings.accumulate
        metrics["seconds"] = earlier + time.monotonic() - started
        curve.append(metrics)
        if fabric.global_rank == 0:
            scaler = fabric.strategy.precision.state_dict()
            path = _save(plan, curve, is_last, network, optimiser.state_dict(), scaler, pixels)
            yield Measurement(epoch, metrics, path, is_last)


def _network(plan: RunPlan, found: Checkpoint | None) -> tuple[VideoModel, InputNormalization]:
    """The network as the run begins with it, or as the checkpoint left it; and the pixels that it expects."""
    network = build_model(plan.candidate, dict(plan.heads), seed=plan.identity.seed, dropout=plan.settings.dropout)
    if found is None:
        pixels = initialise(network, plan.candidate, plan.begin, seed=plan.identity.seed)[0]
    else:
        assert found.model is not None
        network.load_state_dict(found.model)
        pixels = IMAGENET if found.pixels is None else InputNormalization.from_text(found.pixels)
    if plan.settings.channels_last:
        channels_last(network)
    return network, pixels


def _share_statistics(network: VideoModel, fabric: Fabric) -> None:
    """Gives every process the first one's running statistics, as DataParallel keeps those of the first device."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)


def _tell(on_progress: OnProgress, epoch: int, epochs: int, total: int, step: int, loss: float) -> None:
    on_progress(step, total, f"epoch {epoch}/{epochs}, loss {loss:.3f}")


def _save(
    plan: RunPlan,
    curve: list[Any],
    is_last: bool,
    network: VideoModel,
    optimiser: Any,
    scaler: Any,
    pixels: InputNormalization,
) -> Path:
    state = network.state_dict()
    if is_last:
        metadata = {name: str(value) for name, value in dataclasses.asdict(plan.identity).items()}
        _checkpoint.save_weights(plan.folder, state, metadata | {"pixels": pixels.to_text()})
        return _checkpoint.save(plan.folder, Checkpoint(plan.identity, len(curve), tuple(curve), is_finished=True))
    checkpoint = Checkpoint(
        plan.identity,
        len(curve),
        tuple(curve),
        model=state,
        optimiser=optimiser,
        scaler=dict(scaler) or None,
        pixels=pixels.to_text(),
    )
    return _checkpoint.save(plan.folder, checkpoint)
