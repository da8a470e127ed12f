"""Frames of a video file, through PyAV, or of a folder of images, by their index.

Shapes: K frames asked for, H height, W width.
"""

import bisect
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
IMAGES = (".jpeg", ".jpg", ".png")

Images = npt.NDArray[np.uint8]


class DecodeError(Exception):
    """A clip that cannot be decoded; the text says why, without naming the file."""


@dataclass(frozen=True)
class Probe:
    """What a quick look at a clip says: its number of frames, and a digest of its content (of names and sizes for images)."""

    frames: int
    digest: str


def frame_files(folder: Path) -> list[Path]:
    """The images in a folder in the order of the numbers in their names (``img_2.jpg`` before ``img_10.jpg``)."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not path.name.startswith(".")]
    return sorted(files, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)])


def probe(path: Path) -> Probe:
    """A look at a clip that decodes its first frame only. Raises DecodeError where there is none."""
    if path.is_dir():
        files = frame_files(path)
        if not files:
            raise DecodeError("it holds no images")
        _read_images(files[:1])
        listing = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
        return Probe(len(files), hashlib.sha256(listing.encode()).hexdigest()[:16])
    _decode_video(path, [0])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return Probe(_count_frames(path), digest)


def decode(path: Path, indices: Sequence[int]) -> Images:
    """The frames at ``indices``, which never fall: (K, H, W, 3) uint8, RGB, all of the first one's size.

    A frame that is damaged or missing is replaced by the nearest one that was decoded before it, or else after it. Raises
    DecodeError where none can be decoded.
    """
    if path.is_dir():
        files = frame_files(path)
        return _read_images([files[min(index, len(files) - 1)] for index in indices])
    return _decode_video(path, indices)


def _read_images(files: Sequence[Path]) -> Images:
    from PIL import Image, UnidentifiedImageError

    images: list[Images] = []
    for file in files:
        try:
            with Image.open(file) as image:
                rgb = image.convert("RGB")
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
            raise DecodeError(f"{file.name} is no readable image") from None
        if images and rgb.size != images[0].shape[1::-1]:
            rgb = rgb.resize(images[0].shape[1::-1])
        images.append(np.asarray(rgb))
    return np.stack(images)


def _open(path: Path) -> Any:
    import av

    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(_reason(error)) from None
    if not container.streams.video:
        container.close()
        raise DecodeError("it has no video stream")
    container.streams.video[0].thread_type = "SLICE"
    return container


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"it cannot be opened ({text.lower()})"


def _packets(container: Any) -> list[tuple[int | None, bool]]:
    """The time stamp of every packet and whether decoding can start there, as far as the file goes."""
    import av

    packets = []
    try:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                packets.append((packet.pts, packet.is_keyframe))
    except av.FFmpegError:
        pass
    return packets


def _count_frames(path: Path) -> int:
    with _open(path) as container:
        return max(1, len(_packets(container)))


def _decode_video(path: Path, indices: Sequence[int]) -> Images:
    with _open(path) as container:
        packets = _packets(container)
    stamps = sorted(stamp for stamp, _ in packets if stamp is not None)
    keys = sorted(stamp for stamp, is_key in packets if is_key and stamp is not None)
    with _open(path) as container:
        if len(stamps) < len(packets) or len(set(stamps)) < len(stamps):
            found = _by_counting(container, set(indices))
        else:
            wanted = {stamps[min(index, len(stamps) - 1)] for index in indices} if stamps else set()
            by_stamp = _by_seeking(container, wanted, keys)
            found = {index: by_stamp[stamp] for index, stamp in enumerate(stamps) if stamp in by_stamp}
    if not found:
        raise DecodeError("no frame of it can be decoded")
    have = sorted(found)
    first = found[have[0]]
    height, width = first.height, first.width
    nearest = [have[max(0, bisect.bisect_right(have, index) - 1)] for index in indices]
    images = {index: found[index].to_ndarray(format="rgb24", width=width, height=height) for index in set(nearest)}
    return np.stack([images[index] for index in nearest])


def _by_counting(container: Any, wanted: set[int]) -> dict[int, Any]:
    """Frames by their number in the order shown, for files whose packets carry no time stamps."""
    found: dict[int, Any] = {}
    for number, frame in enumerate(_frames(container)):
        # The last frame of a file that ends early stays, and stands in for those after it.
        if number - 1 not in wanted:
            found.pop(number - 1, None)
        found[number] = frame
        if number >= max(wanted):
            break
    return found


def _by_seeking(container: Any, wanted: set[int], keys: list[int]) -> dict[int, Any]:
    """Frames by their time stamp, jumping over what lies before the key frame that a wanted one needs.

    Where a wanted frame does not come out, the last one before it stands in, under its own stamp.
    """
    stream = container.streams.video[0]
    found: dict[int, Any] = {}
    remaining = sorted(wanted)
    frames = _frames(container)
    position = keys[0] if keys else None
    while remaining:
        before = bisect.bisect_right(keys, remaining[0]) - 1
        if before >= 0 and position is not None and keys[before] > position:
            container.seek(keys[before], stream=stream, backward=True)
            frames = _frames(container)
        last = None
        for frame in frames:
            position = frame.pts
            if position is None or position < remaining[0]:
                last = frame
                continue
            found[position] = frame
            if position > remaining[0] and last is not None and last.pts is not None:
                found[last.pts] = last
            remaining = [stamp for stamp in remaining if stamp > position]
            break
        else:
            if last is not None and last.pts is not None:
                found[last.pts] = last
            break
    return found


def _frames(container: Any) -> Any:
    """Decoded frames of the video stream until the first damage."""
    import av

    try:
        yield from container.decode(container.streams.video[0])
    except (av.FFmpegError, EOFError):
        return
