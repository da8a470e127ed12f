"""Clips as folders of numbered images, with other images beside them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gsfnas.data import VideoData, check, open_data, preview
from gsfnas.data.video import _decode, _index
from gsfnas.errors import UserError

from ...media import numbered, numbers_of, write_images
from .exports import everything, settings


def with_depth(root: Path) -> None:
    for split in ("train", "val", "test"):
        for name in "ab":
            folder = write_images(root / split / name / "clip", list(numbered(8, 16, 16)))
            for image in list(folder.iterdir()):
                Image.fromarray(255 - np.asarray(Image.open(image))).save(folder / f"depth_{image.stem[4:]}.png")
                image.rename(folder / f"{image.stem[4:]}.jpg")


def test_a_setting_says_which_images_are_the_frames(tmp_path: Path) -> None:
    with_depth(tmp_path / "set")

    def opened(names: str | None) -> VideoData:
        return open_data(settings(tmp_path / "set", "folder", skip_broken=False, frame_names=names))

    message = (
        "it holds 2 series of images: \\*.jpg \\(8\\), depth_\\*.png \\(8\\); say which .* 'data.frame_names=\\*.jpg'; fix"
    )
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            opened(None)
        frames, depth = opened("*.jpg"), opened("depth_*.png")
        assert numbers_of(everything(frames, "test")[0][0]) == [1, 3, 5, 7]
        assert numbers_of(255 - everything(depth, "test")[0][0]) == [1, 3, 5, 7]
        assert frames.fingerprint != depth.fingerprint
    asked = settings(tmp_path / "set", "folder", frame_names="*")
    assert check(asked).clips == {"train": 2, "val": 2, "test": 2}
    assert preview(asked, tmp_path / "sheet.png").stat().st_size > 1000
    assert {row.problem for row in check(settings(tmp_path / "set", "folder")).rows} == {"unreadable", "empty class"}


def test_a_clip_whose_frames_are_alone_has_the_fingerprint_that_it_had(tmp_path: Path) -> None:
    """What a setting of a later version says of other folders changes nothing about these."""
    for split in ("train", "val", "test"):
        for name in "ab":
            write_images(tmp_path / "set" / split / name / "clip", list(numbered(8, 16, 16)))
    asked = settings(tmp_path / "set", "folder")
    assert open_data(asked).fingerprint == open_data(replace(asked, frame_names="flow_*.png")).fingerprint


def as_frames(root: Path) -> None:
    """The videos of an EPIC export as folders of numbered images."""
    for video in sorted(root.glob("P*/videos/*.mp4"), key=lambda path: path.name) or sorted(root.glob("P*/videos/*.MP4")):
        folder = video.parents[1] / "rgb_frames" / video.stem
        folder.mkdir(parents=True)
        count = len(_index.scan(video))
        for number, frame in enumerate(_decode.decode(video, range(count)), 1):
            Image.fromarray(frame).save(folder / f"frame_{number:010d}.png")
    for videos in root.glob("P*/videos"):
        shutil.rmtree(videos)


def test_frames_in_folders_go_by_their_numbers(exports: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exports / "epic_kitchens_100", tmp_path / "epic"))
    as_frames(root)
    before = open_data(settings(root, "epic_kitchens_100"))
    videos = open_data(settings(exports / "epic_kitchens_100", "epic_kitchens_100", cache=str(tmp_path / "other")))
    for split in ("train", "val", "test"):
        assert np.array_equal(everything(before, split)[0], everything(videos, split)[0])
    folders = sorted(root.glob("P*/rgb_frames/*"))
    (folders[0] / "frame_0000000002.png").unlink()
    found = check(settings(root, "epic_kitchens_100"))
    assert [(row.problem, row.message, row.is_used) for row in found.rows] == [
        ("too short", "of its 4 frames 1 are not there", True)
    ]
    after = open_data(settings(root, "epic_kitchens_100"))
    differing = [
        not np.array_equal(one, other)
        for split in ("train", "val", "test")
        for one, other in zip(everything(before, split)[0], everything(after, split)[0], strict=True)
    ]
    assert sum(differing) == 1, "a lost frame moves no other clip"
