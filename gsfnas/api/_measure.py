"""Builds networks and measures their latency and memory on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from gsfnas.candidate import Candidate
from gsfnas.cost import measure_latency, peak_inference_bytes
from gsfnas.model import build_model
from gsfnas.record import Latency
from gsfnas.train import TrainSettings, resolve_device


@dataclass(frozen=True)
class Measured:
    """Measurements of a network for one clip: latency on a device, and peak bytes of the tensors of a forward pass."""

    latency: Latency
    peak_bytes: int


def measure(candidate: Candidate, classes: int, device: str, precision: str) -> Measured:
    """Builds a candidate and measures it. Raises UserError if the machine does not have the device."""
    found = str(resolve_device(TrainSettings(device=device).device))
    model = build_model(candidate, {"class": classes}).eval()
    clip = torch.zeros(1, candidate.frames, 3, candidate.resolution, candidate.resolution)
    peak = peak_inference_bytes(model, clip)
    latency = measure_latency(
        model,
        key=candidate.key,
        frames=candidate.frames,
        resolution=candidate.resolution,
        device=found,
        precision=precision,
    )
    return Measured(latency, peak)


def latency(heads: Mapping[str, int], device: str, candidate: Candidate) -> Latency:
    """Measures one round of the latency that a study records."""
    return measure_latency(
        build_model(candidate, heads),
        key=candidate.key,
        frames=candidate.frames,
        resolution=candidate.resolution,
        device=device,
        warm_up=3,
        runs=20,
        at_most_seconds=0.5,
    )
