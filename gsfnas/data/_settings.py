"""The settings of a data set. Imports neither torch nor NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gsfnas import component
from gsfnas.data.sets import DATA_SETS
from gsfnas.data.twins import _settings as twins
from gsfnas.errors import UserError, shown, unknown

# The labels of more clips than this may not fit in memory.
_MAX_CLIPS = 10_000_000

SPLITS = ("train", "val", "test")
# Augmentations besides mirroring, see docs/data.md.
AUGMENTS = ("light", "paper")
FLIPS = ("auto", "none", "plain", "left_right", "twins")
POLICIES = ("none", "autoaugment", "randaugment")


@dataclass(frozen=True)
class DataSettings:
    """The name of a data set, and how clips are read from it.

    A clip has ``frames`` frames of ``resolution`` x ``resolution`` pixels.

    For ``twins``: ``train_clips``, ``val_clips`` and ``test_clips`` are the numbers of clips, the last two even since they
    contain both members of every pair; ``difficulty`` goes from 0 (still camera, no noise, no distractors) to 1;
    ``textures`` of the twelve pairs, 0 to 6, are drifting textures instead of actions; with ``far`` above 0 there are ten
    other pairs, of fine motion, of events about that many frames apart, and of the order of motions.

    For the others, ``root`` is the folder with the files. ``folder`` also takes ``csv``, a table of clips instead of class
    folders. ``val_share`` and ``test_share`` are the fractions of each class used for splits that the data set lacks.
    ``skip_broken`` leaves out clips that cannot be used. ``frame_names`` is the pattern of a clip's frames in a folder that
    also has other images, with ``*`` for the number: ``img_*.jpg``.

    ``augment``: ``light`` shifts a clip by up to 1/16 of the resolution; ``paper`` samples frames, scale and corner as in the
    paper. ``short_side`` is the size that the short side is resized to before the centre crop; None means the resolution, and
    8/7 of it for ``paper`` (256 for 224, 261 for 229). ``flip`` is the rule that gives a mirrored clip its class, ``policy`` a
    further augmentation.

    ``workers`` is the number of processes that read ahead of training; with 0 a thread does. ``seed`` determines the clips of
    Twins, or the split of files. ``cache`` is the cache folder; None means the platform's default. A split of files that takes
    at most ``cache_gb`` gigabytes is decoded once and cached.

    ``name`` may also be a user's data set, ``package.module:Class`` or, in Python, the class itself; ``options`` are the
    arguments of that class.
    """

    name: str = "twins"
    root: str | None = None
    csv: str | None = None
    frames: int = 8
    resolution: int = 32
    train_clips: int = 1440
    val_clips: int = 480
    test_clips: int = 960
    difficulty: float = 0.4
    textures: int = 0
    far: int = 0
    val_share: float = 0.15
    test_share: float = 0.15
    skip_broken: bool = False
    augment: str = "light"
    short_side: int | None = None
    flip: str = "auto"
    policy: str = "none"
    workers: int = 0
    seed: int = 0
    cache: str | None = None
    cache_gb: float = 4.0
    frame_names: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.name, type):
            # Passing the class itself means that the caller trusts its code.
            object.__setattr__(self, "name", f"{self.name.__module__}:{self.name.__qualname__}")
            component.trust(self.name)
        is_ours = not component.is_outside(self.name)
        if is_ours and self.name not in DATA_SETS:
            raise unknown("data set", self.name, DATA_SETS)
        if not isinstance(self.options, Mapping):
            raise UserError(f"`data.options` must be a mapping, name -> value, but got {shown(self.options)}")
        if is_ours and self.options:
            option = next(iter(self.options))
            raise UserError(f"data set {self.name!r} has no options of its own, but got `data.options.{option}`")
        if self.name == "folder" and not self.root:
            raise UserError("data set 'folder' needs `data.root`, the folder with train/ val/ test/ or with the classes")
        if is_ours and self.name not in ("twins", "folder") and not self.root:
            raise UserError(f"data set {self.name!r} needs `data.root`, the folder with its annotations and videos")
        if self.csv is not None and self.name != "folder":
            raise UserError(f"`data.csv` belongs to data=folder, but the data set is {self.name!r}")
        if self.name == "twins":
            twins.check_files(self.root, self.frame_names)
        elif name := next((name for name in ("textures", "far") if getattr(self, name)), None):
            raise UserError(f"`data.{name}` belongs to twins, but the data set is {self.name!r}")
        for name, choices in (("augment", AUGMENTS), ("flip", FLIPS), ("policy", POLICIES)):
            if getattr(self, name) not in choices:
                raise unknown(f"`data.{name}`", str(getattr(self, name)), choices)
        self._check_integers()
        if self.name == "twins":
            counts = {name: getattr(self, name) for name in ("train_clips", "val_clips", "test_clips")}
            twins.check_pairs(self.textures, self.far, self.frames)
            twins.check_clips(counts, self.frames, self.resolution, self.difficulty, self.flip)
        names = self.frame_names
        if names is not None and ("*" not in names or "/" in names):
            raise UserError(
                f"`data.frame_names` must be the name of an image with * for its number, such as img_*.jpg, but got {names!r}"
            )
        for name in ("val_share", "test_share"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"`data.{name}` must be between 0 and 1, but got {getattr(self, name)}")
        if self.val_share + self.test_share >= 1:
            raise UserError(
                f"`data.val_share` and `data.test_share` must leave clips for training, but they add up to "
                f"{self.val_share + self.test_share:g}"
            )
        if not self.cache_gb >= 0:
            raise UserError(f"`data.cache_gb` must be at least 0, but got {self.cache_gb}")

    def _check_integers(self) -> None:
        ranges = {
            "frames": (1, 1024),
            "resolution": (8, 1024),
            "workers": (0, 256),
            "train_clips": (2, _MAX_CLIPS),
            "val_clips": (2, _MAX_CLIPS),
            "test_clips": (2, _MAX_CLIPS),
            "seed": (0, 2**63 - 1),
            "textures": (0, twins.MAX_TEXTURES),
            "far": (0, 1023),
        }
        for name, (low, high) in ranges.items():
            number = getattr(self, name)
            if not isinstance(number, int) or not low <= number <= high:
                wanted = f"from {low} to {high}"
                if name.endswith("_clips") and isinstance(number, int):
                    wanted = f"of at least {low}" if number < low else f"of at most {high}"
                raise UserError(f"`data.{name}` must be an integer {wanted}, but got {shown(number)}")
        side = self.resolution if self.short_side is None else self.short_side
        if not isinstance(side, int) or not self.resolution <= side <= 4096:
            kind = "" if isinstance(side, int) else "an integer "
            wanted = f"{kind}from the resolution ({self.resolution}) to 4096"
            raise UserError(f"`data.short_side` must be {wanted}, but got {shown(side)}")

    @property
    def side(self) -> int:
        """The size in pixels that the short side is resized to before cropping."""
        if self.short_side is not None:
            return self.short_side
        return self.resolution if self.augment == "light" else self.resolution * 8 // 7
