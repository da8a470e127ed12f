"""Draws a contact sheet with one clip per class: its frames from left to right, its class name above."""

from pathlib import Path
from typing import Any

import numpy as np

from gsfnas.data._open import data_set_of, open_data
from gsfnas.data._settings import SPLITS, DataSettings
from gsfnas.data.sets._files import FileSet, first_clips
from gsfnas.data.video._cache import expanded
from gsfnas.data.video._clips import Clips, Labels, VideoData
from gsfnas.escape import printable
from gsfnas.files import replacing

# Sizes on the sheet, in pixels.
_GAP = 3
_MARGIN = 28
_CAPTION = 30
_FRAME = 64
# The maximum number of frames shown per clip.
_FRAMES = 16
_WIDTH = 1280
_PAPER = (255, 255, 255)
_INK = (30, 30, 34)


def preview(settings: DataSettings, path: Path | str, *, split: str = "test", classes: int = 48) -> Path:
    """Writes a PNG with one clip of each of the first ``classes`` classes, the first that can be decoded; returns its path.

    In Twins each action is next to its reversal. Raises UserError for an unknown split, and if the file cannot be written.
    """
    places = np.unique(np.linspace(0, settings.frames - 1, _FRAMES).round().astype(int))
    data_set = data_set_of(settings)
    if isinstance(data_set, FileSet):
        shown, read, counts = first_clips(data_set, settings, split, classes, places)
    else:
        shown, read, counts = _first_opened(open_data(settings), split, classes, places)
    clips = " / ".join(str(counts[name]) for name in SPLITS)
    size = f"{settings.frames} frames at {settings.resolution} px"
    title = f"{settings.name}: {clips} clips (train / val / test), {len(shown)} classes of {split}, {size}"
    sheet = _sheet(title, shown, read)
    path = expanded("path", str(path))
    if path.suffix.lower() != ".png":
        path = path.with_name(path.name + ".png")
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
    return path


def _first_opened(data: VideoData, split: str, count: int, places: Labels) -> tuple[list[str], Clips, dict[str, int]]:
    """Like ``first_clips``, for a data set whose clips are not files."""
    clips = data.split(split)
    task, names = next(iter(data.tasks.items()))
    labels = clips.labels[task]
    firsts = {name: int(np.argmax(labels == label)) for label, name in enumerate(names[:count]) if label in labels}
    read = np.concatenate([clips.read(np.array([index]), None)[:, places] for index in firsts.values()])
    return list(firsts), read, {name: len(found) for name, found in data.splits.items()}


def _sheet(title: str, names: list[str], clips: Clips) -> Any:
    """Draws (B, T, 3, H, W) clips as a PIL image, in two columns if they fit, otherwise in one."""
    from PIL import Image, ImageDraw, ImageFont

    _, frames, _, height, _ = clips.shape
    # Small frames are enlarged by an integer factor, which keeps their pixels sharp and square.
    side, filter = (
        (height * (_FRAME // height), Image.Resampling.NEAREST) if height <= _FRAME else (2 * _FRAME, Image.Resampling.LANCZOS)
    )
    strip = frames * (side + _GAP) - _GAP
    columns = 2 if 2 * strip + 3 * _MARGIN <= _WIDTH and len(names) > 1 else 1
    rows = -(-len(names) // columns)
    small, large = ImageFont.load_default(size=17), ImageFont.load_default(size=20)
    top = _MARGIN + 24 + _MARGIN // 2
    width = max(columns * (strip + _MARGIN) + _MARGIN, int(large.getlength(title)) + 2 * _MARGIN)
    sheet = Image.new("RGB", (width, top + rows * (_CAPTION + side + _GAP * 3) + _MARGIN // 2), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=large, anchor="lt")
    for place, (name, clip) in enumerate(zip(names, clips, strict=True)):
        left = _MARGIN + place % columns * (strip + _MARGIN)
        y = top + place // columns * (_CAPTION + side + _GAP * 3)
        draw.text((left, y + _CAPTION - 7), _fit(printable(name), strip, small), fill=_INK, font=small, anchor="ls")
        for number, frame in enumerate(clip):
            image = Image.fromarray(frame.transpose(1, 2, 0))
            sheet.paste(image.resize((side, side), filter), (left + number * (side + _GAP), y + _CAPTION))
    return sheet


def _fit(text: str, width: int, font: Any) -> str:
    """Cuts ``text`` with an ellipsis if it is wider than ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
