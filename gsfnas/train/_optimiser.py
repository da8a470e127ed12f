"""SGD, its parameter groups, and the learning rate schedule."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from gsfnas.train._settings import TrainSettings


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: parameters of two or more axes with weight decay; biases and normalisation, of one axis, without."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def published_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The named groups of the published training code of GSM and GSF, each with its ``lr_scale``.

    Weights of convolutions and heads have rate 1 and decay 1, their biases rate 2 and no decay, BatchNorm's scale and shift
    rate 1 and no decay. The first convolution has groups of its own with the same rates (the published code changes them for
    optical flow only).
    """
    groups: dict[str, list[Tensor]] = {}
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    for module in model.modules():
        where = "first_conv" if module is first else "head" if isinstance(module, nn.Linear) else "conv"
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            kind = "norm" if isinstance(module, nn.modules.batchnorm._BatchNorm) else f"{where}_{name}"
            groups.setdefault(kind if name in ("weight", "bias") else f"{where}_weight", []).append(parameter)
    return [
        {
            "params": parameters,
            "name": kind,
            "weight_decay": 0.0 if kind == "norm" or kind.endswith("_bias") else weight_decay,
            "lr_scale": 2.0 if kind.endswith("_bias") else 1.0,
        }
        for kind, parameters in groups.items()
    ]


GROUPS = {"decay": parameter_groups, "published": published_groups}


def build_optimiser(model: nn.Module, settings: TrainSettings, fabric: Fabric | None = None) -> torch.optim.SGD:
    """SGD over the recipe's parameter groups, fused (one kernel for many parameters) if ``can_be_fused``."""
    groups = [group for group in GROUPS[settings.groups](model, settings.weight_decay) if group["params"]]
    return torch.optim.SGD(
        groups,
        lr=settings.peak_lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        fused=True if fabric is not None and can_be_fused(fabric) else None,
    )


def can_be_fused(fabric: Fabric) -> bool:
    """Whether a fused optimiser can be used: on a GPU without a loss scaler.

    With a scaler, a fused optimiser unscales the gradients itself, after they were clipped. On a CPU it would round differently
    from earlier runs.
    """
    return fabric.device.type == "cuda" and getattr(fabric.strategy.precision, "scaler", None) is None


def restore(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Restores momentum and rates saved on any device; whether the step is fused stays as this optimiser was built."""
    was_fused = [group["fused"] for group in optimiser.param_groups]
    optimiser.load_state_dict(dict(state))
    for group, fused in zip(optimiser.param_groups, was_fused, strict=True):
        group["fused"] = fused


def learning_rate(step: int, settings: TrainSettings, steps_per_epoch: int) -> float:
    """The rate of step 0, 1, ...: linear warm-up from peak / (warm-up steps) to the peak, then half a cosine down to zero."""
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return settings.peak_lr * (step + 1) / warmup
    total = settings.epochs * steps_per_epoch
    return settings.peak_lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Sets the rate of each group, times the group's ``lr_scale``."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
