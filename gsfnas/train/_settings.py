"""The recipe as a value: everything that decides how a candidate is trained. No torch here."""

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass

from gsfnas.errors import UserError, unknown

RECIPE_VERSION = "r1"
PRECISIONS = ("auto", "32-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainSettings:
    """SGD with momentum, linear warm-up, then a cosine to zero; one learning rate a step.

    ``lr`` is the peak for a batch of ``batch_size`` clips. ``warmup_epochs`` may be a fraction. ``weight_decay`` spares biases
    and normalisation. ``clip_gradient`` bounds the gradient's norm, 0 for no bound. ``precision=auto`` is bf16 on a GPU that
    computes in it, else 32 bits; ``device=auto`` is the first of cuda, mps, cpu. Raises UserError for a value out of range.
    """

    epochs: int = 8
    batch_size: int = 24
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.1
    dropout: float = 0.0
    clip_gradient: float = 20.0
    precision: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"train: `{name}` must be an integer of at least 1, but got {value!r}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is float and (
                not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value)
            ):
                raise UserError(f"train: `{field.name}` must be a number, but got {value!r}")
        _require(self.lr > 0, "lr", "above 0", self.lr)
        for name in ("momentum", "label_smoothing", "dropout"):
            _require(0 <= getattr(self, name) < 1, name, "in [0, 1)", getattr(self, name))
        for name in ("weight_decay", "clip_gradient"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        _require(
            0 <= self.warmup_epochs < self.epochs,
            "warmup_epochs",
            f"at least 0 and below `epochs` ({self.epochs})",
            self.warmup_epochs,
        )
        if self.nesterov and not self.momentum:
            raise UserError("train: `nesterov` needs a `momentum` above 0, but got 0")
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise UserError(f"train: `device` must be auto, cpu, mps, cuda or cuda:N, but got {self.device!r}")

    def recipe_hash(self) -> str:
        """``r1-`` and 12 hexadecimal digits over every setting but the device, which says where and not how."""
        recipe = {
            field.name: float(getattr(self, field.name)) if field.type is float else getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "device"
        }
        return f"{RECIPE_VERSION}-{hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]}"


def _require(holds: bool, name: str, rule: str, value: float) -> None:
    if not holds:
        raise UserError(f"train: `{name}` must be {rule}, but got {value}")
