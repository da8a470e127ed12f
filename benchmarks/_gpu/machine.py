"""The card, its driver and the software, as they stand beside every result; and how busy the card is meanwhile."""

import os
import platform
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

import gsfnas
from _gpu import ROOT
from _gpu.needs import old_packages, versions

GIGABYTE = 1e9


def describe(device: torch.device) -> dict[str, str]:
    """Plain values for the page; they name no folder and no host."""
    found = {"gsfnas": gsfnas.__version__, "device": "cpu"}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "memory": f"{properties.total_memory / GIGABYTE:.0f} GB",
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": str(properties.multi_processor_count),
            "cards": str(torch.cuda.device_count()),
            "driver": _ask("driver_version") or "unknown",
            "CUDA": str(torch.version.cuda),
            "cuDNN": str(torch.backends.cudnn.version()),
            "TF32": f"convolutions {_on(torch.backends.cudnn.allow_tf32)}, "
            f"matrix products {_on(torch.backends.cuda.matmul.allow_tf32)}",
            "cuDNN's search for algorithms": _on(torch.backends.cudnn.benchmark),
        }
    found |= {"Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}", "cores": str(cores())}
    found["packages"] = ", ".join(f"{name} {number}" for name, number in versions().items())
    if old := old_packages():
        found["older than asked for"] = ", ".join(old)
    return found


def environment() -> dict[str, str]:
    """For a process that is to import gsfnas from the source tree, as this one does."""
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": str(ROOT) if not path else f"{ROOT}{os.pathsep}{path}"}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on(value: bool) -> str:
    return "on" if value else "off"


def _ask(what: str) -> str | None:
    """The first card's answer to ``nvidia-smi``, or None where there is no such program."""
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


@dataclass
class Busy:
    """Samples of the card's utilisation in percent and of its memory in gigabytes; empty where nobody tells."""

    percent: list[float] = field(default_factory=list)
    gigabytes: list[float] = field(default_factory=list)

    @property
    def mean_percent(self) -> float | None:
        return statistics.fmean(self.percent) if self.percent else None

    @property
    def most_gigabytes(self) -> float | None:
        return max(self.gigabytes) if self.gigabytes else None


@contextmanager
def watching(device: torch.device, every_seconds: float = 1.0) -> Iterator[Busy]:
    """Samples while the block runs; utilisation is the share of time in which any kernel ran."""
    busy, stop = Busy(), threading.Event()

    def sample() -> None:
        while not stop.wait(every_seconds):
            answer = _ask("utilization.gpu,memory.used")
            try:
                percent, mebibytes = (float(value) for value in (answer or "").split(","))
            except ValueError:
                return
            busy.percent.append(percent)
            busy.gigabytes.append(mebibytes * 2**20 / GIGABYTE)

    thread = threading.Thread(target=sample, daemon=True)
    if device.type == "cuda":
        thread.start()
    try:
        yield busy
    finally:
        stop.set()
        if thread.is_alive():
            thread.join(15)
