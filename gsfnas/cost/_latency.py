"""Measures how long a forward pass takes on a device."""

import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from gsfnas.errors import UserError
from gsfnas.record import Latency

_MIN_RUNS = 3
# An idle GPU takes about this long to reach its full clock rate.
_WARM_UP_SECONDS = 0.3
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def measure_latency(
    model: nn.Module,
    *,
    key: str,
    frames: int,
    resolution: int,
    device: str = "cpu",
    precision: str = "float32",
    batch: int = 1,
    warm_up: int = 5,
    runs: int = 30,
    at_most_seconds: float = math.inf,
) -> Latency:
    """Milliseconds for ``batch`` clips through ``model``: median, 10 % and 90 % quantiles of ``runs`` passes after ``warm_up``.

    On a CPU the warm-up and the runs each stop after ``at_most_seconds``, but not before three passes. On a GPU the warm-up
    lasts at least until the card has left its idle clock rate.

    Measure while nothing else runs on the machine. A GPU is timed with CUDA events, which include the gaps between kernels
    where the CPU launches them too slowly; a CPU is timed with a clock around the call. The model is moved to ``device`` and
    left in eval mode. Raises UserError for an unknown precision.
    """
    target = torch.device(device)
    with timing(device, frames, resolution, precision, batch) as times_of:
        started = time.monotonic()
        times_of(model, warm_up, at_most_seconds)
        while target.type == "cuda" and time.monotonic() - started < _WARM_UP_SECONDS:
            times_of(model, 1)
        times = times_of(model, runs, at_most_seconds)
    quantiles = torch.tensor(times, dtype=torch.float64).quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    low, median, high = (float(value) for value in quantiles)
    name = torch.cuda.get_device_name(target) if target.type == "cuda" else target.type
    return Latency(key, median, low, high, name, torch.get_num_threads(), precision, batch)


@contextmanager
def timing(
    device: str, frames: int, resolution: int, precision: str = "float32", batch: int = 1
) -> Iterator[Callable[..., list[float]]]:
    """Within it, ``times(model, runs, at_most_seconds=inf)`` gives the milliseconds of so many passes of ``batch`` clips.

    A model is moved to ``device`` and left in eval mode. ``at_most_seconds`` holds on a CPU. Raises UserError for an unknown
    precision.
    """
    if precision not in PRECISIONS:
        raise UserError(f"`precision` must be one of {', '.join(PRECISIONS)}, but got {precision!r}")
    target = torch.device(device)
    clips = torch.zeros(batch, frames, 3, resolution, resolution, device=target)

    def times(model: nn.Module, runs: int, at_most_seconds: float = math.inf) -> list[float]:
        model = model.to(device=target, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        if target.type == "cuda":
            return _cuda_times(model, clips, runs)
        return _clock_times(model, clips, runs, at_most_seconds)

    autocast = torch.autocast(target.type, PRECISIONS[precision]) if precision != "float32" else nullcontext()
    # CUDA events belong to the current device, so make it the target.
    current = torch.cuda.device(target) if target.type == "cuda" else nullcontext()
    with torch.inference_mode(), autocast, current:
        yield times


def processor() -> str:
    """The name of the CPU, which Python's ``platform`` does not give on Linux."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _clock_times(model: nn.Module, clips: torch.Tensor, runs: int, at_most_seconds: float) -> list[float]:
    times: list[float] = []
    while len(times) < runs and (len(times) < _MIN_RUNS or sum(times) < at_most_seconds * 1e3):
        start = time.perf_counter()
        model(clips)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def _cuda_times(model: nn.Module, clips: torch.Tensor, runs: int) -> list[float]:
    events = [tuple(torch.cuda.Event(enable_timing=True) for _ in range(2)) for _ in range(runs)]  # type: ignore[no-untyped-call]
    for start, end in events:
        start.record()
        model(clips)
        end.record()
    torch.cuda.synchronize()
    return [float(start.elapsed_time(end)) for start, end in events]
