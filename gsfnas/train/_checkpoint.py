"""Checkpoints that survive a kill at any moment: ``last.pt``, the one before it, and the final weights.

A file is written under a temporary name, synced and renamed, so a file under its final name is always complete. Loading runs
no code from the file (``weights_only``).
"""

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from torch import Tensor

from gsfnas.files import open_regular

LAST = "last.pt"
PREVIOUS = "previous.pt"
WEIGHTS = "weights.safetensors"
_VERSION = 1


@dataclass(frozen=True)
class RunIdentity:
    """Identifies a run: two runs with the same identity give the same numbers (on a CPU, with the same number of threads)."""

    candidate: str
    heads: str
    seed: int
    recipe: str
    data: str

    @classmethod
    def of(cls, candidate: str, heads: Mapping[str, int], seed: int, recipe: str, data: str) -> Self:
        return cls(candidate, json.dumps(dict(heads)), seed, recipe, data)


@dataclass(frozen=True)
class Checkpoint:
    """A run after ``epoch`` epochs. ``curve`` has the metrics of each epoch; a finished run has no state, only its metrics.

    ``scaler`` is the state of the loss scaler in half precision, ``pixels`` the input normalization of the weights.

    The states of random generators are not saved, since every epoch seeds them from the run's seed. Nor is that of the
    learning rate schedule, which follows from the epoch.
    """

    identity: RunIdentity
    epoch: int
    curve: tuple[Mapping[str, float], ...]
    is_finished: bool = False
    model: Mapping[str, Tensor] | None = None
    optimiser: Mapping[str, Any] | None = None
    scaler: Mapping[str, Any] | None = None
    pixels: str | None = None


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes ``last.pt`` and keeps the one before as ``previous.pt``, which is removed once the run has finished.

    Raises OSError if the disk is full; the last checkpoint is then still there, and no partial file is left.
    """
    data = {"version": _VERSION, **{field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}}
    data["identity"] = asdict(checkpoint.identity)
    data["curve"] = [dict(metrics) for metrics in checkpoint.curve]
    buffer = io.BytesIO()
    torch.save(data, buffer)
    last = folder / LAST
    _write(last, buffer.getbuffer(), keep=folder / PREVIOUS)
    if checkpoint.is_finished:
        (folder / PREVIOUS).unlink(missing_ok=True)
    return last


def is_whole(path: Path) -> bool:
    """Whether a checkpoint can be read."""
    with contextlib.suppress(Exception):
        return bool(_read(path, "cpu")["version"] == _VERSION)
    return False


def load(path: Path, device: torch.device | str = "cpu") -> Checkpoint | None:
    """The checkpoint at ``path``, or the previous one if that is missing or damaged; None if neither can be read."""
    for name in dict.fromkeys([path, path.with_name(PREVIOUS)]):
        # The exception that a damaged file raises depends on where it is damaged.
        with contextlib.suppress(Exception):
            data = _read(name, device)
            if data.pop("version") == _VERSION:
                return Checkpoint(RunIdentity(**data.pop("identity")), curve=tuple(data.pop("curve")), **data)
    return None


def remove_partial(path: Path) -> None:
    """Removes what a process killed while writing ``path`` left behind. Only one process at a time may write ``path``."""
    for partial in path.parent.glob(f"{path.name}.*.partial"):
        partial.unlink(missing_ok=True)


def save_weights(folder: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Writes a state dict as ``weights.safetensors``; the metadata describes the network. Raises OSError as ``save`` does."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    path = folder / WEIGHTS
    _write(path, memoryview(safetensors.torch.save(tensors, dict(metadata))))
    return path


def _read(path: Path, device: torch.device | str) -> Any:
    """The contents of a regular file, read without running its code. Another file may raise almost any exception."""
    with open_regular(path, max_bytes=None) as file:
        return torch.load(file, map_location=device, weights_only=True)


def _write(path: Path, data: memoryview, keep: Path | None = None) -> None:
    """Writes a file atomically. A file that was at ``path`` is moved to ``keep``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_partial(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Syncs a folder, so that a rename in it survives a power cut; not every system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
