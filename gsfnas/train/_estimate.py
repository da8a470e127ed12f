"""Estimates how long a run takes by timing a few real steps."""

import dataclasses
import time

import torch

from gsfnas.candidate import Candidate
from gsfnas.data import ClipSplit, VideoData
from gsfnas.model import build_model
from gsfnas.train._batch import channels_last
from gsfnas.train._device import make_fabric, resolve_device, resolve_precision
from gsfnas.train._evaluate import evaluate_split
from gsfnas.train._fit import fit_epoch, num_steps
from gsfnas.train._graphs import capture, faster
from gsfnas.train._optimiser import build_optimiser
from gsfnas.train._resident import on_device
from gsfnas.train._settings import TrainSettings

_STEPS = 4


def estimate_seconds(candidate: Candidate, settings: TrainSettings, data: VideoData, *, threads: int = 1) -> float:
    """Seconds to train and score ``candidate`` once: a few steps and a few batches are timed after one to warm up."""
    torch.set_num_threads(threads)
    device = resolve_device(settings.device)
    fabric = make_fabric(device, resolve_precision(settings.precision, device))
    heads = {task: len(names) for task, names in data.tasks.items()}
    network = build_model(candidate, heads, dropout=settings.dropout)
    if settings.channels_last:
        channels_last(network)
    model, optimiser = fabric.setup(faster(network, settings, fabric), build_optimiser(network, settings, fabric))
    capture(model, data.splits["train"], settings, fabric)
    train = on_device(data.splits["train"], fabric.device)

    def fit(split: ClipSplit) -> None:
        fit_epoch(model, optimiser, fabric, split, settings, epoch=1, seed=0)

    def score(split: ClipSplit) -> None:
        evaluate_split(network, split, device=fabric.device, batch_size=2 * settings.batch_size, fabric=fabric)

    some = _first(train, _STEPS * settings.batch_size)
    seconds = []
    for work in (fit, score):
        work(_first(train, settings.batch_size))
        started = time.perf_counter()
        work(some)
        seconds.append((time.perf_counter() - started) / len(some))
    steps = num_steps(len(train), settings.batch_size) * settings.batch_size
    scored = len(data.splits["val"]) * settings.epochs + len(data.splits["test"])
    return seconds[0] * steps * settings.epochs + seconds[1] * scored


def _first(split: ClipSplit, count: int) -> ClipSplit:
    return dataclasses.replace(split, labels={task: values[:count] for task, values in split.labels.items()})
