"""Writes videos with options that most tests do not need, and reads them in order."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# The encoder of PyAV 14 crashes; that of PyAV 18 writes beyond its memory for small frames, unless it goes without `asm`.
HAS_HEVC = "libx265" in av.codecs_available and not av.__version__.startswith("14.")

WRITES_ROTATION = hasattr(av.video.stream.VideoStream, "set_display_rotation")

WRITES_MATRIX = hasattr(av.video.stream.VideoStream, "set_display_matrix")


def written(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str,
    *,
    rotation: int = 0,
    matrix: Sequence[int] | None = None,
    stamps_ms: Sequence[int] | None = None,
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    **options: str,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate, stream.gop_size = pix_fmt, 4_000_000, gop
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if stamps_ms is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps_ms is not None:
                frame.pts, frame.time_base = stamps_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def all_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def noise(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, height, width, 3)).astype(np.uint8)
