"""One picture out of a file, in RGB and upright, as a viewer shows it.

The size is read from the file's header before anything is decoded, so that a small file cannot fill the memory. Of a file with
several pictures (animated PNG or WebP, TIFF of many pages) the first one is read.

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
# Applied to a picture as soon as it is decoded; its result is kept.
Prepare = Callable[[Images], Images]

# An uncompressed file of the largest picture is smaller.
_MAX_BYTES = 1 << 28
# Larger pictures are decoded one at a time, since each takes some ten bytes a pixel for a moment.
_LARGE = 4096 * 4096
# Pixels of one tile of a TIFF, which may be larger than the picture.
_MAX_TILE = 1 << 26
# Pixels of all scans of a progressive JPEG: each goes over the whole picture, and an empty one takes a few bytes of the file.
_MAX_SCANNED = 100 << 26
# Tags of TIFF and Exif.
_ORIENTATION, _PHOTOMETRIC, _BITS, _TILE_WIDTH, _TILE_HEIGHT = 274, 262, 258, 322, 323

# Exif orientation -> whether rows and columns change places, and after that whether rows are reversed, and columns.
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
    """A new lock in a forked process, which would wait for ever for one that a thread held at the fork."""
    global _large
    _large = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def read_picture(file: Path) -> Images:
    """(H, W, 3). Of values of 16 bits the upper 8 are taken; transparency is left out.

    Raises DecodeError for what is no picture, is too large, or has values of no defined range.
    """
    return _read(file)[0]


def peculiarity(file: Path) -> str:
    """What earlier versions ignored about a picture, so that a cache may hold other pixels of it; empty for most."""
    return _read(file)[1]


def upright(image: Images, orientation: int) -> Images:
    """(H, W, 3) turned and mirrored as its Exif ``orientation`` says, 1 to 8; from 5 on (W, H, 3)."""
    transposed, down, right = _TURNS[orientation]
    image = image.swapaxes(0, 1) if transposed else image
    return image[:: -1 if down else 1, :: -1 if right else 1]


def orientation_of(matrix: bytes) -> int:
    """The Exif orientation that is nearest to a video's display matrix, which is nine numbers of 32 bits."""
    across_x, across_y, _, down_x, down_y = struct.unpack_from("=5i", matrix)
    transposed = abs(across_y) > abs(across_x)
    turn = (transposed, (across_y if transposed else down_y) < 0, (down_x if transposed else across_x) < 0)
    return next(orientation for orientation, known in _TURNS.items() if known == turn)


def _read(file: Path) -> tuple[Images, str]:
    with _opened(file) as image, _large if image.width * image.height > _LARGE else nullcontext():
        image.load()
        rgb, is_deep = _rgb(image, file.name)
        # Pillow has turned TIFF itself.
        orientation = 1 if image.format == "TIFF" else _orientation(image)
        turned = "" if orientation == 1 else f"orientation {orientation}"
        return upright(rgb, orientation), "16 bits" if is_deep else turned


def _rgb(image: Any, name: str) -> tuple[Images, bool]:
    """(H, W, 3), and whether it was made of grey values of 16 bits."""
    # PNG has no values of more bits; older versions of Pillow give its 16 as 32.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        tags = getattr(image, "tag_v2", {})
        grey = np.asarray(image) >> (tags.get(_BITS, (16,))[0] - 8)
        # In TIFF 0 may be white, which Pillow respects for 8 bits only.
        grey = 255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), True
    if image.mode in ("I", "F"):
        raise DecodeError(f"{name} has values of 32 bits, which have no defined range; 8 and 16 bits are read")
    if image.mode == "LAB":
        raise DecodeError(f"{name} has colours of LAB, not of RGB")
    # Pillow would warn of what becomes of it.
    image.info.pop("transparency", None)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), False


def _orientation(image: Any) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION)
        return orientation if orientation in _TURNS else 1
    except _damaged():
        # The picture itself is whole.
        return 1


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """The picture with its header read, nothing decoded. Raises DecodeError for damage, also where the block finds it."""
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
    """How a file begins -> what reads it.

    Pillow's own ``open`` would ask all of its plugins, one of which starts another program, and warn of large pictures.
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
    """The exceptions of Pillow for damaged files, and its warnings, which a program may turn into errors."""
    return OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, EOFError, struct.error, Warning
