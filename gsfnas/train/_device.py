"""Where a run computes and in which precision; what ``auto`` comes to."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from gsfnas.errors import UserError


def resolve_device(name: str) -> torch.device:
    """The device of ``auto`` (the first of cuda, mps, cpu) or of a name. Raises UserError where the machine has none such."""
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
    """Fabric's name of a precision: ``auto`` is bf16-mixed on a GPU that has bf16 in hardware, else 32-true.

    Raises UserError for 16-mixed where there is no GPU.
    """
    if name == "16-mixed" and device.type != "cuda":
        raise UserError(f"train: `precision` 16-mixed needs a CUDA device, but this is {device.type}; ask for bf16-mixed")
    if name != "auto":
        return name
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed"
    return "32-true"


def devices_from(device: torch.device, count: int) -> list[int]:
    """The numbers of ``count`` devices from ``device`` on, around to the first. Raises UserError where there are fewer."""
    if device.type == "mps" and count > 1:
        raise UserError(f"train: `devices` asks for {count}, but there is one mps device; ask for train.device=cpu")
    if device.type != "cuda":
        return list(range(count))
    there = torch.cuda.device_count()
    if count > there:
        raise UserError(f"train: `devices` asks for {count} CUDA devices, but there are {there}")
    return [((device.index or 0) + number) % there for number in range(count)]


def make_fabric(device: torch.device, precision: str, devices: Sequence[int] = ()) -> Fabric:
    """Fabric on one device, or on several of that kind, this process being the one that the environment says."""
    # It tells at every run which precision it was asked for, and that a GPU could multiply matrices less exactly.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    chosen: Any = [device.index or 0] if device.type == "cuda" else 1
    if not devices:
        return Fabric(accelerator=device.type, devices=chosen, precision=precision)  # type: ignore[arg-type]
    chosen = list(devices) if device.type == "cuda" else len(devices)
    strategy = DDPStrategy(process_group_backend="nccl" if device.type == "cuda" else "gloo")
    return Fabric(accelerator=device.type, devices=chosen, precision=precision, strategy=strategy)  # type: ignore[arg-type]
