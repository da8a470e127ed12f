"""Arrays on disk: written whole or not at all, checked when they are opened, made again where they are damaged."""

import itertools
import json
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gsfnas.errors import UserError
from gsfnas.files import replacing

Array = npt.NDArray[np.uint8]
_BLOCK = 1 << 24


def cache_folder(cache: str | None) -> Path:
    """The folder that the user named, or the platform's for gsfnas."""
    if cache is not None:
        return expanded("data.cache", cache)
    from platformdirs import user_cache_path

    return user_cache_path("gsfnas", appauthor=False)


def expanded(setting: str, path: str) -> Path:
    """The path that a setting names, with ``~`` as the home of its user. Raises UserError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"`{setting}` is {path}, but there is no such user") from None


def cached_array(path: Path, shape: tuple[int, ...], rows: Callable[[], Iterable[Array]]) -> Array:
    """The uint8 array of ``shape`` at ``path``, memory-mapped for reading; made of ``rows()`` where it is missing or damaged.

    Beside the ``.npy`` stands its checksum. Several processes may do this at once: each writes a file of its own, and the
    last to finish replaces an equal one. It is written row by row: through a memory map, a full disk would kill the process.
    """
    ready = _open_checked(path, shape)
    if ready is not None:
        return ready
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for row in rows():
                assert row.shape == shape[1:]
                file.write(np.ascontiguousarray(row).data)
        checksum = _checksum(temporary)
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"crc32": checksum, "shape": shape}) + "\n")
    array: Array = np.load(path, mmap_mode="r")
    return array


@dataclass(frozen=True)
class Ragged:
    """Arrays of one number of axes and different shapes, one after the other in a file, memory-mapped for reading."""

    path: Path
    shapes: tuple[tuple[int, ...], ...]

    def __getitem__(self, number: int) -> Array:
        first, stop = self._bounds[number : number + 2]
        return self._bytes[first:stop].reshape(self.shapes[number])

    @cached_property
    def _bytes(self) -> Array:
        return np.memmap(self.path, dtype=np.uint8, mode="r")

    @cached_property
    def _bounds(self) -> list[int]:
        return [0, *itertools.accumulate(math.prod(shape) for shape in self.shapes)]

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes the path of a memory map, not its bytes.
        return Ragged, (self.path, self.shapes)


def cached_ragged(path: Path, rows: Callable[[], Iterable[Array]]) -> Ragged:
    """The uint8 arrays at ``path``; made of ``rows()`` where they are missing or damaged. Written as ``cached_array`` is."""
    ready = _open_ragged(path)
    if ready is not None:
        return ready
    shapes = []
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            for row in rows():
                file.write(np.ascontiguousarray(row).data)
                shapes.append(row.shape)
        checksum = _checksum(temporary)
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"crc32": checksum, "shapes": shapes}) + "\n")
    return Ragged(path, tuple(shapes))


def _open_ragged(path: Path) -> Ragged | None:
    try:
        stated = json.loads(path.with_suffix(".json").read_text())
        shapes = tuple(tuple(map(int, shape)) for shape in stated["shapes"])
        if stated["crc32"] != _checksum(path):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Ragged(path, shapes)


def _open_checked(path: Path, shape: tuple[int, ...]) -> Array | None:
    """The array; None where it is incomplete or its checksum differs."""
    try:
        stated = json.loads(path.with_suffix(".json").read_text())
        if stated != {"crc32": _checksum(path), "shape": list(shape)}:
            return None
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, RecursionError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum
