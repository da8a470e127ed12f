"""Pairs of Twins without an object: a texture in front of a photograph drifts right, or down; backwards, left or up.

There is nothing to recognise in them and nothing to follow from afar: only a comparison of neighbouring frames at the texture's
own scale tells the direction. A network halves its maps from stage to stage, so fine textures need a module at an early site.

Shapes: T frames, R x R pixels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._pixels import load_pixels
from gsfnas.data.twins._render import VERSION, background, finish
from gsfnas.data.twins._rng import Rng

# The resolution at which lengths are given.
_RESOLUTION = 32
# The mean contrast of a texture's light and dark squares with what is behind them, in grey levels.
CONTRAST = 25
# The side of a texture's squares, in px at 32 px.
SIZES = {"fine": 2, "medium": 4, "coarse": 8}


@dataclass(frozen=True)
class Texture:
    """Random light and dark squares that drift. ``size`` is their side and ``speed`` their way in a frame, in px at 32 px."""

    scale: str
    size: int
    speed: int
    axis: Literal["x", "y"]

    @property
    def name(self) -> str:
        return f"{self.scale} texture drifts {'right' if self.axis == 'x' else 'down'}"

    @property
    def reverse(self) -> str:
        return f"{self.scale} texture drifts {'left' if self.axis == 'x' else 'up'}"

    @property
    def mirror_reverses(self) -> bool:
        return self.axis == "x"


# In the order in which ``data.textures`` takes them.
TEXTURES: tuple[Texture, ...] = (
    Texture("medium", SIZES["medium"], 2, "x"),
    Texture("medium", SIZES["medium"], 2, "y"),
    Texture("fine", SIZES["fine"], 1, "x"),
    Texture("fine", SIZES["fine"], 1, "y"),
    Texture("coarse", SIZES["coarse"], 4, "x"),
    Texture("coarse", SIZES["coarse"], 4, "y"),
)


def render_texture(
    split: str,
    index: int,
    texture: Texture,
    *,
    seed: int,
    frames: int,
    resolution: int,
    difficulty: float,
    contrast: int = CONTRAST,
) -> npt.NDArray[np.uint8]:
    """Renders scene ``index`` of ``split``, in which ``texture`` drifts right or down: (T, 3, R, R) uint8.

    ``contrast`` is the mean one of its squares with what is behind them, in grey levels.
    """
    rng = Rng("twins", VERSION, seed, split, index, texture.name)
    clip, _, _ = background(rng, load_pixels(split, resolution), frames, resolution, difficulty)
    offsets = [scaled(texture.speed * time, resolution) for time in range(frames)]
    size = max(1, scaled(texture.size, resolution))
    field = squares(rng, resolution + offsets[-1], size)
    # The texture drifts right while the window that shows it moves left.
    windows = [slice(offsets[-1] - offset, offsets[-1] - offset + resolution) for offset in offsets]
    drifting = np.stack([field[:resolution, window] for window in windows])
    if texture.axis == "y":
        drifting = drifting.swapaxes(1, 2)
    clip += drifting[:, None] * np.float32(contrast * rng.uniform(0.8, 1.2))
    return finish(clip, rng, difficulty)


def squares(rng: Rng, side: int, size: int) -> npt.NDArray[np.float32]:
    """(side, side) of 1 and -1 in squares of ``size`` pixels, whose grid begins anywhere."""
    top, left = rng.integer(size), rng.integer(size)
    count = -(-side // size) + 1
    values = rng.bytes(count * count).reshape(count, count) // 128 * np.float32(2) - np.float32(1)
    pixels = values.repeat(size, axis=0).repeat(size, axis=1)
    shown: npt.NDArray[np.float32] = pixels[top : top + side, left : left + side]
    return shown


def scaled(pixels: int, resolution: int) -> int:
    """A length in pixels at 32 px in those of ``resolution``, rounded as an integer, so that every platform agrees."""
    return (2 * pixels * resolution + _RESOLUTION) // (2 * _RESOLUTION)
