"""The actions of Twins: twelve actions, each of which is a different action when played backwards.

An action maps the progress of time, (T,) numbers from 0 to 1, to the tracks of its objects. Lengths are in units of half
the frame: x and y run from -1 (left, top) to 1 (right, bottom).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._rng import Rng

Curve = npt.NDArray[np.float64] | float
Progress = npt.NDArray[np.float64]

# Sines at multiples of 1/1024 turn, rounded to multiples of 2^-14, since the last bit of a sine differs between platforms.
_SINES = np.round(np.sin(np.arange(1024) * (2 * np.pi / 1024)) * 2**14) / 2**14


@dataclass(frozen=True)
class Track:
    """An object's position in each frame: centre, half its width and height, angle (turns, clockwise), opacity, and the gap
    between its left and right half (in widths)."""

    x: Curve
    y: Curve
    width: Curve
    height: Curve
    angle: Curve = 0.0
    opacity: Curve = 1.0
    gap: Curve = 0.0


@dataclass(frozen=True)
class Scene:
    """The tracks of the objects in a clip, from back to front, and the brightness of the light, 0 to 1."""

    tracks: tuple[Track, ...]
    light: Curve = field(default=1.0)


@dataclass(frozen=True)
class Action:
    """An action. ``reverse`` is its name when played backwards.

    ``mirror_reverses``: with left and right swapped, the action and its reversal change places.
    """

    name: str
    reverse: str
    play: Callable[[Rng, Progress], Scene]
    mirror_reverses: bool = False


def cosine(turns: Curve) -> Curve:
    return sine(turns + 0.25)


def sine(turns: Curve) -> Curve:
    return np.asarray(_SINES[np.floor(np.asarray(turns) * 1024 + 0.5).astype(np.int64) % 1024])


def _size(rng: Rng) -> float:
    return rng.uniform(0.36, 0.5)


def _still(rng: Rng) -> dict[str, Curve]:
    """The track of an object that stays near the middle, slightly tilted."""
    size = _size(rng)
    return {
        "x": rng.uniform(-0.3, 0.3),
        "y": rng.uniform(-0.3, 0.3),
        "width": size,
        "height": size,
        "angle": rng.uniform(-0.04, 0.04),
    }


def _along(rng: Rng, p: Progress) -> Curve:
    travel = rng.uniform(0.7, 1.1)
    return rng.uniform(-0.15, 0.15) + travel * (p - 0.5)


def _move_right(rng: Rng, p: Progress) -> Scene:
    return Scene((Track(**{**_still(rng), "x": _along(rng, p)}),))


def _move_down(rng: Rng, p: Progress) -> Scene:
    return Scene((Track(**{**_still(rng), "y": _along(rng, p)}),))


def _come_nearer(rng: Rng, p: Progress) -> Scene:
    size = rng.uniform(0.2, 0.28) + rng.uniform(0.35, 0.5) * p
    return Scene((Track(**{**_still(rng), "width": size, "height": size}),))


def _turn_clockwise(rng: Rng, p: Progress) -> Scene:
    angle = rng.uniform(-0.2, 0.2) + rng.uniform(0.3, 0.5) * (p - 0.5)
    size = rng.uniform(0.45, 0.6)
    return Scene((Track(**{**_still(rng), "width": size, "height": size, "angle": angle}),))


def _appear(rng: Rng, p: Progress) -> Scene:
    return Scene((Track(**{**_still(rng), "opacity": p}),))


def _unfold(rng: Rng, p: Progress) -> Scene:
    still = _still(rng)
    return Scene((Track(**{**still, "width": still["width"] * (0.15 + 0.95 * p)}),))


def _come_together(rng: Rng, p: Progress) -> Scene:
    size = rng.uniform(0.28, 0.36)
    distance = rng.uniform(0.22, 0.28) + rng.uniform(0.4, 0.5) * (1 - p)
    direction, x, y = rng.uniform(0, 1), rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15)
    dx, dy = cosine(direction) * distance, sine(direction) * distance
    return Scene((Track(x - dx, y - dy, size, size), Track(x + dx, y + dy, size, size)))


def _cover(rng: Rng, p: Progress) -> Scene:
    still = _still(rng)
    direction, distance = rng.uniform(0, 1), rng.uniform(0.7, 0.95) * (1 - p)
    size = still["width"] * 1.2
    front = {
        **still,
        "width": size,
        "height": size,
        "x": still["x"] + cosine(direction) * distance,
        "y": still["y"] + sine(direction) * distance,
    }
    return Scene((Track(**still), Track(**front)))


def _jump_right(rng: Rng, p: Progress) -> Scene:
    size, ground = rng.uniform(0.28, 0.36), rng.uniform(0.35, 0.55)
    middle = rng.uniform(-0.12, 0.12)
    x = middle + rng.uniform(1.1, 1.3) * (p - 0.5)
    y = ground - rng.uniform(0.9, 1.1) * 4 * p * (1 - p)
    return Scene((Track(middle, ground, size, size), Track(x, y, size, size)))


def _orbit_clockwise(rng: Rng, p: Progress) -> Scene:
    size, radius = rng.uniform(0.26, 0.34), rng.uniform(0.52, 0.65)
    turns = rng.uniform(0, 1) + rng.uniform(0.5, 0.75) * p
    x, y = rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)
    return Scene((Track(x, y, size, size), Track(x + radius * cosine(turns), y + radius * sine(turns), size, size)))


def _split(rng: Rng, p: Progress) -> Scene:
    return Scene((Track(**{**_still(rng), "gap": rng.uniform(0.7, 1.0) * p}),))


def _light_on(rng: Rng, p: Progress) -> Scene:
    dark = rng.uniform(0.1, 0.3)
    return Scene((Track(**_still(rng)),), light=dark + (1 - dark) * p)


ACTIONS: tuple[Action, ...] = (
    Action("moves right", "moves left", _move_right, mirror_reverses=True),
    Action("moves down", "moves up", _move_down),
    Action("comes nearer", "goes away", _come_nearer),
    Action("turns clockwise", "turns counter-clockwise", _turn_clockwise, mirror_reverses=True),
    Action("appears", "disappears", _appear),
    Action("unfolds", "folds up", _unfold),
    Action("two come together", "two move apart", _come_together),
    Action("covers another", "uncovers another", _cover),
    Action("jumps right over another", "jumps left over another", _jump_right, mirror_reverses=True),
    Action("circles another clockwise", "circles another counter-clockwise", _orbit_clockwise, mirror_reverses=True),
    Action("splits in two", "becomes whole", _split),
    Action("the light comes on", "the light goes out", _light_on),
)
