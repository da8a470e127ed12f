"""Reads a picture from a file as upright RGB, as a viewer shows it.

The size is read from the header before decoding, so that a small file cannot fill the memory. Of a file with several pictures
(animated PNG or WebP, multi-page TIFF) the first one is read.

Shapes: H height, W width.
"""

import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gsfnas.data.video._index import DecodeError, why_too_large
from gsfnas.errors import UserError
from gsfnas.files import open_regular

Images = npt.NDArray[np.uint8]
# A function applied to a picture as soon as it is decoded; only its result is kept.
Prepare = Callable[[Images], Images]

# Maximum file size: more than an uncompressed file of the largest allowed picture.
_MAX_BYTES = 1 << 28
# Pictures with more pixels are decoded one at a time, since each briefly takes some ten bytes per pixel.
_LARGE = 4096 * 4096
# The maximum number of pixels in a TIFF tile, which may be larger than the picture.
_MAX_TILE = 1 << 26
# The maximum number of pixels over all scans of a progressive JPEG. Decoding takes a pass over the picture for each scan, while
# an empty scan takes only a few bytes of the file.
_MAX_SCANNED = 100 << 26
# Tag numbers of TIFF and Exif.
_ORIENTATION, _PHOTOMETRIC, _BITS, _TILE_WIDTH, _TILE_HEIGHT = 274, 262, 258, 322, 323

# Exif orientation -> (whether to transpose, then whether to reverse the rows, whether to reverse the columns).
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

_large = threading.Lock()


def _renew_lock() -> None:
    """Replaces the lock in a forked process: if a thread held it during the fork, it would stay locked forever."""
    global _large
    _large = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def read_picture(file: Path) -> Images:
    """Reads a picture as (H, W, 3) uint8. Of 16-bit values the upper 8 bits are used; transparency is ignored.

    Raises DecodeError if the file is not a picture or is too large, and for 32-bit values, which have no defined range, and LAB
    colours.
    """
    return _read(file)[0]


def peculiarity(file: Path) -> str:
    """A property of a picture that earlier versions ignored, so that their caches may have other pixels; usually empty."""
    return _read(file)[1]


def upright(image: Images, orientation: int) -> Images:
    """Rotates and mirrors (H, W, 3) by its Exif ``orientation``, 1 to 8; the result is (W, H, 3) for 5 to 8."""
    transposed, down, right = _TURNS[orientation]
    image = image.swapaxes(0, 1) if transposed else image
    return image[:: -1 if down else 1, :: -1 if right else 1]


def orientation_of(matrix: bytes) -> int:
    """The Exif orientation closest to the display matrix of a video, which is nine 32-bit integers."""
    across_x, across_y, _, down_x, down_y = struct.unpack_from("=5i", matrix)
    transposed = abs(across_y) > abs(across_x)
    turn = (transposed, (across_y if transposed else down_y) < 0, (down_x if transposed else across_x) < 0)
    return next(orientation for orientation, known in _TURNS.items() if known == turn)


def _read(file: Path) -> tuple[Images, str]:
    with _opened(file) as image, _large if image.width * image.height > _LARGE else nullcontext():
        image.load()
        rgb, is_deep = _rgb(image, file.name)
        # Pillow has applied the orientation of a TIFF already.
        orientation = 1 if image.format == "TIFF" else _orientation(image)
        turned = "" if orientation == 1 else f"orientation {orientation}"
        return upright(rgb, orientation), "16 bits" if is_deep else turned


def _rgb(image: Any, name: str) -> tuple[Images, bool]:
    """Converts to (H, W, 3); also returns whether the picture has 16-bit grey values."""
    # PNG has at most 16 bits; older versions of Pillow return them as 32 bits (mode I).
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        tags = getattr(image, "tag_v2", {})
        grey = np.asarray(image) >> (tags.get(_BITS, (16,))[0] - 8)
        # In a TIFF, 0 may mean white, which Pillow handles for 8 bits only.
        grey = 255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), True
    if image.mode in ("I", "F"):
        raise DecodeError(f"{name} has values of 32 bits, which have no defined range; 8 and 16 bits are read")
    if image.mode == "LAB":
        raise DecodeError(f"{name} has colours of LAB, not of RGB")
    # Otherwise Pillow would warn about the transparency.
    image.info.pop("transparency", None)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), False


def _orientation(image: Any) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION)
        return orientation if orientation in _TURNS else 1
    except _damaged():
        # Only the Exif data is damaged, not the picture.
        return 1


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Opens a picture and reads its header only. Raises DecodeError for damage, also if it is found inside the block."""
    from PIL.Image import DecompressionBombError

    try:
        with open_regular(file, _MAX_BYTES) as stream:
            start = stream.read(8)
            plugin = next((plugin for mark, plugin in _plugins().items() if start.startswith(mark)), None)
            if plugin is None:
                raise DecodeError(f"{file.name} is no readable image")
            stream.seek(0)
            image = plugin(stream)
            if (reason := _why_refused(image, stream)) is not None:
                raise DecodeError(f"{file.name} {reason}")
            yield image
    except UserError as error:
        raise DecodeError(f"{file.name}: {str(error).removeprefix(f'cannot read {file}: ')}") from None
    except DecompressionBombError:
        raise DecodeError(f"{file.name} has too many pixels") from None
    except _damaged():
        raise DecodeError(f"{file.name} is no readable image") from None
    except MemoryError:
        raise DecodeError(f"{file.name} does not fit into the memory") from None


def _why_refused(image: Any, stream: Any) -> str | None:
    if (reason := why_too_large(*image.size)) is not None:
        return reason
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_HEIGHT, 0)
    if width * height > _MAX_TILE:
        return f"is stored in tiles of {width} x {height} pixels; more than {_MAX_TILE:,} are not decoded"
    if image.format == "JPEG":
        place = stream.tell()
        stream.seek(0)
        scans = stream.read().count(b"\xff\xda")
        stream.seek(place)
        if scans * image.width * image.height > _MAX_SCANNED:
            return f"is stored in {scans} scans, each of the whole picture"
    return None


@cache
def _plugins() -> dict[bytes, Callable[[Any], Any]]:
    """First bytes of a file -> the Pillow class that reads it.

    ``PIL.Image.open`` would try all plugins, one of which starts an external program, and would warn about large pictures.
    """
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import PREFIXES, TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return {
        b"\xff\xd8\xff": JpegImageFile,
        b"\x89PNG\r\n\x1a\n": PngImageFile,
        b"RIFF": WebPImageFile,
        b"BM": BmpImageFile,
        **dict.fromkeys(PREFIXES, TiffImageFile),
    }


def _damaged() -> tuple[type[Exception], ...]:
    """The exceptions that Pillow raises for damaged files, and its warnings, which a program may turn into errors."""
    return OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, EOFError, struct.error, Warning
