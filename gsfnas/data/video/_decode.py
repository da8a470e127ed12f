"""Decodes frames by index, from a video file (with PyAV) or a folder of images.

Shapes: K requested frames, H height, W width.
"""

import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gsfnas.data.video._convert import Converter
from gsfnas.data.video._frames import IMAGES, RGB, frame_files
from gsfnas.data.video._index import (
    DecodeError,
    FrameIndex,
    Scan,
    cut_short,
    open_video,
    read_packets,
    reason_of,
    recall,
    remember,
    scan,
    why_too_large,
)
from gsfnas.data.video._order import BACK_DECODED, UNSTAMPED
from gsfnas.data.video._pictures import Images, Prepare, peculiarity, read_picture

__all__ = [
    "IMAGES",
    "VIDEOS",
    "DecodeError",
    "FrameIndex",
    "Images",
    "Probe",
    "check",
    "decode",
    "examine",
    "frame_files",
    "probe",
    "scan",
]

VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
# If decoding from the key frame of a frame did not produce it, decoding starts this many seconds earlier.
_RUN_UP_S = 5
# The number of frames that a probe decodes if the frames may be stored in another order than shown.
_PROBED = 8


@dataclass(frozen=True)
class Probe:
    """The result of a probe: the number of frames, and a digest of the file's content, or of the images' names and sizes.

    ``note`` says why the frames are counted in decoding order; it is empty if they are not.
    """

    frames: int
    digest: str
    note: str = ""


def probe(path: Path, names: Sequence[str] = RGB) -> Probe:
    """Counts the frames of a clip and decodes only its first ones; ``names`` as for ``frame_files``. Raises DecodeError."""
    if path.is_dir():
        files = frame_files(path, names)
        if not files:
            raise DecodeError("it holds no images")
        listing = "\n".join([f"{file.name} {file.stat().st_size}" for file in files]) + peculiarity(files[0])
        return Probe(len(files), hashlib.sha256(listing.encode(errors="surrogatepass")).hexdigest()[:16])
    index = _probe_video(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return Probe(len(index), digest, index.note)


def decode(
    path: Path,
    indices: Sequence[int],
    index: FrameIndex | None = None,
    names: Sequence[str] = RGB,
    prepare: Prepare = lambda image: image,
) -> Images:
    """Decodes the frames at ``indices``, which must be nondecreasing: (K, H, W, 3) uint8, RGB, resized to the first one's size.

    In a video, a damaged or missing frame is replaced by the last one decoded before it, otherwise by the next one after it.
    Passing the ``index`` of a video, if known, saves reading the whole file; ``names`` as for ``frame_files``. ``prepare`` is
    applied to each frame as soon as it is decoded, so that only one large frame is in memory. Raises DecodeError if no frame
    can be decoded, and for an unreadable image.
    """
    if path.is_dir():
        files = frame_files(path, names)
        if not files:
            raise DecodeError("it holds no images")
        return _read_images([files[min(number, len(files) - 1)] for number in indices], prepare)
    return _decode_video(path, indices, index, prepare)


def check(path: Path, window: tuple[int, int] | None = None, names: Sequence[str] = RGB) -> str | None:
    """Why a clip, or its frames [first, stop), cannot be decoded, in one line; None if all of it can be decoded."""
    return examine(path, window, names)[0]


def examine(path: Path, window: tuple[int, int] | None = None, names: Sequence[str] = RGB) -> tuple[str | None, str]:
    """The result of ``check``, and why the frames are counted in decoding order; empty if they are not."""
    try:
        return (_check_images(path, window, names), "") if path.is_dir() else _check_video(path, window)
    except DecodeError as error:
        return str(error), ""
    except OSError as error:
        return f"it cannot be read ({reason_of(error)})", ""


def _read_images(files: Sequence[Path], prepare: Prepare) -> Images:
    images: list[Images] = []
    size: tuple[int, int] | None = None
    for file in files:
        image = read_picture(file)
        size = size or image.shape[:2]
        images.append(prepare(image if image.shape[:2] == size else _resized(image, size)))
    return np.stack(images)


def _resized(image: Images, size: tuple[int, int]) -> Images:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size[::-1]))


class _Source:
    """Provides the packets of a video from any key frame on: from memory if they were kept, otherwise from the file.

    ``scan`` is the result of reading all packets; None if the index was known already. With ``afresh``, an index remembered by
    this process is not used.
    """

    def __init__(self, path: Path, index: FrameIndex | None, *, afresh: bool = False) -> None:
        self._path = path
        self._open()
        # Only in these containers are time stamps independent of where reading starts.
        self._seeks = not {"matroska", "mov"}.isdisjoint(self.container.format.name.split(","))
        self.scan: Scan | None = None
        self._packets: list[Any] | None = None
        if index is None and not afresh:
            index = recall(path)
        if index is None:
            self.scan = read_packets(path, self.container, self.stream)
            index, self._packets = self.scan.index, self.scan.packets
            if self._packets is None:
                remember(path, index)
                self.container.close()
                self._open()
        self.index = index

    def _open(self) -> None:
        self.container, self.stream = open_video(self._path)
        self._rest = self._read()

    def _read(self) -> Iterator[Any]:
        return (packet for packet in self.container.demux(self.stream) if packet.size)

    def __enter__(self) -> "_Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def take_in_order(self, note: str) -> None:
        """Counts frames in decoding order from now on, also if this process opens the file again; ``note`` says why."""
        self.index = self.index.in_order(note)
        remember(self._path, self.index)
        self.restart()

    def restart(self) -> None:
        """Goes back to the start of the file, and reads it without seeking from now on."""
        self._seeks = False
        if self._packets is None:
            self.container.close()
            self._open()

    def packets_from(self, key: int | None) -> Iterator[Any]:
        """Yields the packets from key frame ``key`` on, or from the start, then None. Successive calls need increasing keys."""
        import av

        self.stream.codec_context.flush_buffers()
        packets = self._rest if self._packets is None else iter(self._packets)
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            if key is not None and key != self.index.keys[0]:
                if self._packets is None and self._seeks:
                    self.container.seek(key, stream=self.stream, backward=True)
                    packets = self._read()
                else:
                    packets = itertools.dropwhile(lambda packet: not packet.is_keyframe or packet.pts != key, packets)
            yield from packets
        yield None


class _OutOfOrderError(Exception):
    """Decoded frames cannot be identified by their time stamps; the message says why."""


