"""A journal as a file: reads its complete lines without changing them, and replays them in Optuna."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsfnas.errors import UserError
from gsfnas.escape import printable
from gsfnas.files import read_bytes

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

JOURNAL = "journal.log"
# Enough for some 100,000 epochs. A larger study would be slow for other reasons.
_MAX_BYTES = 256 * 2**20
# The deepest entry that gsfnas writes is a candidate within a trial. Python's recursion limit is some hundreds.
_MAX_DEPTH = 40
_MAX_OPERATION = 10


class Journal:
    """The entries of a journal file. An incomplete last line, left by a killed process, is ignored.

    Raises UserError if the file is not a regular one or too large, and, with the line number, if a line is not an entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = read_bytes(path, _MAX_BYTES).split(b"\n")[:-1]
        self.entries = [self._entry(number, line) for number, line in enumerate(self.lines, start=1)]

    def damaged(self, line: int, what: str) -> UserError:
        """The error for a damaged line of the file."""
        return UserError(f"{self.path} is damaged at line {line}: {what}; restore a copy of it, or use another study.name")

    def replay(self) -> "JournalStorage":
        """A read-only Optuna storage with these entries. Raises UserError for a line that Optuna rejects."""
        from optuna.storages import JournalStorage

        reader = _Reader(self.entries)
        backend: Any = reader
        try:
            return JournalStorage(backend)
        except MemoryError:
            raise
        except Exception as error:
            # Optuna may raise almost any exception for entries of other programs.
            told = printable(f"{type(error).__name__}: {error}")[:120]
            raise self.damaged(reader.line, f"it is no entry of an Optuna journal ({told})") from None

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict) or not _is_operation(entry.get("op_code")):
            raise self.damaged(number, "it is no entry of an Optuna journal")
        if not isinstance(entry.get("worker_id"), str):
            raise self.damaged(number, "it does not say who wrote it")
        if line.count(b"{") + line.count(b"[") > _MAX_DEPTH and _depth_exceeds(entry, _MAX_DEPTH):
            raise self.damaged(number, f"it is nested more than {_MAX_DEPTH} levels deep")
        return entry


class _Reader:
    """A read-only backend for Optuna's ``JournalStorage``; ``line`` is the number of the entry that was read last."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries
        self.line = 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        for number, entry in enumerate(self._entries[log_number_from:], start=log_number_from + 1):
            self.line = number
            yield entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise AssertionError("a study that is read is not written")


def open_for_writing(path: Path, lock: Any) -> "JournalStorage":
    """An Optuna storage that reads and writes a journal file; it holds ``lock`` while it writes.

    It also sees the lines that other processes add.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _is_operation(code: Any) -> bool:
    return isinstance(code, int) and not isinstance(code, bool) and 0 <= code <= _MAX_OPERATION


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)
