"""Arrays cached on disk: written completely or not at all, verified when opened, and recreated if damaged."""

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
from gsfnas.files import default_cache, replacing

Array = npt.NDArray[np.uint8]
_BLOCK = 1 << 24


def cache_folder(cache: str | None) -> Path:
    """The cache folder that the user set, or the platform's default for gsfnas."""
    return default_cache() if cache is None else expanded("data.cache", cache)


def expanded(setting: str, path: str) -> Path:
    """Expands ``~`` in the path of a setting. Raises UserError for ``~user`` with an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"`{setting}` is {path}, but there is no such user") from None


def cached_array(path: Path, shape: tuple[int, ...], rows: Callable[[], Iterable[Array]]) -> Array:
    """Memory-maps the uint8 array of ``shape`` at ``path`` for reading; creates it from ``rows()`` if it is missing or damaged.

    A ``.json`` file beside it has its checksum. Several processes may call this at once: each writes a temporary file and
    renames it, so the last one replaces an identical file. Rows are written through a file and not a memory map, since with a
    memory map a full disk would kill the process.
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
    """Arrays with equal numbers of axes but different shapes, stored one after the other in a file and memory-mapped."""

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
        # Pickles the path of the memory map, not its contents.
        return Ragged, (self.path, self.shapes)


def cached_ragged(path: Path, rows: Callable[[], Iterable[Array]]) -> Ragged:
    """Like ``cached_array``, for uint8 arrays of different shapes."""
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
    """Opens the array; None if it is missing or incomplete, or if its checksum differs."""
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
