"""Exports Twins as files: a folder of videos, or the layout of a public data set.

The frames are encoded losslessly if the codec can, so that a network learns the same from the files as from the rendered clips.
"""

import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gsfnas.data._open import open_data
from gsfnas.data._settings import DataSettings
from gsfnas.data.tools._export_layouts import FRAMES_A_SECOND, LAYOUTS, Clip, Source
from gsfnas.data.video._clips import VideoData
from gsfnas.errors import UserError, unknown
from gsfnas.files import CannotWriteError, replacing

Image = npt.NDArray[np.uint8]
# (encoder, pixel format, options)
Codec = tuple[str, str, Mapping[str, str]]

# The file that describes an export; an interrupted export with the same description is resumed.
_MARK = ".gsfnas-export.json"

# The codecs of each video format, the best first; some builds of FFmpeg lack the first one.
_CODECS: Mapping[str, tuple[Codec, ...]] = {
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
    format: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> VideoData:
    """Writes every clip of Twins to ``folder``, in the layout ``as_``, and returns the exported data.

    ``format`` defaults to the layout's usual one; only the layout ``folder`` has a choice. Each file is written completely or
    not at all, annotations last, and an interrupted export is resumed. ``on_progress(done, total)`` counts clips. Raises
    UserError for another data set, an unknown layout or format, and a folder that has any other contents.
    """
    if settings.name != "twins":
        raise UserError(f"only twins can be exported, since {settings.name!r} is files already")
    format = _checked_format(as_, format)
    data = open_data(settings)
    folder = Path(folder).expanduser()
    _claim(folder, {"fingerprint": data.fingerprint, "layout": as_, "format": format})
    write = _writer(format)
    source = _source(data, settings.frames, format)
    plan = LAYOUTS[as_].plan(source)
    done = 0
    for name, clips in plan.media.items():
        if not (folder / name).exists():
            write(folder / name, _images(data, clips))
        done += len(clips)
        on_progress(done, len(source.clips))
    for name, text in plan.annotations.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return data


def _checked_format(as_: str, format: str | None) -> str:
    if as_ not in LAYOUTS:
        raise unknown("export", as_, LAYOUTS)
    formats = LAYOUTS[as_].formats
    if format is None or format in formats:
        return format or formats[0]
    if len(formats) == 1:
        raise UserError(f"`format` must be {formats[0]!r} for {as_}, since the data set comes so, but got {format!r}")
    raise unknown("video format", format, formats)


def _claim(folder: Path, description: dict[str, str]) -> None:
    """Writes the description of the export into an empty folder, or checks that the same one is there already."""
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


def _source(data: VideoData, frames: int, format: str) -> Source:
    ((task, classes),) = data.tasks.items()
    places = [(name, *place) for name, split in data.splits.items() for place in enumerate(split.labels[task].tolist())]
    return Source(tuple(Clip(*place, number) for number, place in enumerate(places)), classes, frames, format)


def _images(data: VideoData, clips: Iterable[Clip]) -> Iterator[Image]:
    """Yields every frame of every clip, (H, W, 3); only one clip is in memory at a time."""
    for clip in clips:
        (frames,) = data.splits[clip.split].read(np.array([clip.index]), None)
        yield from np.ascontiguousarray(frames.transpose(0, 2, 3, 1))


def _writer(format: str) -> Callable[[Path, Iterable[Image]], None]:
    if format == "jpg":
        return _write_folder
    return functools.partial(_write_file, codec=_codec(format))


def _codec(format: str) -> Codec:
    import av

    for codec in _CODECS[format]:
        if codec[0] in av.codecs_available:
            return codec
    names = ", ".join(name for name, _, _ in _CODECS[format])
    raise UserError(f"this FFmpeg cannot write {format}: it has none of the encoders {names}")


def _write_file(path: Path, images: Iterable[Image], codec: Codec) -> None:
    with replacing(path) as temporary:
        _encode(temporary, images, codec)


def _write_folder(path: Path, images: Iterable[Image]) -> None:
    with _replacing_folder(path) as temporary:
        for number, image in enumerate(images, 1):
            _save(temporary / f"{number:05d}.jpg", image)


def _encode(path: Path, images: Iterable[Image], codec: Codec) -> None:
    """Writes a video with a key frame every second, so that a window of a long video can be read without decoding its start."""
    import av

    name, pixel_format, options = codec
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(name, rate=FRAMES_A_SECOND, options=dict(options))
        stream.pix_fmt = pixel_format
        stream.gop_size = FRAMES_A_SECOND
        stream.thread_count = 1
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def _save(path: Path, image: Image) -> None:
    """Writes a JPEG of high quality, without chroma subsampling (4:4:4)."""
    from PIL import Image as pillow  # noqa: N813

    pillow.fromarray(image).save(path, quality=98, subsampling=0)


@contextmanager
def _replacing_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path``; it is renamed to ``path`` when the block succeeds, and removed otherwise."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        yield temporary
        temporary.chmod(0o755)
        temporary.replace(path)
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
