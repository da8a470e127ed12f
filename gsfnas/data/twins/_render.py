"""Renders one clip of Twins: digits in front of a photograph, with a drifting camera, distractors and noise.

Shapes: T frames, H height, W width. Arrays go only through elementwise IEEE arithmetic, without transcendental functions, so
the same seed gives the same bytes on every platform.
"""

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._actions import ACTIONS, Curve, Track, cosine, sine
from gsfnas.data.twins._pixels import TEXTURE, Pixels, load_pixels
from gsfnas.data.twins._rng import Rng

# Increase this with every change, here, in _actions.py, _pixels.py or _textures.py, that changes a clip.
VERSION = 1

Frames = npt.NDArray[np.float32]
# The rim takes a tenth of a texture on each side, so the digit itself fills 0.8 of it.
_REACH = 0.8 * TEXTURE / 2


def render(
    split: str, index: int, action: int, *, seed: int, frames: int, resolution: int, difficulty: float
) -> npt.NDArray[np.uint8]:
    """Renders scene ``index`` of ``split``, showing ``ACTIONS[action]`` forwards: (T, 3, H, W) uint8."""
    pixels = load_pixels(split, resolution)
    rng = Rng("twins", VERSION, seed, split, index, action)
    scene = ACTIONS[action].play(rng, _progress(rng, frames))
    clip, drift_x, drift_y = background(rng, pixels, frames, resolution, difficulty)
    tracks = scene.tracks
    if rng.chance(difficulty):
        tracks = (_distractor(rng, frames, difficulty), *tracks)
    for track in tracks:
        _paint(clip, track, rng, pixels, drift_x, drift_y)
    if isinstance(scene.light, np.ndarray):
        clip *= _per_frame(scene.light, frames)
    return finish(clip, rng, difficulty)


def _progress(rng: Rng, frames: int) -> npt.NDArray[np.float64]:
    """(T,) progress from 0 to 1, with random onset and duration, between linear and eased."""
    duration = rng.uniform(0.5, 0.9)
    onset = rng.uniform(0, 1 - duration)
    time = (np.arange(frames) + 0.5) / frames
    p = np.clip((time - onset) / duration, 0.0, 1.0)
    eased = p * p * (3 - 2 * p)
    return p + (eased - p) * rng.uniform(0, 1)


def background(rng: Rng, pixels: Pixels, frames: int, resolution: int, difficulty: float) -> tuple[Frames, Curve, Curve]:
    """A dimmed crop of a photograph that drifts in half pixels: (T, 3, H, W), and the drift (T,) in x and y, in pixels."""
    photo = rng.choice(pixels.photos)
    reach = difficulty * 0.2 * resolution
    time = np.linspace(-0.5, 0.5, frames)
    steps_x = np.floor(rng.uniform(-reach, reach) * 2 * time + 0.5).astype(np.int64)
    steps_y = np.floor(rng.uniform(-reach, reach) * 2 * time + 0.5).astype(np.int64)
    size = 2 * resolution
    left = int(steps_x.max()) + rng.integer(photo.shape[2] - size - int(np.ptp(steps_x)) + 1)
    top = int(steps_y.max()) + rng.integer(photo.shape[1] - size - int(np.ptp(steps_y)) + 1)
    crops = [
        photo[:, y : y + size : 2, x : x + size : 2]
        for x, y in zip((left - steps_x).tolist(), (top - steps_y).tolist(), strict=True)
    ]
    clip = np.stack(crops)
    if rng.chance(0.5):
        clip = clip[..., ::-1]
    contrast = rng.uniform(0.25, 0.35) + 0.35 * difficulty
    base = rng.uniform(10, 40)
    return clip * np.float32(contrast) + np.float32(base), steps_x / 2, steps_y / 2


def _distractor(rng: Rng, frames: int, difficulty: float) -> Track:
    """A small object near an edge that moves away and back, so that it looks the same forwards and backwards."""
    size = rng.uniform(0.14, 0.2)
    time = np.abs(np.linspace(-1, 1, frames))
    direction, reach = rng.uniform(0, 1), rng.uniform(0, 0.3) * difficulty
    angle = rng.uniform(0, 1)
    return Track(
        x=0.85 * rng.choice((-1, 1)) + reach * cosine(direction) * time,
        y=rng.uniform(-0.85, 0.85) + reach * sine(direction) * time,
        width=size,
        height=size,
        angle=angle,
    )


def _paint(clip: Frames, track: Track, rng: Rng, pixels: Pixels, drift_x: Curve, drift_y: Curve) -> None:
    """Paints a random digit in two random colours onto ``clip``, in place."""
    frames, _, _, resolution = clip.shape
    half = resolution / 2
    x = track.x * half + (half - 0.5) + drift_x
    y = track.y * half + (half - 0.5) + drift_y
    across, down = _REACH / (track.width * half), _REACH / (track.height * half)
    cos, sin = cosine(track.angle), sine(track.angle)
    pixel = np.arange(resolution, dtype=np.float32)
    dx = pixel - _per_frame(x, frames)[:, 0]
    dy = (pixel - _per_frame(y, frames)[:, 0]).transpose(0, 2, 1)
    u = dx * _per_frame(cos * across, frames)[:, 0] + dy * _per_frame(sin * across, frames)[:, 0]
    v = dy * _per_frame(cos * down, frames)[:, 0] - dx * _per_frame(sin * down, frames)[:, 0]
    if isinstance(track.gap, np.ndarray):
        inward = np.abs(u) - _per_frame(track.gap * (_REACH / 2), frames)[:, 0]
        u = np.where(inward < 0, np.float32(TEXTURE), np.copysign(inward, u))
    column = np.clip(u + np.float32(TEXTURE / 2), 0, TEXTURE - 1).astype(np.int32)
    row = np.clip(v + np.float32(TEXTURE / 2), 0, TEXTURE - 1)
    texture = pixels.digits[rng.integer(len(pixels.digits))]
    opacity = texture.take(row.astype(np.int32) * TEXTURE + column)[:, None] * _per_frame(track.opacity / 255, frames)
    top, bottom = random_colour(rng), random_colour(rng)
    shade = row[:, None] * np.float32(1 / TEXTURE)
    for channel in range(3):
        colour = shade * (bottom[channel] - top[channel]) + top[channel]
        layer = clip[:, channel : channel + 1]
        colour -= layer
        colour *= opacity
        layer += colour


def random_colour(rng: Rng) -> list[np.float32]:
    """A random bright colour: channels from 215, from 90 and from 0 up to 255, in random order."""
    values = [rng.uniform(215, 255), rng.uniform(90, 255), rng.uniform(0, 255)]
    first = rng.integer(3)
    step = rng.choice((1, 2))
    return [np.float32(values[(first + step * channel) % 3]) for channel in range(3)]


def finish(clip: Frames, rng: Rng, difficulty: float) -> npt.NDArray[np.uint8]:
    """Adds noise, and rounds to (T, 3, H, W) uint8; ``clip`` is overwritten."""
    if difficulty > 0:
        noise = rng.bytes(clip.size).reshape(clip.shape)
        reach = np.float32(60 * difficulty)
        clip += noise * (reach / np.float32(127.5)) - reach
    return np.rint(np.clip(clip, 0, 255)).astype(np.uint8)


def _per_frame(curve: Curve, frames: int) -> Frames:
    """(T, 1, 1, 1), from a single number or one number per frame."""
    values = np.broadcast_to(np.asarray(curve, dtype=np.float32), (frames,))
    return values.reshape(frames, 1, 1, 1)
