"""Indexes the frames of a video file by the time stamps of its packets, without decoding."""

import math
import os
import stat
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gsfnas.data.video._order import AVI, MISSING, REPEATED, Kind, kinds_of, why_in_order
from gsfnas.files import replacing

Stamps = npt.NDArray[np.int64]

# The allowed containers, by FFmpeg's names. Without this list, a text file such as a playlist could open other files.
_FORMATS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg"
# A damaged header can state any size; a frame or picture of this many pixels takes 200 MB.
_MAX_PIXELS = 8192 * 8192
# Maximum aspect ratio: enlarging the short side of a very long picture would need too much memory.
_MAX_RATIO = 100
# Packets of up to this size in total are kept in memory after indexing, so that decoding need not read them again.
_KEEP_BYTES = 32 << 20
# If the packets are larger in total than this many times the file, its packet table is damaged and they overlap.
_MAX_GROWTH = 8
_NUM_REMEMBERED = 32
# FFmpeg's AV_DISPOSITION_ATTACHED_PIC.
_COVER = 0x400

_remembered: "OrderedDict[tuple[str, int, int], FrameIndex]" = OrderedDict()
_lock = threading.Lock()
_loading = threading.Lock()


class DecodeError(Exception):
    """A clip that cannot be decoded; the message says why, without naming the file."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a video file in the order shown.

    ``stamps`` (frames,) int64 are the increasing time stamps, in units of ``time_base`` seconds; ``keys`` (key frames,) are the
    time stamps at which decoding can start.

    ``counted`` is true if decoded frames cannot be identified by their time stamps. They are then counted in decoding order, so
    that reading a frame means decoding all frames before it. ``note`` says why; it is empty if the time stamps are only likely
    to be wrong. A file without time stamps gets those of its average frame rate.
    """

    stamps: Stamps
    keys: Stamps
    time_base: Fraction
    counted: bool = False
    note: str = ""

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def seconds(self) -> float:
        """Time from the first frame to the last, in seconds."""
        return float((int(self.stamps[-1]) - int(self.stamps[0])) * self.time_base) if len(self) else 0.0

    def between(self, start_s: float, stop_s: float) -> tuple[int, int]:
        """Frame numbers [first, stop) of the frames in [start_s, stop_s) seconds after the first frame.

        Time stamps are rounded to the file's time base. So times are compared with a tolerance of half a tick, but at most half
        a millisecond: at 12 frames per second, frame 1 of a WebM file is at 0.083 s, and counts as inside [1/12, 2/12).
        """
        first, stop = (self._number_at(seconds) for seconds in (start_s, stop_s))
        return first, max(first, stop)

    def key_before(self, stamp: int) -> int | None:
        """The last key frame at or before ``stamp``, otherwise the first key frame; None if there is no key frame."""
        if not len(self.keys):
            return None
        return int(self.keys[max(0, int(np.searchsorted(self.keys, stamp, side="right")) - 1)])

    def in_order(self, note: str) -> "FrameIndex":
        """The same frames, but counted in decoding order; ``note`` says why."""
        return replace(self, keys=self.keys[:0], counted=True, note=note)

    def _number_at(self, seconds: float) -> int:
        if not len(self) or math.isinf(seconds):
            return len(self) if seconds > 0 else 0
        slack = min(self.time_base / 2, Fraction(1, 2000))
        ticks = math.ceil((Fraction(seconds) - slack) / self.time_base)
        # Python's integers do not overflow, unlike those of NumPy.
        span = int(self.stamps[-1]) - int(self.stamps[0])
        return int(np.searchsorted(self.stamps, int(self.stamps[0]) + max(-1, min(ticks, span + 1)), side="left"))


@dataclass(frozen=True)
class Scan:
    """The result of reading all packets of a stream.

    ``packets`` are in the order stored; None if they are too large to keep. ``num_stored`` includes frames that are not shown;
    ``end`` says why reading stopped before the end of the file, if it did.
    """

    index: FrameIndex
    packets: list[Any] | None
    num_stored: int
    end: str | None


