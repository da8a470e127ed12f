"""SGD, what it decays, and the learning rate of each step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from gsfnas.train._settings import TrainSettings


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights of two and more axes with decay; biases and normalisation, which have one, without."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def published_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The groups of the published training code of GSM and GSF, by name, each with its ``lr_scale``.

    Weights of convolutions and heads: rate 1, decay 1. Their biases: rate 2, no decay. BatchNorm's scale and shift: rate 1, no
    decay. The first convolution is a group of its own with the same two rates (they differ there for optical flow alone).
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
    """SGD over the recipe's groups; with ``fabric`` on a GPU one kernel for many parameters, where its precision lets it be."""
    groups = [group for group in GROUPS[settings.groups](model, settings.weight_decay) if group["params"]]
    return torch.optim.SGD(
        groups,
        lr=settings.peak_lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        fused=True if fabric is not None and can_be_fused(fabric) else None,
    )


def can_be_fused(fabric: Fabric) -> bool:
    """On a GPU, without a loss scaler: a fused optimiser wants to undo the scaling itself, after gradients were clipped.

    On a CPU it would round differently from all runs of before.
    """
    return fabric.device.type == "cuda" and getattr(fabric.strategy.precision, "scaler", None) is None


def restore(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Momentum and rates as they were saved, on whatever device that was; how a step is computed stays this optimiser's own."""
    own = [group["fused"] for group in optimiser.param_groups]
    optimiser.load_state_dict(dict(state))
    for group, fused in zip(optimiser.param_groups, own, strict=True):
        group["fused"] = fused


def learning_rate(step: int, settings: TrainSettings, steps_per_epoch: int) -> float:
    """The rate of step 0, 1, ...: linear from the peak / warm-up steps up to the peak, then half a cosine down to zero."""
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return settings.peak_lr * (step + 1) / warmup
    total = settings.epochs * steps_per_epoch
    return settings.peak_lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Gives each group the rate, times its own scale."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
