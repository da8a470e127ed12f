"""Probes the files of a data set: once, in parallel, with results that are kept until a file changes.

A probe opens a file, decodes one frame and counts the others. A check decodes all frames that the clips need. Both record
their results in the same index.
"""

import bisect
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from gsfnas.data._manifest import Entry
from gsfnas.data.video._decode import DecodeError, examine, probe, scan
from gsfnas.data.video._frames import RGB, frame_numbers
from gsfnas.data.video._index import save
from gsfnas.data.video._order import AVI, MISSING, REPEATED
from gsfnas.errors import UserError
from gsfnas.files import CannotWriteError, replacing

Item = TypeVar("Item")
Result = TypeVar("Result")
OnProgress = Callable[[int, int], None]
State = list[Any] | None

# The interval at which the index is written. A killed process loses the results since then; Ctrl-C loses nothing.
_SECONDS_BETWEEN_WRITES = 30.0
# Windows may end this many seconds after the video without a note, since annotations are made by hand.
_SPARE_S = 0.5


@dataclass(frozen=True)
class Window:
    """The frames [first, stop) of a file that form a clip; ``broken`` says why they cannot be used.

    ``is_checked`` is true for the result of a check. ``note`` describes a peculiarity of a window that is used anyway.
    """

    first: int
    stop: int
    broken: str | None = None
    is_checked: bool = False
    note: str | None = None


@dataclass(frozen=True)
class FileInfo:
    """A file: its number of frames and a digest of its content, or why it is ``broken``; and the requested windows.

    ``is_checked`` is true if ``data check`` reported it as broken. ``note`` says why its frames are counted in decoding order;
    it is empty if they are not.
    """

    frames: int
    digest: str
    broken: str | None
    windows: Mapping[str, Window]
    is_checked: bool = False
    note: str = ""

    def window(self, entry: Entry) -> Window:
        """The window of an entry; for a broken file, an empty window that says why."""
        if self.broken is not None:
            return Window(0, 0, self.broken, self.is_checked)
        return self.windows[_window_name(entry)]


def probe_files(
    root: Path,
    entries: Sequence[Entry],
    index: Path,
    *,
    names: Sequence[str] = RGB,
    checks: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, FileInfo]:
    """Probes the files of ``entries``, path -> file info. Unchanged files in the index file ``index`` are not opened again.

    ``names`` are patterns of frames in folders of images, as for ``frame_files``. With ``checks`` all frames that the entries
    need are decoded, unless an earlier check did so. ``on_progress(done, total)`` counts files.
    """
    wanted: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        wanted.setdefault(entry.path, {})[_window_name(entry)] = entry
    known = _read_index(index)
    infos: dict[str, FileInfo] = {}
    new: list[tuple[str, State]] = []
    for path, windows in wanted.items():
        state = _state(root / path, names)
        found = _remembered(known.get(path), state, windows, checks)
        if found is None:
            new.append((path, state))
        else:
            infos[path] = found
    on_progress(len(infos), len(wanted))

    def one(item: tuple[str, State]) -> FileInfo:
        path, state = item
        found = _probe_file(root, path, wanted[path], index, names, checks, state is None, _note(known.get(path), state))
        return _with_verdicts(found, known.get(path), state)

    written, is_written = time.monotonic(), True
    try:
        for (path, state), found in zip(new, in_threads(one, new), strict=True):
            infos[path] = found
            known[path] = _entry(found, state, known.get(path))
            is_written = False
            if time.monotonic() - written > _SECONDS_BETWEEN_WRITES:
                _write_index(index, known)
                written, is_written = time.monotonic(), True
            on_progress(len(infos), len(wanted))
    finally:
        if not is_written:
            _write_index(index, known)
    return {path: infos[path] for path in wanted}


