"""Twins as real video files, one a clip, which ``folder`` reads back.

The frames are coded without loss where the codec can, so that what a network learns from the files is what it learns from the
rendered clips.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gsfnas.data._cache import replacing
from gsfnas.data._clips import VideoData
from gsfnas.data._open import open_data
from gsfnas.data._settings import DataSettings
from gsfnas.errors import UserError, unknown

FRAMES_A_SECOND = 8
# What an export is of; files that are there under the same description are kept.
_MARK = ".gsfnas-export.json"

# Format -> (encoder, pixel format, options), the best first; a build of FFmpeg may lack one.
_CODECS: Mapping[str, tuple[tuple[str, str, Mapping[str, str]], ...]] = {
    "webm": (
        ("libvpx-vp9", "gbrp", {"lossless": "1", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
        ("libvpx", "yuv420p", {"crf": "4", "b": "10M", "auto-alt-ref": "0", "lag-in-frames": "0"}),
    ),
    "mp4": (
        ("libx264rgb", "rgb24", {"qp": "0", "preset": "fast"}),
        ("mpeg4", "yuv420p", {"qmin": "1", "qmax": "2"}),
    ),
}


def export(
    settings: DataSettings,
    folder: Path | str,
    as_: str = "folder",
    format: str = "webm",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> VideoData:
    """Writes every clip of Twins to ``folder``/split/class/number.``format`` and returns the data that it wrote.

    A file appears whole or not at all, and the same export goes on where it was interrupted. ``on_progress(done, total)``
    counts files. Raises UserError where ``folder`` holds anything else.
    """
    if settings.name != "twins":
        raise UserError(f"only twins can be exported, since {settings.name!r} is files already")
    if as_ != "folder":
        raise unknown("export", as_, ["folder"])
    if format not in _CODECS:
        raise unknown("video format", format, _CODECS)
    data = open_data(settings)
    folder = Path(folder).expanduser()
    _claim(folder, {"fingerprint": data.fingerprint, "format": format})
    codec = _codec(format)
    total = sum(len(split) for split in data.splits.values())
    done = 0
    ((task, classes),) = data.tasks.items()
    for name, split in data.splits.items():
        for index, (clips, labels) in enumerate(split.batches(1)):
            path = folder / name / classes[int(labels[task][0])] / f"{index:06d}.{format}"
            if not path.exists():
                with replacing(path) as temporary:
                    _write(temporary, clips[0].permute(0, 2, 3, 1).numpy(), codec)
            done += 1
            on_progress(done, total)
    return data


def _claim(folder: Path, description: dict[str, str]) -> None:
    """Marks an empty folder as ours, or finds the mark of the same export."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"an export needs a folder, but {folder} is a file")
    mark = folder / _MARK
    if mark.is_file():
        if mark.read_text() != json.dumps(description) + "\n":
            raise UserError(f"{folder} holds an export of other settings; name an empty folder")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; name an empty folder or one that does not exist yet")
    with replacing(mark) as temporary:
        temporary.write_text(json.dumps(description) + "\n")


def _codec(format: str) -> tuple[str, str, Mapping[str, str]]:
    import av

    for codec in _CODECS[format]:
        if codec[0] in av.codecs_available:
            return codec
    names = ", ".join(name for name, _, _ in _CODECS[format])
    raise UserError(f"this FFmpeg cannot write {format}: it has none of the encoders {names}")


def _write(path: Path, frames: Any, codec: tuple[str, str, Mapping[str, str]]) -> None:
    """(T, H, W, 3) uint8 as a video file."""
    import av

    name, pixel_format, options = codec
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(name, rate=FRAMES_A_SECOND, options=dict(options))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
