"""The recipe: all settings that determine how a candidate is trained. Does not import torch."""

import dataclasses
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from gsfnas.errors import UserError, shown, unknown

RECIPE_VERSION = "r1"
# Settings that were added later; see ``recipe_hash``.
_ADDED_LATER = ("lr_batch", "groups", "init", "accumulate", "devices", "compile", "channels_last", "cuda_graphs", "warm_start")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
GROUPS = ("decay", "published")
# Upper limits, far above what anyone trains with, that prevent overflow.
_MAX = {
    "epochs": 100_000,
    "batch_size": 1_000_000,
    "lr_batch": 1_000_000,
    "accumulate": 1_000_000,
    "devices": 1024,
    "warm_start": 100_000,
}
# The largest float32.
_MAX_FLOAT = 3.4e38
_TYPES: dict[object, str] = {str: "a string", bool: "true or false"}


@dataclass(frozen=True)
class TrainSettings:
    """SGD with momentum; linear warm-up, then a cosine to zero, with a new learning rate in every step.

    ``lr`` is the peak learning rate for the base batch size ``lr_batch`` and scales linearly with ``batch_size``; without
    ``lr_batch`` it is not scaled. ``warmup_epochs`` may be a fraction. ``weight_decay`` does not apply to biases and
    normalisation; ``groups=published`` also doubles the rate of biases, as the published code does. ``clip_gradient`` limits
    the norm of the gradient, 0 for no limit. ``init`` is ``scratch``, ``imagenet`` or a weights file. With ``warm_start`` the
    network without modules is trained for so many epochs first, and the run begins with its weights.

    A batch is shared by ``devices`` processes, and each computes its share in ``accumulate`` parts; BatchNorm sees one part at
    a time. ``precision=auto`` is bf16 on a GPU with bf16 in hardware, else 32 bits; ``device=auto`` is the first of cuda, mps
    and cpu. ``compile``, ``channels_last`` and ``cuda_graphs`` affect speed only. Raises UserError for a value out of range.
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
    lr_batch: int | None = None
    groups: str = "decay"
    init: str = "scratch"
    accumulate: int = 1
    devices: int = 1
    compile: bool = False
    channels_last: bool = True
    cuda_graphs: bool = True
    warm_start: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in _MAX:
                most = _MAX[name]
                if value is None and field.default is None:
                    continue
                least = 0 if name == "warm_start" else 1
                if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                    rule = f"of at most {most:,}" if isinstance(value, int) and value > most else f"of at least {least}"
                    raise UserError(f"train: `{name}` must be an integer {rule}, but got {shown(value)}")
            elif field.type is float:
                # A comparison also works for an integer that is too large for a float.
                if not isinstance(value, int | float) or isinstance(value, bool) or not -_MAX_FLOAT < value < _MAX_FLOAT:
                    raise UserError(f"train: `{name}` must be a number, but got {shown(value)}")
            elif field.type in _TYPES and type(value) is not field.type:
                raise UserError(f"train: `{name}` must be {_TYPES[field.type]}, but got {shown(value)}")
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
        parts = self.accumulate * self.devices
        _require(parts <= self.batch_size, "batch_size", f"at least `accumulate` x `devices` ({parts})", self.batch_size)
        if self.devices > 1 and re.fullmatch(r"mps|cuda:[0-9]+", self.device):
            raise UserError(f"train: `devices` above 1 needs `device` auto, cpu or cuda, but got {shown(self.device)}")
        if self.groups not in GROUPS:
            raise unknown("`train.groups`", self.groups, GROUPS)
        if not self.init or "\0" in self.init:
            raise UserError(f"train: `init` must be scratch, imagenet or a weights file, but got {shown(self.init)}")
        if self.nesterov and not self.momentum:
            raise UserError("train: `nesterov` needs a `momentum` above 0, but got 0")
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,4})?", self.device):
            raise UserError(f"train: `device` must be auto, cpu, mps, cuda or cuda:N, but got {shown(self.device)}")

    @property
    def peak_lr(self) -> float:
        """The peak learning rate for batches of ``batch_size`` clips."""
        return self.lr if self.lr_batch is None else self.lr * self.batch_size / self.lr_batch

    def recipe_hash(self) -> str:
        """``r1-`` and 12 hexadecimal digits: a hash of every setting but the device.

        A setting that was added later is included only if it differs from its default, so that older runs keep their hash. Of
        a weights file, the contents are hashed, not the path.
        """
        recipe = {
            field.name: float(getattr(self, field.name)) if field.type is float else getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "device" and not (field.name in _ADDED_LATER and getattr(self, field.name) == field.default)
        }
        if os.path.isfile(self.init):  # noqa: PTH113, since Path.is_file raises OSError for a name that is too long
            recipe["init"] = _digest(self.init)
        return f"{RECIPE_VERSION}-{hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]}"


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require(holds: bool, name: str, rule: str, value: float) -> None:
    if not holds:
        raise UserError(f"train: `{name}` must be {rule}, but got {shown(value)}")