def scan(path: Path) -> FrameIndex:
    """The index of a video file, from memory if the file has not changed since. Raises DecodeError."""
    index = recall(path)
    if index is None:
        container, stream = open_video(path)
        with container:
            index = read_packets(path, container, stream).index
        remember(path, index)
    return index


def recall(path: Path) -> FrameIndex | None:
    """The index that ``remember`` stored for the file; None if there is none or the file has changed since."""
    key = _key(path)
    with _lock:
        if key in _remembered:
            _remembered.move_to_end(key)
        return _remembered.get(key)


def remember(path: Path, index: FrameIndex) -> None:
    """Keeps the index in memory for other windows of the same file, in a cache of the most recently used files."""
    key = _key(path)
    with _lock:
        _remembered[key] = index
        _remembered.move_to_end(key)
        while len(_remembered) > _NUM_REMEMBERED:
            _remembered.popitem(last=False)


def save(index: FrameIndex, file: Path) -> None:
    """Writes an index to a file, for other processes. Raises CannotWriteError."""
    with replacing(file) as temporary, temporary.open("wb") as stream:
        base = np.array([index.time_base.numerator, index.time_base.denominator, index.counted], np.int64)
        np.savez(stream, stamps=index.stamps, keys=index.keys, base=base, note=np.array(index.note))


def load(file: Path) -> FrameIndex | None:
    """Loads an index written by ``save``, and keeps it in memory; None if the file is missing or damaged."""
    try:
        # One thread at a time: NumPy parses headers with ``ast``, whose recursion depth Python 3.11 counts over all threads, so
        # that two calls at once sometimes raise SystemError.
        with _loading:
            return _read(file)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, ZeroDivisionError):
        return None


@lru_cache(maxsize=_NUM_REMEMBERED)
def _read(file: Path) -> FrameIndex:
    with np.load(file) as kept:
        over, under, counted = kept["base"].tolist()
        note = str(kept["note"]) if "note" in kept else ""
        return FrameIndex(kept["stamps"], kept["keys"], Fraction(over, under), bool(counted), note)


def _key(path: Path) -> tuple[str, int, int]:
    state = _stat(path)
    return str(path), state.st_size, state.st_mtime_ns


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise DecodeError(f"it cannot be opened ({reason_of(error)})") from None


def why_too_large(width: int, height: int) -> str | None:
    """Why pictures of this size are not decoded; None if they are."""
    if width * height > _MAX_PIXELS:
        return f"has {width} x {height} pixels; more than {_MAX_PIXELS:,} are not decoded"
    if max(width, height) > _MAX_RATIO * min(width, height):
        return f"has {width} x {height} pixels; more than {_MAX_RATIO} to 1 are not decoded"
    return None


