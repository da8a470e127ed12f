"""Twins, far: pairs that one module hardly tells apart, and pairs that need an early one.

*Two events.* One shape flashes up, then another of the same kind, for the same time; their order is the class. Neither
moves, so that no event has a direction of its own: what tells the twins apart is ``far`` frames apart.
*Stripes.* Fine stripes drift, a pixel a frame at 32 px: neighbouring frames tell their direction, but only where the maps of
a network are still fine.

Shapes: T frames, R x R pixels. Lengths are in units of half the frame: x and y run from -1 (left, top) to 1 (right, bottom).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._drift import Drifting, scaled
from gsfnas.data.twins._pixels import load_pixels
from gsfnas.data.twins._render import VERSION, Frames, background, finish, random_colour
from gsfnas.data.twins._rng import Rng
from gsfnas.data.twins._settings import EVENT_FRAMES

# The width of stripes and their way in a frame, in pixels at 32 px.
_WIDTH, _SPEED = 2, 1
# Half the mean difference of light and dark stripes, in grey levels.
_CONTRAST = 60
# Half the square root of 2, rounded as a sine is, to multiples of 2^-14.
_DIAGONAL = 11585 / 2**14


@dataclass(frozen=True)
class Events:
    """Two events of one ``kind``: forwards ``first`` before ``second``."""

    kind: Literal["bar", "diagonal", "grating"]
    first: str
    second: str
    mirror_reverses: bool = False

    @property
    def name(self) -> str:
        return f"{self.first} {self.kind} before {self.second} {self.kind}"

    @property
    def reverse(self) -> str:
        return f"{self.second} {self.kind} before {self.first} {self.kind}"


@dataclass(frozen=True)
class Stripes(Drifting):
    """Light and dark stripes of random widths that drift, forwards right (``x``) or down (``y``)."""

    axis: Literal["x", "y"]

    @property
    def _drifts(self) -> str:
        return "stripes drift"


PAIRS: tuple[Events | Stripes, ...] = (
    Events("bar", "upright", "level"),
    Events("grating", "upright", "level"),
    Events("diagonal", "rising", "falling", mirror_reverses=True),
    Stripes("x"),
    Stripes("y"),
)


def render_far(
    split: str, index: int, pair: Events | Stripes, *, far: int, seed: int, frames: int, resolution: int, difficulty: float
) -> npt.NDArray[np.uint8]:
    """Renders scene ``index`` of ``split``, showing ``pair`` forwards, its events ``far`` frames apart: (T, 3, R, R) uint8."""
    rng = Rng("twins", VERSION, seed, split, index, pair.name)
    clip, _, _ = background(rng, load_pixels(split, resolution), frames, resolution, difficulty)
    if isinstance(pair, Stripes):
        _drift(clip, rng, pair.axis)
    else:
        lasts = min(far, EVENT_FRAMES)
        begin = rng.integer(frames - far - lasts + 1)
        for start, look in ((begin, pair.first), (begin + far, pair.second)):
            _flash(clip[start : start + lasts], rng, pair.kind, look)
    return finish(clip, rng, difficulty)


def _drift(clip: Frames, rng: Rng, axis: str) -> None:
    """Adds stripes to ``clip``, in place."""
    frames, _, _, resolution = clip.shape
    offsets = [scaled(_SPEED * time, resolution) for time in range(frames)]
    width = max(1, scaled(_WIDTH, resolution))
    start, length = rng.integer(width), resolution + offsets[-1]
    line = (rng.bytes(-(-length // width) + 1) // 128 * np.float32(2) - np.float32(1)).repeat(width)[start : start + length]
    # Stripes drift right while the window that shows them moves left.
    shown = np.stack([line[offsets[-1] - offset :][:resolution] for offset in offsets])
    stripes = shown[:, None, None, :] if axis == "x" else shown[:, None, :, None]
    clip += stripes * np.float32(_CONTRAST * rng.uniform(0.7, 1.3))


def _flash(clip: Frames, rng: Rng, kind: str, look: str) -> None:
    """Paints a shape in two random colours onto all frames of ``clip``, in place."""
    resolution = clip.shape[-1]
    place = (2 * np.arange(resolution, dtype=np.float64) + 1) / resolution - 1
    x, y = place[None, :] - rng.uniform(-0.45, 0.45), place[:, None] - rng.uniform(-0.45, 0.45)
    along, across = (y, x) if look in ("upright", "rising") else (x, y)
    if kind == "diagonal":
        rising, falling = (x - y) * _DIAGONAL, (x + y) * _DIAGONAL
        along, across = (rising, falling) if look == "rising" else (falling, rising)
    size = rng.uniform(0.65, 0.85)
    if kind == "grating":
        stripe = np.floor((across + rng.uniform(0, 1)) * (3.2 / size)).astype(np.int64)
        mask = (stripe % 2 == 0) & (x * x + y * y < 1.28 * size * size)
    else:
        length, width = size * rng.uniform(0.86, 1.17), size * rng.uniform(0.27, 0.47)
        mask = (np.abs(along) < length) & (np.abs(across) < width)
    top, bottom = random_colour(rng), random_colour(rng)
    shade = ((np.arange(resolution, dtype=np.float32) + np.float32(0.5)) / np.float32(resolution))[:, None]
    for channel in range(3):
        painted = np.broadcast_to(shade * (bottom[channel] - top[channel]) + top[channel], (resolution, resolution))
        clip[:, channel, mask] = painted[mask]
