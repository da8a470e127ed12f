"""Arrays kept on disk: written whole or not at all, checked when read, made again where they are damaged."""

import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gsfnas.errors import UserError

Array = npt.NDArray[np.uint8]
_BLOCK = 1 << 24


def cache_folder(cache: str | None) -> Path:
    """The folder that the user named, or the platform's for gsfnas."""
    if cache is not None:
        return Path(cache).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("gsfnas", appauthor=False)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, and is removed otherwise.

    Raises UserError where the folder or the file cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def cached_array(path: Path, shape: tuple[int, ...], rows: Callable[[], Iterable[Array]]) -> Array:
    """The uint8 array of ``shape`` at ``path``, memory-mapped for reading; made of ``rows()`` where it is missing or damaged.

    Beside the ``.npy`` stands its checksum. Several processes may do this at once: each writes a file of its own, and the
    last to finish replaces an equal one. It is written row by row rather than through a map, which a full disk would kill.
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


def _open_checked(path: Path, shape: tuple[int, ...]) -> Array | None:
    """The array, or None unless it is whole and as its checksum says."""
    try:
        stated = json.loads(path.with_suffix(".json").read_text())
        if stated != {"crc32": _checksum(path), "shape": list(shape)}:
            return None
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum
