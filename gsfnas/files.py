"""Reads files safely (only regular ones of limited size), and writes them atomically."""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gsfnas.errors import UserError

# More than a file written by hand has, but little enough to fit in memory. Annotations of a data set may be larger.
MAX_BYTES = 64 * 2**20


class CannotWriteError(UserError):
    """Raised if a file cannot be written, for example because the disk is full or permissions are missing."""


def default_cache() -> Path:
    """The platform's cache folder for gsfnas: ``$XDG_CACHE_HOME/gsfnas``, or ``~/.cache/gsfnas``, on Linux."""
    # Imported late: most commands need no cache.
    from platformdirs import user_cache_path

    return user_cache_path("gsfnas", appauthor=False)


def open_regular(path: Path, max_bytes: int | None = MAX_BYTES) -> IO[bytes]:
    """Opens a regular file for reading; never blocks.

    Raises UserError for a folder, for a pipe or a device (reading one might block or never end), for a file larger than
    ``max_bytes``, and for a file that cannot be opened.
    """
    try:
        # Without O_NONBLOCK, opening a pipe that has no writer would block.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    state = os.fstat(descriptor)
    wrong = ""
    if stat.S_ISDIR(state.st_mode):
        wrong = "it is a folder"
    elif not stat.S_ISREG(state.st_mode):
        wrong = "it is a pipe or a device, not a regular file"
    elif max_bytes is not None and state.st_size > max_bytes:
        wrong = f"it has {_mib(state.st_size)}, more than the {_mib(max_bytes)} of such a file"
    if wrong:
        os.close(descriptor)
        raise UserError(f"cannot read {path}: {wrong}")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, max_bytes: int | None = MAX_BYTES) -> bytes:
    """The content of a file. Raises UserError as ``open_regular`` does."""
    with open_regular(path, max_bytes) as file:
        try:
            return file.read()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def read_text(path: Path, max_bytes: int | None = MAX_BYTES) -> str:
    """The text of a UTF-8 file, without a byte order mark. Raises UserError as ``open_regular`` does, or if it is not UTF-8."""
    content = read_bytes(path, max_bytes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: it is not UTF-8 text") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of ``path``, which replaces it if the block succeeds, and is removed otherwise.

    Raises CannotWriteError if the folder or the file cannot be written.
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
        raise CannotWriteError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write(path: Path, data: str | bytes) -> None:
    """Writes a file atomically. Raises CannotWriteError as ``replacing`` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def open_lock(path: Path, *, create: bool = True) -> IO[str]:
    """Opens the file of a lock, creating it if necessary; with ``create=False`` only for reading, to see who holds the lock.

    Raises UserError for a link, a folder, a pipe or a device, since a note in the lock would be written there.
    """
    access = os.O_RDWR | os.O_CREAT | os.O_APPEND if create else os.O_RDONLY
    try:
        descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "a+" if create else "r", encoding="utf-8", errors="replace")
        os.close(descriptor)
    raise UserError(f"cannot lock {path}: it is a link, a folder, a pipe or a device, not a regular file; remove it")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Waits for the lock on ``path`` and holds it during the block."""
    with open_lock(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size > 10 * 2**20 else f"{size / 2**20:.2g} MiB"
