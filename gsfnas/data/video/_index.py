"""Which frames a video file holds: the stamps of its packets, read without decoding any."""

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

# Containers, by FFmpeg's names. Without such a list a text file that names others, a playlist for instance, would open them.
_FORMATS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg"
# A damaged header can promise any size; a frame or picture of this many pixels takes 200 MB.
_MAX_PIXELS = 8192 * 8192
# Resizing the short side of a very long picture up would need too much memory.
_MAX_RATIO = 100
# Packets of a file up to this size stay in memory between the reading of their stamps and the decoding.
_KEEP_BYTES = 32 << 20
# Packets larger in sum than this many times the file come from a damaged table in which they overlap.
_MAX_GROWTH = 8
_NUM_REMEMBERED = 32
# FFmpeg's AV_DISPOSITION_ATTACHED_PIC.
_COVER = 0x400

_remembered: "OrderedDict[tuple[str, int, int], FrameIndex]" = OrderedDict()
_lock = threading.Lock()
_loading = threading.Lock()


class DecodeError(Exception):
    """A clip that cannot be decoded; the text says why, without naming the file."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a video file in the order shown.

    ``stamps`` (frames,) int64 rise, in units of ``time_base`` seconds; at ``keys`` (key frames,) decoding can start. Where
    decoded frames cannot be identified by their stamps, ``counted`` is true: they are taken in the order in which they are
    decoded, so that finding one takes decoding all before it, and ``note`` says why. Where the stamps are only likely to be
    wrong, ``note`` is empty. A file without stamps gets those of its average rate.
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
        """Time from the first frame to the last."""
        return float((int(self.stamps[-1]) - int(self.stamps[0])) * self.time_base) if len(self) else 0.0

    def between(self, start_s: float, stop_s: float) -> tuple[int, int]:
        """Numbers [first, stop) of the frames whose time after the first one's lies in [start_s, stop_s).

        Stamps are rounded to the file's ticks, so half a tick, or half a millisecond where that is less, makes no
        difference: frame 1 at 12 a second is at 0.083 s in a WebM file, and lies in [1/12, 2/12).
        """
        first, stop = (self._number_at(seconds) for seconds in (start_s, stop_s))
        return first, max(first, stop)

    def key_before(self, stamp: int) -> int | None:
        """The last key frame at or before ``stamp``, or else the first one; None where there is none at all."""
        if not len(self.keys):
            return None
        return int(self.keys[max(0, int(np.searchsorted(self.keys, stamp, side="right")) - 1)])

    def in_order(self, note: str) -> "FrameIndex":
        """The same frames, taken in the order in which they are decoded."""
        return replace(self, keys=self.keys[:0], counted=True, note=note)

    def _number_at(self, seconds: float) -> int:
        if not len(self) or math.isinf(seconds):
            return len(self) if seconds > 0 else 0
        slack = min(self.time_base / 2, Fraction(1, 2000))
        ticks = math.ceil((Fraction(seconds) - slack) / self.time_base)
        # Python's integers do not overflow, NumPy's do.
        span = int(self.stamps[-1]) - int(self.stamps[0])
        return int(np.searchsorted(self.stamps, int(self.stamps[0]) + max(-1, min(ticks, span + 1)), side="left"))


@dataclass(frozen=True)
class Scan:
    """All ``packets`` of the stream in the order stored; None where they are too large to keep.

    ``num_stored`` includes frames that are not shown; ``end`` says what stopped the reading before the end of the file.
    """

    index: FrameIndex
    packets: list[Any] | None
    num_stored: int
    end: str | None


def scan(path: Path) -> FrameIndex:
    """The index of a video file, from memory where the file has not changed since. Raises DecodeError."""
    index = recall(path)
    if index is None:
        container, stream = open_video(path)
        with container:
            index = read_packets(path, container, stream).index
        remember(path, index)
    return index


def recall(path: Path) -> FrameIndex | None:
    """The index that ``remember`` got for the file; None where it has changed since."""
    key = _key(path)
    with _lock:
        if key in _remembered:
            _remembered.move_to_end(key)
        return _remembered.get(key)


def remember(path: Path, index: FrameIndex) -> None:
    """Keeps the index in memory for other windows of the same file; the least recently used are dropped."""
    key = _key(path)
    with _lock:
        _remembered[key] = index
        _remembered.move_to_end(key)
        while len(_remembered) > _NUM_REMEMBERED:
            _remembered.popitem(last=False)


def save(index: FrameIndex, file: Path) -> None:
    """Keeps an index for other processes. Raises CannotWriteError."""
    with replacing(file) as temporary, temporary.open("wb") as stream:
        base = np.array([index.time_base.numerator, index.time_base.denominator, index.counted], np.int64)
        np.savez(stream, stamps=index.stamps, keys=index.keys, base=base, note=np.array(index.note))


def load(file: Path) -> FrameIndex | None:
    """An index that ``save`` wrote, kept in memory; None where the file is missing or damaged."""
    try:
        # One thread at a time: NumPy parses headers with ``ast``, and Python 3.11 counts its recursion depth over all threads,
        # so that two at once sometimes raise SystemError.
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
    """Why pictures of this size are not decoded."""
    if width * height > _MAX_PIXELS:
        return f"has {width} x {height} pixels; more than {_MAX_PIXELS:,} are not decoded"
    if max(width, height) > _MAX_RATIO * min(width, height):
        return f"has {width} x {height} pixels; more than {_MAX_RATIO} to 1 are not decoded"
    return None


def open_video(path: Path) -> tuple[Any, Any]:
    """The container and its first video stream. Raises DecodeError."""
    # Opening a pipe would wait for somebody who writes to it.
    if not stat.S_ISREG(_stat(path).st_mode):
        raise DecodeError("it is not a regular file")
    import av

    try:
        # "file:", for a name with a colon in it would count as an address. With ``options`` for the streams, PyAV to 17
        # crashes on files whose streams are found late, MPEG program streams for instance.
        container = av.open(
            f"file:{path}",
            metadata_errors="ignore",
            container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(f"it cannot be opened ({reason_of(error)})") from None
    # The cover picture of a music file is a video stream of one picture.
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams or streams[0].codec_context is None:
        container.close()
        raise DecodeError("it has no video stream" if not streams else "its codec is unknown")
    codec = streams[0].codec_context
    codec.options = {"max_pixels": str(_MAX_PIXELS)}
    # Clips are decoded in parallel, and for small frames a decoder's own threads cost more than they save.
    codec.thread_type, codec.thread_count = "NONE", 1
    return container, streams[0]


def _is_cover(stream: Any) -> bool:
    # PyAV 14 does not know it, and later ones give a flag that is no integer.
    disposition = getattr(stream, "disposition", 0)
    return bool(getattr(disposition, "value", disposition) & _COVER)


def read_packets(path: Path, container: Any, stream: Any) -> Scan:
    """All packets of the stream, as far as the file goes."""
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
            # An edit list cuts frames off; VP8 stores pictures that others refer to and that are not shown.
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
    # AVI stores none. FFmpeg works them out from the order of the frames, which it knows for older codecs only.
    if stream.container.format.name == "avi" and stream.codec_context.name in ("h264", "hevc"):
        note = AVI
    elif len(known) == len(stamps) and stream.time_base:
        return FrameIndex(np.array(known, np.int64), np.array(sorted(keys), np.int64), Fraction(stream.time_base))
    else:
        note = MISSING if None in stamps else REPEATED
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    return FrameIndex(np.arange(len(stamps)), np.zeros(0, np.int64), 1 / rate, counted=True, note=note)


def cut_short(path: Path, container: Any, stream: Any, seen: Scan) -> str | None:
    """Why a file holds less than its header promises; None where it is complete."""
    if seen.end is not None:
        return f"reading ends after {seen.num_stored} frames ({seen.end})"
    names = container.format.name.split(",")
    promised = stream.frames
    # Other containers count frames that are not stored, too, for they repeat the one before.
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
    """The message of FFmpeg or of the system, without the file's name."""
    return str(getattr(error, "strerror", None) or error).lower()
