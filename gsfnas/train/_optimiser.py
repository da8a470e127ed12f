"""SGD, what it decays, and the learning rate of each step."""

import math
from typing import Any

import torch
from torch import nn

from gsfnas.train._settings import TrainSettings


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights of two and more axes with decay; biases and normalisation, which have one, without."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def build_optimiser(model: nn.Module, settings: TrainSettings) -> torch.optim.SGD:
    groups = [group for group in parameter_groups(model, settings.weight_decay) if group["params"]]
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov)


def learning_rate(step: int, settings: TrainSettings, steps_per_epoch: int) -> float:
    """The rate of step 0, 1, ...: linear from ``lr`` / warm-up steps up to ``lr``, then half a cosine down to zero."""
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    total = settings.epochs * steps_per_epoch
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr
