"""Small videos and images for the tests."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image


def numbered(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """(count, H, W, 3) frames whose brightness tells their number: 4 levels a step, up to 60 frames."""
    levels = (8 + 4 * np.arange(count)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def numbers_of(frames: np.ndarray) -> list[int]:
    """The numbers that ``numbered`` frames show."""
    return [round((float(frame.mean()) - 8) / 4) for frame in frames]


CODECS = {".webm": "libvpx-vp9", ".mkv": "libx264", ".mp4": "libx264", ".mov": "libx264", ".avi": "mpeg4"}


def write_video(path: Path, frames: np.ndarray, gop: int = 5, codec: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": "10"} if codec is None and CODECS[path.suffix] == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec or CODECS[path.suffix], rate=10, options=options)
        stream.height, stream.width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.gop_size = gop
        stream.bit_rate = 4_000_000
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """A video file without video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_images(folder: Path, frames: Sequence[np.ndarray], first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / f"img_{number}.jpg", quality=95)
    return folder
