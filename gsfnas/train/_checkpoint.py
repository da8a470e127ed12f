"""Checkpoints that survive a kill at any instant: ``last.pt``, the one before it, and the final weights.

A file appears under its name only when it is whole: it is written beside it, synced, and renamed. Loading runs no code from
the file (``weights_only``).
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
    """What a run is: two runs of one identity end with the same numbers (on CPU, with as many threads)."""

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
    """A run after its epoch ``epoch``. ``curve`` holds each epoch's metrics; a finished run carries no states, only them.

    ``scaler`` is the state of the loss scaling in half precision, ``pixels`` what the weights take a picture to be.

    No generator's state is kept: every epoch seeds its own from the run's seed. The schedule's position is the epoch.
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
    """Writes ``last.pt`` and keeps the former as ``previous.pt``, which a finished run no longer needs.

    Raises OSError where the disk is full; then the former checkpoint still stands and no partial file is left.
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
    """The checkpoint at ``path``, or the one before it where that is missing or truncated; None where neither can be read."""
    for name in dict.fromkeys([path, path.with_name(PREVIOUS)]):
        # A damaged file shows itself in many ways, depending on where it ends.
        with contextlib.suppress(Exception):
            data = _read(name, device)
            if data.pop("version") == _VERSION:
                return Checkpoint(RunIdentity(**data.pop("identity")), curve=tuple(data.pop("curve")), **data)
    return None


def remove_partial(path: Path) -> None:
    """What a process that was killed while it wrote ``path`` has left; one process at a time writes it."""
    for partial in path.parent.glob(f"{path.name}.*.partial"):
        partial.unlink(missing_ok=True)


def save_weights(folder: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Writes a state dict as ``weights.safetensors``; the metadata says what network it is. Raises OSError as ``save`` does."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    path = folder / WEIGHTS
    _write(path, memoryview(safetensors.torch.save(tensors, dict(metadata))))
    return path


def _read(path: Path, device: torch.device | str) -> Any:
    """What a file holds, none of its code being run; a pipe is no file. Raises many things for what is none of ours."""
    with open_regular(path, max_bytes=None) as file:
        return torch.load(file, map_location=device, weights_only=True)


def _write(path: Path, data: memoryview, keep: Path | None = None) -> None:
    """Atomic: the whole file or none. ``keep`` receives the file that stood at ``path``."""
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
    """Makes the renaming itself last through a power cut, where the system lets a folder be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
