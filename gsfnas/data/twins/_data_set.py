"""Twins: a small data set whose classes come in pairs that differ only in the order of the frames.

Each action has a twin: the same clip played backwards. Validation and test contain both members of every pair. A model that
ignores the order of frames predicts the same class for both, of which at most one is right, so its accuracy is at most 50 %.
"""

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gsfnas.data._settings import SPLITS, DataSettings
from gsfnas.data.twins._actions import ACTIONS, Action
from gsfnas.data.twins._classes import Pairs, classes, mirrored, pairs_of
from gsfnas.data.twins._far import FAR_VERSION, render_far
from gsfnas.data.twins._render import VERSION, render
from gsfnas.data.twins._textures import Texture, render_texture
from gsfnas.data.video._augment import multi_scale_crop
from gsfnas.data.video._cache import Array, cache_folder, cached_array
from gsfnas.data.video._clips import ALL, Clips, ClipSplit, Labels, Read, VideoData
from gsfnas.data.video._probe import OnProgress
from gsfnas.errors import UserError

TASK = "class"


class Twins:
    """The data set ``twins``; it is rendered, so there is nothing to download."""

    def tasks(self, settings: DataSettings) -> Mapping[str, tuple[str, ...]]:
        return {TASK: classes(_pairs(settings))}

    def open(self, settings: DataSettings, on_progress: OnProgress = lambda done, total: None) -> VideoData:
        return open_twins(settings)


def open_twins(settings: DataSettings) -> VideoData:
    """Opens Twins, rendering its clips into the cache unless they are there already."""
    pairs = _pairs(settings)
    labels = {split: twins_labels(split, count, len(pairs)) for split, count in _counts(settings).items()}
    specification = _specification(settings)
    mirror = {TASK: np.array(mirrored(pairs))} if settings.flip != "none" else None
    is_light = settings.augment == "light"
    folder = cache_folder(settings.cache) / "twins" / _hash(specification)
    splits = {}
    for split in SPLITS:
        shape = (len(labels[split]), settings.frames, 3, settings.resolution, settings.resolution)
        path = folder / f"{split}-{len(labels[split])}.npy"
        cached_array(path, shape, functools.partial(_rows, split, shape[0], settings))
        splits[split] = ClipSplit(
            labels={TASK: labels[split]},
            read=_Rendered(path, settings.resolution, is_cropped=not is_light),
            mirror=mirror,
            shift=settings.resolution // 16 if is_light else 0,
            policy=settings.policy,
            workers=settings.workers,
            names=tuple(f"{split}/{index}" for index in range(shape[0])),
            open_views=functools.partial(_open_views, settings),
        )
    # Only values that differ from the defaults, so that runs of earlier versions keep their ids.
    training = {
        name: getattr(settings, name) for name in ("augment", "policy") if getattr(settings, name) not in ("light", "none")
    }
    training |= {} if mirror else {"flip": "none"}
    fingerprint = "twins-" + _hash({**specification, "clips": _counts(settings), **training})
    return VideoData("twins", {TASK: classes(pairs)}, splits, fingerprint)


def twins_labels(split: str, count: int, pairs: int) -> Labels:
    """(count,) classes of so many ``pairs``.

    Train cycles through all classes; in val and test, clips 2k and 2k + 1 are the members of a pair.
    """
    order = np.arange(count)
    if split == "train":
        return order % (2 * pairs)
    return order // 2 % pairs * 2 + order % 2


def twins_clip(split: str, index: int, settings: DataSettings) -> Array:
    """Renders clip ``index`` of a split, (T, 3, H, W), independently of the other clips and of their number."""
    pairs = _pairs(settings)
    label = int(twins_labels(split, index + 1, len(pairs))[index])
    # In train each clip is a scene of its own; in val and test two in a row are the same scene, forwards and backwards.
    scene = index if split == "train" else index // 2
    pair = pairs[label // 2]
    how: dict[str, Any] = {name: getattr(settings, name) for name in ("seed", "frames", "resolution", "difficulty")}
    if isinstance(pair, Action):
        clip = render(split, scene, ACTIONS.index(pair), **how)
    elif settings.far:
        clip = render_far(split, scene, pair, far=settings.far, **how)
    else:
        assert isinstance(pair, Texture), "events are far"
        clip = render_texture(split, scene, pair, **how)
    return clip[::-1] if label % 2 else clip


@dataclass(frozen=True)
class _Rendered:
    """Reads clips of a split from a file of shape (clips, T, 3, H, W); with ``is_cropped``, training crops at random scales."""

    path: Path
    resolution: int
    is_cropped: bool

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        clips = np.asarray(self._array[indices[part]])
        if generator is None or not self.is_cropped:
            return clips
        draws = generator.spawn(len(indices))[part]
        return np.stack([multi_scale_crop(clip, self.resolution, draw) for clip, draw in zip(clips, draws, strict=True)])

    @cached_property
    def _array(self) -> Array:
        array: Array = np.load(self.path, mmap_mode="r")
        return array

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickles the path of the memory map, not its contents.
        return _Rendered, (self.path, self.resolution, self.is_cropped)


def _open_views(settings: DataSettings, clips: int, crops: int) -> tuple[Read, int]:
    name, number, has = ("clips", clips, f"{settings.frames} frames")
    if clips == 1:
        name, number, has = ("crops", crops, f"{settings.resolution} px")
    raise UserError(
        f"`protocol.{name}` is {number}, but a clip of twins in memory has {has}, which give one; set protocol=efficiency, or "
        "export twins as longer and larger videos (gsfnas data export twins --as something_v2)"
    )


def _rows(split: str, count: int, settings: DataSettings) -> Iterator[Array]:
    return (twins_clip(split, index, settings) for index in range(count))


def _pairs(settings: DataSettings) -> Pairs:
    return pairs_of(settings.textures, settings.far)


def _counts(settings: DataSettings) -> dict[str, int]:
    return {"train": settings.train_clips, "val": settings.val_clips, "test": settings.test_clips}


def _specification(settings: DataSettings) -> dict[str, object]:
    """Everything that determines the pixels of a clip.

    Textures and far events only if there are any, so that runs from before there were keep their ids.
    """
    added = {name: getattr(settings, name) for name in ("textures", "far") if getattr(settings, name)}
    added |= {"far_version": FAR_VERSION} if settings.far else {}
    return {
        "version": VERSION,
        "seed": settings.seed,
        "frames": settings.frames,
        "resolution": settings.resolution,
        "difficulty": float(settings.difficulty),
        **added,
    }


def _hash(specification: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(specification, sort_keys=True).encode()).hexdigest()[:16]
