"""Twins, far: pairs that need modules at several sites, early and late.

Some need maps that are still fine, some a link between events about ``far`` frames apart, some both, one after the other.

*Drifting textures.* The two fine ones: their direction shows where the maps of a network are still fine.
*Order.* One shape flashes up, then another; the second begins ``far - 1``, ``far + 1`` or ``2 far - 1`` frames after it.
*Turns.* Three shapes take turns, with pauses or without, and the clip begins anywhere: each is at every frame as often forwards
as backwards, so that no place in the clip tells the order.
*Shakes.* A texture shakes sideways, then up and down, with others before, between and after; or it shakes sideways, up and
down, and stands still, in turn. No frame tells how it shakes; its neighbours do, where maps are fine.

Shapes: T frames, R x R pixels. Lengths are in units of half the frame: x and y run from -1 (left, top) to 1 (right, bottom).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._pixels import load_pixels
from gsfnas.data.twins._render import VERSION, Frames, background, finish, random_colour
from gsfnas.data.twins._rng import Rng
from gsfnas.data.twins._settings import event_frames
from gsfnas.data.twins._textures import SIZES, TEXTURES, Texture, render_texture, scaled, squares

# Increase this with every change, here, that changes a clip.
FAR_VERSION = 3
# The mean contrast of a texture's light and dark squares with what is behind them, in grey levels.
_DRIFT_CONTRAST = 50
_SHAKE_CONTRAST = 80

Look = Literal["upright bar", "level bar", "disc", "ring", "cross", "frame"]
Shake = Literal["sideways", "up and down", "not at all"]


@dataclass(frozen=True)
class Order:
    """Two shapes, forwards ``first`` before ``second``."""

    first: Look
    second: Look
    distance: Literal["near", "middle", "far"]
    # Every shape is its own mirror image, and so is every way to shake.
    mirror_reverses: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return f"{self.first} before {self.second}"

    @property
    def reverse(self) -> str:
        return f"{self.second} before {self.first}"


@dataclass(frozen=True)
class Turns:
    """Three shapes in turn, over and over; with ``has_pauses`` each is gone after two frames."""

    looks: tuple[Look, Look, Look]
    has_pauses: bool
    mirror_reverses: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return f"{', '.join(self.looks)} in turn"

    @property
    def reverse(self) -> str:
        return f"{', '.join(self.looks[::-1])} in turn"


@dataclass(frozen=True)
class Shakes:
    """A texture of one scale that shakes one way, then the other; with ``in_turn`` both, and standing still, over and over."""

    scale: Literal["fine", "medium"]
    in_turn: bool
    mirror_reverses: ClassVar[bool] = False

    @property
    def ways(self) -> tuple[Shake, ...]:
        """Forwards."""
        return ("sideways", "up and down", "not at all") if self.in_turn else ("sideways", "up and down")

    @property
    def name(self) -> str:
        return self._named(self.ways)

    @property
    def reverse(self) -> str:
        return self._named(self.ways[::-1])

    def _named(self, ways: tuple[Shake, ...]) -> str:
        told = f"{', '.join(ways)} in turn" if self.in_turn else ", then ".join(ways)
        return f"{self.scale} texture shakes {told}"


FarPair = Texture | Order | Turns | Shakes

PAIRS: tuple[FarPair, ...] = (
    *(texture for texture in TEXTURES if texture.scale == "fine"),
    Order("upright bar", "level bar", "near"),
    Order("disc", "ring", "middle"),
    Order("cross", "frame", "far"),
    Turns(("disc", "ring", "cross"), has_pauses=True),
    Turns(("frame", "disc", "cross"), has_pauses=False),
    Shakes("fine", in_turn=False),
    Shakes("fine", in_turn=True),
    Shakes("medium", in_turn=True),
)


def render_far(
    split: str, index: int, pair: FarPair, *, far: int, seed: int, frames: int, resolution: int, difficulty: float
) -> npt.NDArray[np.uint8]:
    """Renders scene ``index`` of ``split``, showing ``pair`` forwards: (T, 3, R, R) uint8. ``far`` is at least 2."""
    if isinstance(pair, Texture):
        how = {"seed": seed, "frames": frames, "resolution": resolution, "difficulty": difficulty}
        return render_texture(split, index, pair, **how, contrast=_DRIFT_CONTRAST)  # type: ignore[arg-type]
    rng = Rng("twins", VERSION, seed, split, index, pair.name)
    clip, _, _ = background(rng, load_pixels(split, resolution), frames, resolution, difficulty)
    if isinstance(pair, Order):
        apart, lasts = event_frames(far)[f"{pair.distance} order"]
        begin = rng.integer(frames - apart - lasts + 1)
        for start, look in ((begin, pair.first), (begin + apart, pair.second)):
            _flash(clip[start : start + lasts], rng, look)
    elif isinstance(pair, Turns):
        apart, lasts = event_frames(far)["turns with pauses" if pair.has_pauses else "turns"]
        for turn, start, stop in _turns(rng, len(pair.looks), apart, lasts, frames):
            _flash(clip[start:stop], rng, pair.looks[turn])
    else:
        clip += _shaking(rng, pair, far, frames, resolution)[:, None]
    return finish(clip, rng, difficulty)


def _turns(rng: Rng, count: int, apart: int, lasts: int, frames: int) -> list[tuple[int, int, int]]:
    """Whose turn it is, from which frame, to before which: each lasts so long, and the clip begins anywhere in the round."""
    begun = rng.integer(count * apart)
    shown = []
    for turn in range((begun + frames - 1) // apart + 1):
        start, stop = max(0, turn * apart - begun), min(frames, turn * apart - begun + lasts)
        if start < stop:
            shown.append((turn % count, start, stop))
    return shown


def _flash(clip: Frames, rng: Rng, look: Look) -> None:
    """Paints a shape in two random colours onto all frames of ``clip``, in place."""
    resolution = clip.shape[-1]
    place = (2 * np.arange(resolution, dtype=np.float64) + 1) / resolution - 1
    x, y = place[None, :] - rng.uniform(-0.45, 0.45), place[:, None] - rng.uniform(-0.45, 0.45)
    mask = _shape(x, y, look, size=rng.uniform(0.65, 0.85))
    top, bottom = random_colour(rng), random_colour(rng)
    shade = ((np.arange(resolution, dtype=np.float32) + np.float32(0.5)) / np.float32(resolution))[:, None]
    for channel in range(3):
        painted = np.broadcast_to(shade * (bottom[channel] - top[channel]) + top[channel], (resolution, resolution))
        clip[:, channel, mask] = painted[mask]


def _shape(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], look: Look, *, size: float) -> npt.NDArray[np.bool_]:
    """(R, R): where the shape is; ``x`` (1, R) and ``y`` (R, 1) are the places from its centre."""
    if look in ("upright bar", "level bar"):
        along, across = (y, x) if look == "upright bar" else (x, y)
        return np.asarray((np.abs(along) < size) & (np.abs(across) < 0.36 * size))
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


def _shaking(rng: Rng, pair: Shakes, far: int, frames: int, resolution: int) -> Frames:
    """(T, R, R): the textures of ``pair``, another one for each shake and for each frame without any."""
    size, step = (max(1, scaled(length, resolution)) for length in (SIZES[pair.scale], SIZES[pair.scale] // 2))
    contrast = np.float32(_SHAKE_CONTRAST * rng.uniform(0.8, 1.2))
    if pair.in_turn:
        apart, lasts = event_frames(far)["shakes in turn"]
        shown = _turns(rng, len(pair.ways), apart, lasts, frames)
    else:
        apart, lasts = event_frames(far)["shakes"]
        begin = rng.integer(frames - apart - lasts + 1)
        shown = [(0, begin, begin + lasts), (1, begin + apart, begin + apart + lasts)]
    textures = np.stack([squares(rng, resolution, size) for _ in range(frames)])
    for turn, start, stop in shown:
        way, field = pair.ways[turn], squares(rng, resolution + step, size)
        for frame in range(start, stop):
            moved = step * ((frame - start) % 2)
            x, y = {"sideways": (moved, 0), "up and down": (0, moved), "not at all": (0, 0)}[way]
            textures[frame] = field[y : y + resolution, x : x + resolution]
    return textures * contrast
