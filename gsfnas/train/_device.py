"""The device and precision of a run, and what ``auto`` resolves to."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from gsfnas.errors import UserError


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is the first of cuda, mps, cpu. Raises UserError if the machine does not have it."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(f"device {name!r} was asked for, but torch finds no CUDA device; use auto or cpu")
        device = torch.device("cuda", device.index or 0)
        if device.index >= torch.cuda.device_count():
            raise UserError(f"device {name!r} was asked for, but there are {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps' was asked for, but torch finds none; use auto or cpu")
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """The precision in Fabric's terms: ``auto`` is bf16-mixed on a GPU with bf16 in hardware, else 32-true.

    Raises UserError for 16-mixed without a CUDA device.
    """
    if name == "16-mixed" and device.type != "cuda":
        raise UserError(f"train: `precision` 16-mixed needs a CUDA device, but this is {device.type}; use bf16-mixed")
    if name != "auto":
        return name
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed"
    return "32-true"


def devices_from(device: torch.device, count: int) -> list[int]:
    """The indices of ``count`` devices, starting at ``device`` and wrapping around. Raises UserError if there are fewer."""
    if device.type == "mps" and count > 1:
        raise UserError(f"train: `devices` asks for {count}, but there is one mps device; use train.device=cpu")
    if device.type != "cuda":
        return list(range(count))
    available = torch.cuda.device_count()
    if count > available:
        raise UserError(f"train: `devices` asks for {count} CUDA devices, but there are {available}")
    return [((device.index or 0) + number) % available for number in range(count)]


def make_fabric(device: torch.device, precision: str, devices: Sequence[int] = ()) -> Fabric:
    """Fabric on one device, or on several of one kind; the environment variables then give the rank of this process."""
    # It would log the precision for every run, and that a GPU could trade precision of matrix products for speed.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    chosen: Any = [device.index or 0] if device.type == "cuda" else 1
    if not devices:
        return Fabric(accelerator=device.type, devices=chosen, precision=precision)  # type: ignore[arg-type]
    chosen = list(devices) if device.type == "cuda" else len(devices)
    strategy = DDPStrategy(process_group_backend="nccl" if device.type == "cuda" else "gloo")
    return Fabric(accelerator=device.type, devices=chosen, precision=precision, strategy=strategy)  # type: ignore[arg-type]
