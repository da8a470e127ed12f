"""The contact sheet: it is a picture, it holds the frames, and it reads well for either data set."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gsfnas.data import DataSettings, open_data, preview
from gsfnas.data.video import _probe
from gsfnas.errors import UserError

from ..media import numbered, write_images


def twins(folder: Path) -> DataSettings:
    return DataSettings(train_clips=24, val_clips=24, test_clips=24, cache=str(folder / "cache"))


def test_the_sheet_shows_each_class_beside_its_reversal(tmp_path: Path) -> None:
    path = preview(twins(tmp_path), tmp_path / "new" / "sheet.png")
    assert path == tmp_path / "new" / "sheet.png"
    with Image.open(path) as image:
        sheet = np.asarray(image)
    assert sheet.shape[2] == 3
    assert 900 < sheet.shape[1] < 1400
    clips, _ = next(iter(open_data(twins(tmp_path)).splits["test"].batches(2)))
    first = clips[0].permute(0, 2, 3, 1).numpy().repeat(2, axis=1).repeat(2, axis=2)
    # Find the first frame; 67 pixels on stands the second, and the reversed clip begins with the last one.
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:170, :100], (64, 64, 3))[:, :, 0]
    (y,), (x,) = np.nonzero((windows == first[0]).all(axis=(2, 3, 4)))
    assert np.array_equal(sheet[y : y + 64, x + 67 : x + 131], first[1])
    twin = x + 8 * 67 - 3 + 28
    assert np.array_equal(sheet[y : y + 64, twin : twin + 64], first[-1])


def test_a_folder_with_large_frames_and_long_names(tmp_path: Path) -> None:
    names = ["pretending to put " + "something " * 20 + "down", "b", "c"]
    for name in names:
        for number in range(3):
            write_images(tmp_path / "set" / name / str(number), list(numbered(8, 100, 120)))
    settings = DataSettings(name="folder", root=str(tmp_path / "set"), resolution=96, cache=str(tmp_path / "cache"))
    path = preview(settings, tmp_path / "sheet", split="train")
    assert path.name == "sheet.png"
    with Image.open(path) as sheet:
        width, height = sheet.size
    assert width < 1400
    assert height > 3 * 128


def test_names_of_classes_of_any_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("two\nlines", "\x1b[31mred\u202e", os.fsdecode(b"caf\xe9")):
        for number in range(3):
            write_images(tmp_path / "set" / name / str(number), list(numbered(8, 20, 20)))
    settings = DataSettings(name="folder", root=str(tmp_path / "set"), resolution=16, cache=str(tmp_path / "cache"))
    captions: list[str] = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, xy, text, **kw: (captions.append(text), draw(self, xy, text, **kw))[1]
    )
    preview(settings, tmp_path / "sheet.png", split="train")
    assert captions[1:] == ["\\x1b[31mred\\u202e", "caf\\xe9", "two\\x0alines"]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'tset'"):
        preview(twins(tmp_path), tmp_path / "sheet.png", split="tset")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        preview(twins(tmp_path), tmp_path / "file" / "sheet.png")


def test_only_what_is_shown_is_opened_and_a_broken_clip_gives_way_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        for number in range(9):
            write_images(tmp_path / "set" / name / str(number), list(numbered(4, 16, 16)))
    settings = DataSettings(name="folder", root=str(tmp_path / "set"), resolution=16, cache=str(tmp_path / "cache"))
    opened: list[Path] = []
    probe = _probe.probe

    def probing(path: Path, names: Sequence[str]) -> object:
        opened.append(path)
        return probe(path, names)

    monkeypatch.setattr(_probe, "probe", probing)
    preview(settings, tmp_path / "sheet.png", split="train")
    assert len(opened) == 2
    # The clip that was shown cannot be opened any more.
    for image in opened[0].iterdir():
        image.write_bytes(b"")
    preview(settings, tmp_path / "sheet.png", split="train")
    assert len(opened) == 2 + 2
