"""Describes the environment of a study as plain values. On one machine they are always the same, and so is their hash."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gsfnas

PACKAGES = ("torch", "timm", "optuna", "lightning-fabric", "numpy", "fvcore", "ptflops", "av", "scikit-learn")


def describe(device: str) -> dict[str, Any]:
    """Versions, processor, number of cores, and the name of the device that ``device`` resolves to."""
    import torch

    from gsfnas.cost._latency import processor
    from gsfnas.train._device import resolve_device

    found = resolve_device(device)
    return {
        "gsfnas": gsfnas.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": torch.cuda.get_device_name(found) if found.type == "cuda" else found.type,
        "cuda": torch.version.cuda if found.type == "cuda" else None,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