def frame_index(index: Path, digest: str) -> Path:
    """The file with the frame index of a video that has windows or no usable time stamps, for the processes that read it."""
    return index.parent / "frames" / f"{digest}.npz"


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields ``function(item)`` in order, computed by up to 8 threads; stopping early cancels the rest.

    FFmpeg releases the GIL, so that threads run in parallel.
    """
    threads = min(8, os.cpu_count() or 1)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _probe_file(
    root: Path,
    name: str,
    windows: Mapping[str, Entry],
    index: Path,
    names: Sequence[str],
    checks: bool,
    is_gone: bool,
    note: str,
) -> FileInfo:
    path = root / name
    try:
        if is_gone:
            raise DecodeError("it does not exist")
        if not path.is_dir() and not path.is_file():
            raise DecodeError("it is a pipe or a device, not a regular file")
        if outside := _leading_out(root, path):
            raise DecodeError(f"{outside} is a link that leads out of the root")
        seen = probe(path, names)
        note = seen.note or note
        numbers = frame_numbers(path, names) if "" not in windows and path.is_dir() else None
        found = {name: _resolve(path, entry, seen.frames, numbers) for name, entry in windows.items()}
        for name in found if checks else ():
            found[name], order = _checked(path, windows[name], found[name], seen.frames, names)
            note = note or order
        digest = _digest(seen.digest, note)
        if path.is_file() and (note or "" not in windows):
            stamps = scan(path)
            save(stamps.in_order(note) if note and not stamps.note else stamps, frame_index(index, digest))
    except DecodeError as error:
        return FileInfo(0, "", str(error), {}, checks)
    except OSError as error:
        return FileInfo(0, "", f"it cannot be read ({(error.strerror or str(error)).lower()})", {}, checks)
    return FileInfo(seen.frames, digest, None, found, note=note)


def _digest(content: str, note: str) -> str:
    """The digest, changed for files whose frames earlier versions read in another order, so that old caches are not used."""
    if note in ("", AVI, MISSING, REPEATED):
        return content
    return hashlib.sha256(f"{content} {note}".encode()).hexdigest()[:16]


def _leading_out(root: Path, path: Path) -> str | None:
    """The name of an image that is a link out of the root; None if there is none.

    The folder directly below the root may be a link itself, so links into its target are allowed too.
    """
    if not path.is_dir():
        return None
    links = [entry.path for entry in os.scandir(path) if entry.is_symlink()]
    allowed = [Path(os.path.realpath(folder)) for folder in (root, root / path.relative_to(root).parts[0])] if links else []
    return next(
        (Path(link).name for link in links if not any(Path(os.path.realpath(link)).is_relative_to(base) for base in allowed)),
        None,
    )


def _resolve(path: Path, entry: Entry, frames: int, numbers: list[int] | None) -> Window:
    """The window of an entry in frames, cut to the frames that the file has; broken if none is left.

    In a folder of images frames are found by the ``numbers`` in their names, so that missing images do not shift later ones.
    """
    if entry.start is None or entry.stop is None:
        return Window(0, frames)
    note = None
    if entry.unit == "seconds":
        index = scan(path)
        first, stop = index.between(entry.start, entry.stop)
        if len(index) and entry.stop > index.seconds + _SPARE_S:
            note = f"it goes on to {entry.stop:g} s, but the video ends after {index.seconds:.2f} s"
    else:
        first, stop = int(entry.start), int(entry.stop)
        wanted = stop - first
        if numbers is not None:
            first, stop = bisect.bisect_left(numbers, first), bisect.bisect_left(numbers, stop)
        first, stop = max(0, first), min(stop, frames)
        if stop - first < wanted:
            note = f"of its {wanted} frames {wanted - max(0, stop - first)} are not there"
    if first < stop:
        return Window(first, stop, note=note)
    span = f"{entry.start:g} to {entry.stop:g}"
    message = f"no frame lies in {span} {entry.unit}, since the video has {frames} frames"
    return Window(first, first, message, is_checked=True)


def _checked(path: Path, entry: Entry, window: Window, frames: int, names: Sequence[str]) -> tuple[Window, str]:
    """Checks a window. Also returns why its frames must be counted in decoding order; empty if they need not."""
    if window.broken is not None:
        return window, ""
    is_whole = entry.start is None or (window.first, window.stop) == (0, frames)
    reason, note = examine(path, None if is_whole else (window.first, window.stop), names)
    return replace(window, broken=reason, is_checked=True), note


def _window_name(entry: Entry) -> str:
    if entry.start is None or entry.stop is None:
        return ""
    return f"{entry.start!r}-{entry.stop!r} {entry.unit}"


def _state(path: Path, names: Sequence[str]) -> State:
    """Number of files, size and modification time, for detecting changes; None if the clip does not exist.

    For a folder of images, these are the totals and the latest time of all its files, and the patterns of frames are added.
    """
    try:
        is_folder = path.is_dir()
        stats = [_stat(Path(entry.path)) for entry in os.scandir(path)] if is_folder else [path.stat()]
    except OSError:
        return None
    state = [len(stats), sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)]
    return [*state, *names] if is_folder else state


def _stat(file: Path) -> os.stat_result:
    """The state of a file. For a dangling link, the state of the link itself, since its folder still exists."""
    try:
        return file.stat()
    except OSError:
        return file.lstat()


def _remembered(entry: Any, state: State, windows: Mapping[str, Entry], checks: bool) -> FileInfo | None:
    """The result of an earlier probe; None if the file has changed, or if the entry is damaged or lacks requested results."""
    match entry:
        case {"state": list(then), "broken": str(reason), "is_checked": bool(is_checked)} if then == state:
            return FileInfo(0, "", reason, {}, is_checked) if is_checked or not checks else None
        # An entry without a note is from a version that always identified frames by their time stamps.
        case {"state": list(then), "frames": int(frames), "digest": str(digest), "note": str(note), "windows": dict(known)} if (
            then == state and frames >= 1
        ):
            try:
                found = {name: Window(*known[name]) for name in windows}
            except (KeyError, TypeError):
                return None
            if checks and not all(window.is_checked for window in found.values()):
                return None
            return FileInfo(frames, digest, None, found, note=note)
    return None


def _note(before: Any, state: State) -> str:
    """The note of an earlier probe or check, if the file is unchanged."""
    match before:
        case {"state": list(then), "note": str(note)} if then == state:
            return note
    return ""


def _with_verdicts(found: FileInfo, before: Any, state: State) -> FileInfo:
    """Adds to a probe the results of an earlier check of the unchanged file, for windows that were not checked now."""
    windows = dict(found.windows)
    for name, window in windows.items():
        match before:
            case {"state": list(then), "windows": {**known}} if then == state and not window.is_checked:
                match known.get(name):
                    case [int(first), int(stop), str() | None as broken, True, str() | None as note]:
                        windows[name] = Window(first, stop, broken, True, note)
    return replace(found, windows=windows)


def _entry(found: FileInfo, state: State, before: Any) -> dict[str, Any]:
    """The entry of a probe in the index; keeps the other windows that are known if the file is unchanged."""
    if found.broken is not None:
        return {"state": state, "broken": found.broken, "is_checked": found.is_checked}
    windows = {name: astuple(one) for name, one in found.windows.items()}
    match before:
        case {"state": then, "windows": dict(known)} if then == state:
            windows = known | windows
    return {"state": state, "frames": found.frames, "digest": found.digest, "note": found.note, "windows": windows}


def _read_index(index: Path) -> dict[str, Any]:
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_index(index: Path, known: Mapping[str, Any]) -> None:
    try:
        with replacing(index) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")
    except CannotWriteError as error:
        raise UserError(f"{error}; data.cache=FOLDER names another place for the cache") from None
