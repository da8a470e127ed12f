"""Twins, far: pairs that a module at a late site tells apart, and pairs that need one at an early site.

*Two events.* One shape flashes up, then another, for the same time; their order is the class. Neither moves, so that no event
has a direction of its own: what tells the twins apart is ``far`` frames apart.
*Textures.* Fine and medium ones drift, with more contrast than as textures beside actions: neighbouring frames tell their
direction, but only where the maps of a network are still fine.

Shapes: T frames, R x R pixels. Lengths are in units of half the frame: x and y run from -1 (left, top) to 1 (right, bottom).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._pixels import load_pixels
from gsfnas.data.twins._render import VERSION, Frames, background, finish, random_colour
from gsfnas.data.twins._rng import Rng
from gsfnas.data.twins._settings import EVENT_FRAMES
from gsfnas.data.twins._textures import TEXTURES, Texture, render_texture

# Increase this with every change, here, that changes a clip.
FAR_VERSION = 2
# The mean contrast of a texture's light and dark squares with what is behind them, in grey levels.
_CONTRAST = 60


@dataclass(frozen=True)
class Events:
    """Two events: forwards ``first`` before ``second``, which are both of one ``kind`` or, without one, two shapes."""

    first: str
    second: str
    kind: Literal["", "bar", "grating"] = ""
    # Every shape is its own mirror image.
    mirror_reverses: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return f"{self._named(self.first)} before {self._named(self.second)}"

    @property
    def reverse(self) -> str:
        return f"{self._named(self.second)} before {self._named(self.first)}"

    def _named(self, look: str) -> str:
        return f"{look} {self.kind}".rstrip()


PAIRS: tuple[Events | Texture, ...] = (
    Events("upright", "level", "bar"),
    Events("upright", "level", "grating"),
    Events("disc", "ring"),
    Events("cross", "frame"),
    *(texture for texture in TEXTURES if texture.scale == "fine"),
    *(texture for texture in TEXTURES if texture.scale == "medium"),
)


def render_far(
    split: str, index: int, pair: Events | Texture, *, far: int, seed: int, frames: int, resolution: int, difficulty: float
) -> npt.NDArray[np.uint8]:
    """Renders scene ``index`` of ``split``, showing ``pair`` forwards, its events ``far`` frames apart: (T, 3, R, R) uint8."""
    if isinstance(pair, Texture):
        how = {"seed": seed, "frames": frames, "resolution": resolution, "difficulty": difficulty}
        return render_texture(split, index, pair, **how, contrast=_CONTRAST)  # type: ignore[arg-type]
    rng = Rng("twins", VERSION, seed, split, index, pair.name)
    clip, _, _ = background(rng, load_pixels(split, resolution), frames, resolution, difficulty)
    lasts = min(far, EVENT_FRAMES)
    begin = rng.integer(frames - far - lasts + 1)
    for start, look in ((begin, pair.first), (begin + far, pair.second)):
        _flash(clip[start : start + lasts], rng, pair.kind, look)
    return finish(clip, rng, difficulty)


def _flash(clip: Frames, rng: Rng, kind: str, look: str) -> None:
    """Paints a shape in two random colours onto all frames of ``clip``, in place."""
    resolution = clip.shape[-1]
    place = (2 * np.arange(resolution, dtype=np.float64) + 1) / resolution - 1
    x, y = place[None, :] - rng.uniform(-0.45, 0.45), place[:, None] - rng.uniform(-0.45, 0.45)
    mask = _shape(x, y, rng, kind, look, size=rng.uniform(0.65, 0.85))
    top, bottom = random_colour(rng), random_colour(rng)
    shade = ((np.arange(resolution, dtype=np.float32) + np.float32(0.5)) / np.float32(resolution))[:, None]
    for channel in range(3):
        painted = np.broadcast_to(shade * (bottom[channel] - top[channel]) + top[channel], (resolution, resolution))
        clip[:, channel, mask] = painted[mask]


def _shape(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], rng: Rng, kind: str, look: str, *, size: float
) -> npt.NDArray[np.bool_]:
    """(R, R): where the shape is; ``x`` (1, R) and ``y`` (R, 1) are the places from its centre."""
    along, across = (y, x) if look == "upright" else (x, y)
    if kind == "grating":
        stripe = np.floor((across + rng.uniform(0, 1)) * (3.2 / size)).astype(np.int64)
        return np.asarray((stripe % 2 == 0) & (x * x + y * y < 1.28 * size * size))
    if kind == "bar":
        length, width = size * rng.uniform(0.86, 1.17), size * rng.uniform(0.27, 0.47)
        return np.asarray((np.abs(along) < length) & (np.abs(across) < width))
    from_centre = x * x + y * y
    outer, inner = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    return np.asarray(
        {
            "disc": from_centre < 0.6 * size * size,
            "ring": (from_centre < size * size) & (from_centre > 0.36 * size * size),
            "cross": (outer < size) & (inner < 0.25 * size),
            "frame": (outer < size) & (outer > 0.62 * size),
        }[look]
    )