def open_video(path: Path) -> tuple[Any, Any]:
    """Opens a video file: returns the container and its first video stream. Raises DecodeError."""
    # Opening a pipe would block until something writes to it.
    if not stat.S_ISREG(_stat(path).st_mode):
        raise DecodeError("it is not a regular file")
    import av

    try:
        # "file:", since FFmpeg takes a name with a colon for a URL. No ``options`` for the streams: with them, PyAV up to 17
        # crashes on files whose streams are found late, such as MPEG program streams.
        container = av.open(
            f"file:{path}",
            metadata_errors="ignore",
            container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(f"it cannot be opened ({reason_of(error)})") from None
    # The cover picture of a music file is stored as a video stream with one picture.
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams or streams[0].codec_context is None:
        container.close()
        raise DecodeError("it has no video stream" if not streams else "its codec is unknown")
    codec = streams[0].codec_context
    codec.options = {"max_pixels": str(_MAX_PIXELS)}
    # Clips are decoded in parallel already, and for small frames the decoder's threads cost more than they save.
    codec.thread_type, codec.thread_count = "NONE", 1
    return container, streams[0]


def _is_cover(stream: Any) -> bool:
    # PyAV 14 lacks ``disposition``, and in later versions it is a flag and not an integer.
    disposition = getattr(stream, "disposition", 0)
    return bool(getattr(disposition, "value", disposition) & _COVER)


def read_packets(path: Path, container: Any, stream: Any) -> Scan:
    """Reads all packets of the stream, up to the first error."""
    import av

    stamps: list[int | None] = []
    keys: list[int] = []
    kept: list[Any] | None = []
    num_bytes, num_stored, end = 0, 0, None
    most = _MAX_GROWTH * path.stat().st_size
    codec = stream.codec_context.name
    kinds: set[Kind] = set()
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            num_bytes += packet.size
            if num_bytes > most:
                end = "its packets overlap"
                break
            if kept is not None:
                kept.append(packet)
                if num_bytes > _KEEP_BYTES:
                    kept = None
            num_stored += 1
            # Skip frames that are not shown: those cut off by an edit list, and hidden reference pictures of VP8.
            if packet.is_discard or (codec == "vp8" and not memoryview(packet)[0] & 0x10):
                continue
            stamps.append(packet.pts)
            kinds.update(kinds_of(packet, stream.codec_context, kinds))
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
    except (av.FFmpegError, OSError, ValueError) as error:
        end = reason_of(error)
    index = _index(stamps, keys, stream)
    if not index.counted and (note := why_in_order(stamps, stream.codec_context, kinds)) is not None:
        index = index.in_order(note)
    return Scan(index, kept, num_stored, end)


def _index(stamps: list[int | None], keys: list[int], stream: Any) -> FrameIndex:
    known = sorted({stamp for stamp in stamps if stamp is not None})
    # AVI stores no time stamps. FFmpeg derives them from the order of the frames, which it knows only for older codecs.
    if stream.container.format.name == "avi" and stream.codec_context.name in ("h264", "hevc"):
        note = AVI
    elif len(known) == len(stamps) and stream.time_base:
        return FrameIndex(np.array(known, np.int64), np.array(sorted(keys), np.int64), Fraction(stream.time_base))
    else:
        note = MISSING if None in stamps else REPEATED
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    return FrameIndex(np.arange(len(stamps)), np.zeros(0, np.int64), 1 / rate, counted=True, note=note)


def cut_short(path: Path, container: Any, stream: Any, seen: Scan) -> str | None:
    """Why a file holds less than its header states; None if it is complete."""
    if seen.end is not None:
        return f"reading ends after {seen.num_stored} frames ({seen.end})"
    names = container.format.name.split(",")
    promised = stream.frames
    # Containers other than MP4 also count frames that are not stored because they repeat the previous one.
    spare = 0 if "mp4" in names else 1 + promised // 50
    if seen.num_stored < promised - spare:
        return f"it holds {seen.num_stored} of {promised} frames"
    index = seen.index
    if "matroska" not in names or not container.duration:
        return None
    import av

    whole, _ = open_video(path)
    stop = 0.0
    with whole:
        try:
            for packet in whole.demux():
                if packet.pts is not None and packet.time_base:
                    stop = max(stop, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        except (av.FFmpegError, OSError, ValueError) as error:
            return f"reading ends after {stop:.1f} s ({reason_of(error)})"
    span = float((int(index.stamps[-1]) - int(index.stamps[0])) * index.time_base)
    promised_s = container.duration / 1e6
    if stop and stop < promised_s - max(0.1, 2.5 * span / max(1, len(index) - 1)):
        return f"it ends after {stop:.1f} of {promised_s:.1f} s"
    return None


def reason_of(error: Exception) -> str:
    """The message of FFmpeg or the operating system, without the file name."""
    return str(getattr(error, "strerror", None) or error).lower()
