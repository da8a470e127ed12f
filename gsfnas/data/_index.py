"""Which frames a video file holds: the stamps of its packets, read without decoding any."""

import math
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gsfnas.files import replacing

Stamps = npt.NDArray[np.int64]

# Containers, by FFmpeg's names. Without such a list a text file that names others, a playlist for instance, would open them.
_FORMATS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg"
# A damaged header can promise any size; a frame of this many pixels takes 200 MB.
_MAX_PIXELS = 8192 * 8192
# Packets of a file up to this size stay in memory between the look at their stamps and the decoding.
_KEEP_BYTES = 32 << 20
# No packet is stored more than once, so that a damaged table whose packets overlap ends here.
_MAX_GROWTH = 8
_NUM_REMEMBERED = 32
# FFmpeg's AV_DISPOSITION_ATTACHED_PIC.
_COVER = 0x400

_remembered: "OrderedDict[tuple[str, int, int], FrameIndex]" = OrderedDict()
_lock = threading.Lock()


class DecodeError(Exception):
    """A clip that cannot be decoded; the text says why, without naming the file."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a video file in the order shown.

    ``stamps`` (frames,) int64 rise, in units of ``time_base`` seconds; ``keys`` (key frames,) are those that decoding can start
    at. Where the packets carry no stamps of their own, ``counted``, they are numbers of frames at the average rate, and a
    frame can be found only by decoding all before it.
    """

    stamps: Stamps
    keys: Stamps
    time_base: Fraction
    counted: bool = False

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def seconds(self) -> float:
        """When the last frame is shown, after the first one."""
        return float((int(self.stamps[-1]) - int(self.stamps[0])) * self.time_base) if len(self) else 0.0

    def between(self, start_s: float, stop_s: float) -> tuple[int, int]:
        """Numbers [first, stop) of the frames whose time after the first one's lies in [start_s, stop_s).

        Stamps are rounded to the file's ticks, so half a tick, or half a millisecond where that is less, makes no
        difference: frame 1 at 12 a second is at 0.083 s in a WebM file, and lies in [1/12, 2/12).
        """
        first, stop = (self._number_at(seconds) for seconds in (start_s, stop_s))
        return first, max(first, stop)

    def key_before(self, stamp: int) -> int | None:
        """The last key frame that is not shown after ``stamp``, or else the first one; None where there is none at all."""
        if not len(self.keys):
            return None
        return int(self.keys[max(0, int(np.searchsorted(self.keys, stamp, side="right")) - 1)])

    def _number_at(self, seconds: float) -> int:
        if not len(self) or math.isinf(seconds):
            return len(self) if seconds > 0 else 0
        slack = min(self.time_base / 2, Fraction(1, 2000))
        ticks = math.ceil((Fraction(seconds) - slack) / self.time_base)
        # Python's numbers do not overflow where those of numpy would.
        span = int(self.stamps[-1]) - int(self.stamps[0])
        return int(np.searchsorted(self.stamps, int(self.stamps[0]) + max(-1, min(ticks, span + 1)), side="left"))


@dataclass(frozen=True)
class Scan:
    """``packets`` are all of the stream's in the order stored, None where they are too large to keep.

    ``num_stored`` counts frames that are not shown, too; ``end`` is what stopped the reading before the file's end.
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
    """What ``remember`` was given for the file as it is now."""
    key = _key(path)
    with _lock:
        if key in _remembered:
            _remembered.move_to_end(key)
        return _remembered.get(key)


def remember(path: Path, index: FrameIndex) -> None:
    """Keeps the index for the windows of a long file; the ones that were not used for longest are dropped."""
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
        np.savez(stream, stamps=index.stamps, keys=index.keys, base=base)


def load(file: Path) -> FrameIndex | None:
    """What ``save`` kept, read once; None where there is nothing, or it is damaged."""
    try:
        return _read(file)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, ZeroDivisionError):
        return None


@lru_cache(maxsize=_NUM_REMEMBERED)
def _read(file: Path) -> FrameIndex:
    with np.load(file) as kept:
        over, under, counted = kept["base"].tolist()
        return FrameIndex(kept["stamps"], kept["keys"], Fraction(over, under), bool(counted))


def _key(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise DecodeError(f"it cannot be opened ({(error.strerror or str(error)).lower()})") from None
    return str(path), stat.st_size, stat.st_mtime_ns


def open_video(path: Path) -> tuple[Any, Any]:
    """The container and its first video stream. Raises DecodeError."""
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
        raise DecodeError(f"it cannot be opened ({said(error)})") from None
    # The cover of a piece of music counts as a video stream of one picture.
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams or streams[0].codec_context is None:
        container.close()
        raise DecodeError("it has no video stream" if not streams else "its codec is unknown")
    codec = streams[0].codec_context
    codec.options = {"max_pixels": str(_MAX_PIXELS)}
    # Clips are decoded beside each other, and on small frames a decoder's own threads take longer than they save.
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
    is_vp8 = stream.codec_context.name == "vp8"
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
            if packet.is_discard or (is_vp8 and not memoryview(packet)[0] & 0x10):
                continue
            stamps.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
    except (av.FFmpegError, OSError, ValueError) as error:
        end = said(error)
    return Scan(_index(stamps, keys, stream), kept, num_stored, end)


def _index(stamps: list[int | None], keys: list[int], stream: Any) -> FrameIndex:
    known = sorted({stamp for stamp in stamps if stamp is not None})
    # AVI stores none. FFmpeg works them out from the order of the frames, which it knows for older codecs only.
    is_guessed = stream.container.format.name == "avi" and stream.codec_context.name in ("h264", "hevc")
    if len(known) == len(stamps) and stream.time_base and not is_guessed:
        return FrameIndex(np.array(known, np.int64), np.array(sorted(keys), np.int64), Fraction(stream.time_base))
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    return FrameIndex(np.arange(len(stamps)), np.zeros(0, np.int64), 1 / rate, counted=True)


def said(error: Exception) -> str:
    """What FFmpeg or the system says, without the file's name."""
    return str(getattr(error, "strerror", None) or error).lower()
