"""What happens in a clip of Twins: twelve actions, each of which is another action when time runs backwards.

An action turns the progress of time, (T,) numbers from 0 to 1, into the tracks of its objects. Lengths are in units of half
the frame: x and y run from -1 (left, top) to 1 (right, bottom).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._rng import Draw

Curve = npt.NDArray[np.float64] | float
Progress = npt.NDArray[np.float64]

# Sines of 1024ths of a turn as 2^-14ths: rounded, because the last bit of a sine differs between platforms.
_SINES = np.round(np.sin(np.arange(1024) * (2 * np.pi / 1024)) * 2**14) / 2**14


@dataclass(frozen=True)
class Track:
    """Where an object is in each frame: its centre, half its width and height, its angle (turns, clockwise), its opacity, and
    the gap between its left and right half (in widths)."""

    x: Curve
    y: Curve
    width: Curve
    height: Curve
    angle: Curve = 0.0
    opacity: Curve = 1.0
    gap: Curve = 0.0


@dataclass(frozen=True)
class Scene:
    """The tracks of a clip's objects, from the back to the front, and how bright the light is, 0 to 1."""

    tracks: tuple[Track, ...]
    light: Curve = field(default=1.0)


@dataclass(frozen=True)
class Action:
    """An action, what it is called when played backwards, and the same two seen in a mirror (left and right swapped)."""

    name: str
    reverse: str
    play: Callable[[Draw, Progress], Scene]
    mirror_reverses: bool = False


def cosine(turns: Curve) -> Curve:
    return sine(turns + 0.25)


def sine(turns: Curve) -> Curve:
    return np.asarray(_SINES[np.floor(np.asarray(turns) * 1024 + 0.5).astype(np.int64) % 1024])


def _size(draw: Draw) -> float:
    return draw.uniform(0.36, 0.5)


def _still(draw: Draw) -> dict[str, Curve]:
    """An object that stays near the middle, a little tilted."""
    size = _size(draw)
    return {
        "x": draw.uniform(-0.3, 0.3),
        "y": draw.uniform(-0.3, 0.3),
        "width": size,
        "height": size,
        "angle": draw.uniform(-0.04, 0.04),
    }


def _along(draw: Draw, p: Progress) -> Curve:
    travel = draw.uniform(0.7, 1.1)
    return draw.uniform(-0.15, 0.15) + travel * (p - 0.5)


def _move_right(draw: Draw, p: Progress) -> Scene:
    return Scene((Track(**{**_still(draw), "x": _along(draw, p)}),))


def _move_down(draw: Draw, p: Progress) -> Scene:
    return Scene((Track(**{**_still(draw), "y": _along(draw, p)}),))


def _come_nearer(draw: Draw, p: Progress) -> Scene:
    size = draw.uniform(0.2, 0.28) + draw.uniform(0.35, 0.5) * p
    return Scene((Track(**{**_still(draw), "width": size, "height": size}),))


def _turn_clockwise(draw: Draw, p: Progress) -> Scene:
    angle = draw.uniform(-0.2, 0.2) + draw.uniform(0.3, 0.5) * (p - 0.5)
    size = draw.uniform(0.45, 0.6)
    return Scene((Track(**{**_still(draw), "width": size, "height": size, "angle": angle}),))


def _appear(draw: Draw, p: Progress) -> Scene:
    return Scene((Track(**{**_still(draw), "opacity": p}),))


def _unfold(draw: Draw, p: Progress) -> Scene:
    still = _still(draw)
    return Scene((Track(**{**still, "width": still["width"] * (0.15 + 0.95 * p)}),))


def _come_together(draw: Draw, p: Progress) -> Scene:
    size = draw.uniform(0.28, 0.36)
    distance = draw.uniform(0.22, 0.28) + draw.uniform(0.4, 0.5) * (1 - p)
    direction, x, y = draw.uniform(0, 1), draw.uniform(-0.15, 0.15), draw.uniform(-0.15, 0.15)
    dx, dy = cosine(direction) * distance, sine(direction) * distance
    return Scene((Track(x - dx, y - dy, size, size), Track(x + dx, y + dy, size, size)))


def _cover(draw: Draw, p: Progress) -> Scene:
    still = _still(draw)
    direction, distance = draw.uniform(0, 1), draw.uniform(0.7, 0.95) * (1 - p)
    size = still["width"] * 1.2
    front = {
        **still,
        "width": size,
        "height": size,
        "x": still["x"] + cosine(direction) * distance,
        "y": still["y"] + sine(direction) * distance,
    }
    return Scene((Track(**still), Track(**front)))


def _jump_right(draw: Draw, p: Progress) -> Scene:
    size, ground = draw.uniform(0.28, 0.36), draw.uniform(0.35, 0.55)
    middle = draw.uniform(-0.12, 0.12)
    x = middle + draw.uniform(1.1, 1.3) * (p - 0.5)
    y = ground - draw.uniform(0.9, 1.1) * 4 * p * (1 - p)
    return Scene((Track(middle, ground, size, size), Track(x, y, size, size)))


def _orbit_clockwise(draw: Draw, p: Progress) -> Scene:
    size, radius = draw.uniform(0.26, 0.34), draw.uniform(0.52, 0.65)
    turns = draw.uniform(0, 1) + draw.uniform(0.5, 0.75) * p
    x, y = draw.uniform(-0.1, 0.1), draw.uniform(-0.1, 0.1)
    return Scene((Track(x, y, size, size), Track(x + radius * cosine(turns), y + radius * sine(turns), size, size)))


def _split(draw: Draw, p: Progress) -> Scene:
    return Scene((Track(**{**_still(draw), "gap": draw.uniform(0.7, 1.0) * p}),))


def _light_on(draw: Draw, p: Progress) -> Scene:
    dark = draw.uniform(0.1, 0.3)
    return Scene((Track(**_still(draw)),), light=dark + (1 - dark) * p)


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

# Class 2a is action a, class 2a + 1 its reversal.
CLASSES: tuple[str, ...] = tuple(name for action in ACTIONS for name in (action.name, action.reverse))
# What a class is called when the clip is mirrored left to right.
MIRROR: tuple[int, ...] = tuple(index ^ 1 if ACTIONS[index // 2].mirror_reverses else index for index in range(len(CLASSES)))
