"""The real pixels that Twins is made of: scikit-learn's digits as objects, its two photographs as backgrounds.

Train, validation and test share no digit and no pixel of a photograph: digits are divided by their index, and each photograph
is cut into three strips. Everything is computed in exact integers, so that each platform gets the same pixels.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Split -> which of every ten digits it gets.
DIGITS: Mapping[str, tuple[int, ...]] = {"train": (0, 1, 2, 3, 4, 5), "val": (6, 7), "test": (8, 9)}
# Columns of each photograph (640 wide), from and to.
COLUMNS: Mapping[str, tuple[int, int]] = {"train": (0, 384), "val": (384, 512), "test": (512, 640)}

TEXTURE = 64
# Pixels of a photograph that a frame shows, across and down.
VIEW = 100


@dataclass(frozen=True)
class Pixels:
    """What one split may show.

    ``digits``: (D, TEXTURE * TEXTURE) uint8, opacities with a transparent rim. ``photos``: a (3, height, width) uint8 strip of
    each photograph at twice the frames' resolution, so that the camera can move by half a pixel.
    """

    digits: npt.NDArray[np.uint8]
    photos: tuple[npt.NDArray[np.uint8], ...]


@functools.lru_cache(maxsize=8)
def load_pixels(split: str, resolution: int) -> Pixels:
    """The digits and the strips of ``split``, the strips scaled for frames of ``resolution`` pixels."""
    from sklearn.datasets import load_digits, load_sample_images

    images = load_digits().images
    images = images[np.isin(np.arange(len(images)) % 10, DIGITS[split])]
    framed = np.pad(np.minimum(images * 24, 255), ((0, 0), (1, 1), (1, 1)))
    digits = np.stack([resize(image, TEXTURE, TEXTURE) for image in framed]).reshape(len(framed), -1)
    start, stop = COLUMNS[split]
    photos = []
    for photo in load_sample_images().images:
        strip = photo[:, start:stop].transpose(2, 0, 1)
        height, width = (side * 2 * resolution // VIEW for side in strip.shape[1:])
        photos.append(np.stack([resize(channel, height, width) for channel in strip]))
    return Pixels(digits, tuple(photos))


def resize(image: npt.NDArray[np.generic], height: int, width: int) -> npt.NDArray[np.uint8]:
    """(H, W) of values in 0..255 to (height, width) uint8 with a triangular filter that smooths where it shrinks."""
    rows, columns = _weights(image.shape[0], height), _weights(image.shape[1], width)
    # Weights and pixels are integers and the sums stay below 2^53: float64 is exact, in whatever order it adds.
    total = rows @ np.rint(image).astype(np.float64) @ columns.T
    scale = rows.sum(1)[:, None] * columns.sum(1)[None, :]
    rounded: npt.NDArray[np.uint8] = np.floor(total / scale + 0.5).astype(np.uint8)
    return rounded


def _weights(size_in: int, size_out: int) -> npt.NDArray[np.float64]:
    """(size_out, size_in) integers from 0 to 4096."""
    support = max(1.0, size_in / size_out)
    centres = (np.arange(size_out) + 0.5) * (size_in / size_out)
    distance = np.abs(np.arange(size_in) + 0.5 - centres[:, None]) / support
    return np.floor(np.maximum(0.0, 1.0 - distance) * 4096 + 0.5)