def _frames(
    source: _Source,
    key: int | None,
    wanted: set[int] | None = None,
    errors: list[tuple[int | None, str]] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yields (time stamp, decoded frame); damaged packets are skipped.

    If frames are ``counted``, the time stamp is that of the index for the frame's number, not the decoder's. With ``wanted``
    time stamps, frames that no other frame refers to may be skipped unless they are wanted. ``errors`` collects (time stamp of
    the packet, message). Raises _OutOfOrderError if time stamps are missing, repeat or go back although nothing is skipped or
    damaged.
    """
    import av

    codec = source.stream.codec_context
    codec.skip_frame = "DEFAULT"
    stamps = source.index.stamps
    number, latest = 0, None
    is_watched = wanted is None and not source.index.note
    for packet in source.packets_from(key):
        stamp = None if packet is None else packet.pts
        if wanted is not None and stamp is not None:
            codec.skip_frame = "DEFAULT" if stamp in wanted else "NONREF"
        if packet is not None and packet.is_corrupt:
            is_watched = False
            if errors is not None:
                errors.append((stamp, "its data ends early"))
        try:
            frames = codec.decode(packet)
        except (av.FFmpegError, EOFError, ValueError) as error:
            is_watched = False
            if errors is not None:
                errors.append((stamp, reason_of(error)))
            continue
        for frame in frames:
            is_watched = is_watched and not frame.is_corrupt
            if is_watched and (frame.pts is None or (latest is not None and frame.pts <= latest)):
                raise _OutOfOrderError(UNSTAMPED if frame.pts is None else BACK_DECODED)
            latest = frame.pts
            place = frame.pts
            if source.index.counted:
                place = int(stamps[number]) if number < len(stamps) else None
                number += 1
            if place is not None:
                yield place, frame


def _probe_video(path: Path) -> FrameIndex:
    with _Source(path, None) as source:
        if source.stream.codec_context.has_b_frames:
            try:
                for _ in itertools.islice(_frames(source, None), _PROBED):
                    pass
                source.restart()
            except _OutOfOrderError as error:
                source.take_in_order(str(error))
        _pick(source, [0], lambda image: image)
        return source.index


def _decode_video(path: Path, indices: Sequence[int], index: FrameIndex | None, prepare: Prepare) -> Images:
    with _Source(path, index) as source:
        images = _pick(source, indices, prepare)
        last = len(source.index) - 1
    return np.stack([images[min(index, last)] for index in indices])


def _pick(source: _Source, indices: Sequence[int], prepare: Prepare) -> dict[int, Images]:
    """Decodes the frames at ``indices``, number -> frame; an index past the end gives the last frame.

    Raises DecodeError if none can be decoded.
    """
    numbers = sorted({min(index, len(source.index) - 1) for index in indices})
    try:
        images, exact = _run(source, numbers, prepare, careful=False)
        if not exact and not source.index.counted:
            # The file is damaged or has an unusual structure: seeking and skipping may have lost a wanted frame.
            source.restart()
            images, _ = _run(source, numbers, prepare, careful=True)
    except _OutOfOrderError as error:
        source.take_in_order(str(error))
        images, _ = _run(source, numbers, prepare, careful=False)
    if not images:
        reason = why_too_large(source.stream.width, source.stream.height)
        raise DecodeError("no frame of it can be decoded" + (f": it {reason}" if reason is not None else ""))
    return images


def _run(source: _Source, numbers: Sequence[int], prepare: Prepare, *, careful: bool) -> tuple[dict[int, Images], bool]:
    """Decodes frames by their increasing numbers; packets before the key frame of the next wanted frame are skipped.

    Also returns whether every frame was found. A frame that was not is replaced by the last one before it, otherwise by the
    next one after it. ``careful`` starts ``_RUN_UP_S`` seconds earlier, and decodes every frame from there on.
    """
    index = source.index
    remaining = deque((int(index.stamps[number]), number) for number in numbers if number >= 0)
    wanted = None if careful or index.counted else {stamp for stamp, _ in remaining}
    run_up = int(_RUN_UP_S / index.time_base) if careful else 0
    image = Converter(prepare)
    images: dict[int, Images] = {}
    exact = True
    last: tuple[int, Any] | None = None
    while remaining:
        key = index.key_before(remaining[0][0] - run_up)
        for stamp, frame in _frames(source, key, wanted):
            while remaining and remaining[0][0] <= stamp:
                due, number = remaining.popleft()
                exact &= due == stamp
                images[number] = image(frame if due == stamp or last is None else last[1])
            if last is None or stamp > last[0]:
                last = stamp, frame
            if not remaining:
                break
            ahead = index.key_before(remaining[0][0] - run_up)
            if ahead is not None and ahead != key and ahead > stamp:
                break
        else:
            break
    if remaining and last is not None:
        images.update({number: image(last[1]) for _, number in remaining})
    return images, exact and not remaining


def _check_images(path: Path, window: tuple[int, int] | None, names: Sequence[str]) -> str | None:
    files = frame_files(path, names)
    if not files:
        return "it holds no images"
    first, stop = window or (0, len(files))
    if not 0 <= first < stop <= len(files):
        return _outside(len(files), first, stop)
    for file in files[first:stop]:
        read_picture(file)
    return None


def _check_video(path: Path, window: tuple[int, int] | None) -> tuple[str | None, str]:
    with _Source(path, None if window is None else scan(path), afresh=True) as source:
        try:
            message = _wrong(path, source, window)
        except _OutOfOrderError as error:
            source.take_in_order(str(error))
            message = _wrong(path, source, window)
        return message, source.index.note


def _wrong(path: Path, source: _Source, window: tuple[int, int] | None) -> str | None:
    index = source.index
    first, stop = window or (0, len(index))
    if not len(index):
        return "it holds no frames"
    if not 0 <= first < stop <= len(index):
        return _outside(len(index), first, stop)
    if source.scan is not None and (short := cut_short(path, source.container, source.stream, source.scan)) is not None:
        return short
    message = _damage(source, first, stop)
    if window is None or message is None:
        return message
    source.restart()
    return _damage(source, first, stop, int(_RUN_UP_S / index.time_base))


def _damage(source: _Source, first: int, stop: int, run_up: int = 0) -> str | None:
    """What is wrong with frames [first, stop), or None; also decodes the frames up to ``run_up`` ticks before and after."""
    index = source.index
    stamps: list[int] = index.stamps[first:stop].tolist()
    key = index.key_before(stamps[0] - run_up)
    missing = set(stamps)
    errors: list[tuple[int | None, str]] = []
    for stamp, frame in _frames(source, key, errors=errors):
        missing.discard(stamp)
        if frame.is_corrupt:
            errors.append((stamp, "a frame is marked as damaged"))
        # In a damaged file, the decoder may output a frame after later ones.
        if stop < len(index) and (not missing or stamp > stamps[-1] + run_up):
            break
    # Ignore errors before the key frame: frames stored after it but shown before it may refer to frames that were not decoded,
    # and no frame of the clip needs them.
    start = None if first == 0 else key
    errors = [(stamp, text) for stamp, text in errors if stamp is None or start is None or stamp >= start]
    if errors:
        place, text = errors[0]
        where = "" if place is None or index.counted else f", frame {int(np.searchsorted(index.stamps, place))}"
        return f"{len(errors)} of its packets cannot be decoded ({text}{where})"
    if missing:
        lost = int(np.searchsorted(index.stamps, min(missing)))
        return f"{len(missing)} of {stop - first} frames do not come out, the first of them frame {lost}"
    return None


def _outside(num_frames: int, first: int, stop: int) -> str:
    return f"it has {num_frames} frames, which do not hold [{first}, {stop})"
