"""Locks that the operating system releases when the process that holds them dies, however it dies.

All use ``flock``: an open file holds the lock, not the existence of the file, so ``kill -9`` leaves no stale lock.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from gsfnas.errors import UserError
from gsfnas.escape import printable
from gsfnas.files import open_lock


class FileLock:
    """A lock that is held until ``release`` or the end of the process."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self._file = file
        self.path = path
        file.seek(0)
        # The note of the last holder; empty if that one released the lock.
        self.left = file.read(1000)

    @classmethod
    def take(cls, path: Path, *, patience: float = 0.0) -> Self | None:
        """Takes the lock; None if another process still holds it after ``patience`` seconds."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open_lock(path)
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(file, path)
            except BlockingIOError:
                if time.monotonic() >= until:
                    file.close()
                    return None
                time.sleep(0.02)

    def note(self, text: str) -> None:
        """Writes who holds the lock, for processes that find it taken."""
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()

    def remove(self) -> None:
        """Removes the file, then releases the lock; in this order, so that no other process can take the lock in between."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()


@contextmanager
def study_lock(folder: Path, name: str) -> Iterator[None]:
    """Held by the one process that runs a study. Raises UserError if another process is running it."""
    lock = FileLock.take(folder / "lock", patience=1.0)
    if lock is None:
        with open_lock(folder / "lock", create=False) as file:
            holder = printable(file.read(200).strip())
        raise UserError(
            f"study {name!r} is being run by {holder or 'another process'}; wait for it, or choose another study.name"
        )
    try:
        lock.note(f"process {os.getpid()} on {os.uname().nodename}")
        yield
    finally:
        lock.release()


def is_running(folder: Path) -> bool:
    """Whether a process is running the study in ``folder``; False if the lock cannot be read. Needs no write permission."""
    try:
        with open_lock(folder / "lock", create=False) as file:
            # A shared lock, so that two processes that check at once do not take each other for a running study.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class JournalLock:
    """The lock of Optuna's journal backend: uses ``flock``, and removes an incomplete last line before each append.

    A process killed during a write, or a full disk, leaves a line without its end. Appending to it would make the journal
    unreadable. It can be removed, since the write of that line was never confirmed.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = journal.with_name(journal.name + ".flock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        self._file = open_lock(self._path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            mend_tail(self._journal)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None


def mend_tail(journal: Path) -> None:
    """Removes an incomplete last line. The caller must hold the journal's lock."""
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
