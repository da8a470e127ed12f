"""The source images of Twins: scikit-learn's digits as objects, its two photographs as backgrounds.

Train, validation and test share no digit and no pixel of a photograph: digits are divided by their index, and each photograph
is cut into three strips. The arithmetic is exact (on integers), so the pixels are the same on every platform.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Split -> the digits that it gets, by their index modulo 10.
DIGITS: Mapping[str, tuple[int, ...]] = {"train": (0, 1, 2, 3, 4, 5), "val": (6, 7), "test": (8, 9)}
# Split -> its columns [start, stop) of each photograph, which is 640 pixels wide.
COLUMNS: Mapping[str, tuple[int, int]] = {"train": (0, 384), "val": (384, 512), "test": (512, 640)}

TEXTURE = 64
# Width and height, in pixels of the photograph, of the part that a frame shows.
VIEW = 100


@dataclass(frozen=True)
class Pixels:
    """The images of one split.

    ``digits``: (D, TEXTURE * TEXTURE) uint8, opacities with a transparent rim. ``photos``: a (3, height, width) uint8 strip of
    each photograph at twice the resolution of the frames, so that the camera can move by half a pixel.
    """

    digits: npt.NDArray[np.uint8]
    photos: tuple[npt.NDArray[np.uint8], ...]


@functools.lru_cache(maxsize=8)
def load_pixels(split: str, resolution: int) -> Pixels:
    """Loads the digits and strips of ``split``; strips are scaled for frames of ``resolution`` pixels."""
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
    """Resizes (H, W) values in 0..255 to (height, width) uint8 with a triangular filter, antialiased when shrinking."""
    rows, columns = _weights(image.shape[0], height), _weights(image.shape[1], width)
    # Weights and pixels are integers and all sums stay below 2^53, so float64 is exact in any order of summation.
    total = rows @ np.rint(image).astype(np.float64) @ columns.T
    scale = rows.sum(1)[:, None] * columns.sum(1)[None, :]
    rounded: npt.NDArray[np.uint8] = np.floor(total / scale + 0.5).astype(np.uint8)
    return rounded


def _weights(size_in: int, size_out: int) -> npt.NDArray[np.float64]:
    """(size_out, size_in) filter weights: integers from 0 to 4096, stored as float64."""
    support = max(1.0, size_in / size_out)
    centres = (np.arange(size_out) + 0.5) * (size_in / size_out)
    distance = np.abs(np.arange(size_in) + 0.5 - centres[:, None]) / support
    return np.floor(np.maximum(0.0, 1.0 - distance) * 4096 + 0.5)
