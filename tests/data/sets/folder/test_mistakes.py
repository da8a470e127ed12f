"""Each way in which a folder can be wrong."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from gsfnas.data import check, open_data
from gsfnas.errors import UserError

from ...media import numbered, write_images, write_sound, write_video
from .library import CLASSES, divide, refused, settings


def test_a_wrong_root_says_what_it_is(root: Path) -> None:
    assert "does not exist" in refused(settings(root / "nowhere"))
    assert "is a file" in refused(settings(root / "README.txt"))
    assert "lies outside any class folder" in refused(settings(root / "rise"))
    assert f"did you mean data.root={root}?" in refused(settings(root.parent, cache=str(root / ".cache")))


def test_empty_folders(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    assert f"{root} is empty" in refused(settings(root))
    (root / "rise").mkdir()
    assert "there is no clip" in refused(settings(root))


def test_a_class_without_clips_and_a_single_class(root: Path) -> None:
    (root / "wave").mkdir()
    assert "class 'wave' has no clip" in refused(settings(root))
    (root / "wave").rmdir()
    shutil.rmtree(root / "fall")
    assert "single class 'rise'" in refused(settings(root))


def test_files_in_the_wrong_place(root: Path) -> None:
    write_images(root / "rise", list(numbered(1)))
    assert "is an image in a class folder" in refused(settings(root))
    (root / "rise" / "img_1.jpg").unlink()
    (root / "rise" / "notes.txt").write_text("hello")
    message = refused(settings(root))
    assert "notes.txt: it is not a video" in message
    assert "data.skip_broken=true" in message
    data = open_data(settings(root, skip_broken=True))
    assert [reason.split(" (")[0] for reason in data.skipped] == ["rise/notes.txt: it is not a video"]


def test_files_that_cannot_be_decoded(root: Path) -> None:
    root = divide(root)
    (root / "train" / "rise" / "0.mp4").write_bytes(b"broken")
    write_sound(root / "train" / "fall" / "0.mp4")
    message = refused(settings(root))
    assert f"{root / 'train' / 'fall' / '0.mp4'} cannot be decoded: it has no video stream" in message
    data = open_data(settings(root, skip_broken=True))
    assert len(data.splits["train"]) == 6
    # By their paths below the root: where that is on this machine is nobody's business who reads a report.
    assert data.skipped[0] == "train/fall/0.mp4: it has no video stream"
    assert [reason.split(": ")[0] for reason in data.skipped] == ["train/fall/0.mp4", "train/rise/0.mp4"]
    # A file that has been mended is looked at again.
    for name in CLASSES:
        write_video(root / "train" / name / "0.mp4", numbered(24))
    assert len(open_data(settings(root)).splits["train"]) == 8


def test_a_split_without_one_file_that_can_be_decoded(root: Path) -> None:
    root = divide(root)
    for name in CLASSES:
        for clip in (root / "val" / name).iterdir():
            shutil.rmtree(clip) if clip.is_dir() else clip.write_bytes(b"")
        (root / "val" / name / "x.mp4").write_bytes(b"")
    assert "no clip in val" in refused(settings(root, skip_broken=True))


def test_a_clip_of_several_kinds_of_frames_is_told_how_to_name_one(root: Path) -> None:
    clip = root / "rise" / "images 0"
    for kind in ("depth", "flow", "rgb"):
        write_images(clip / kind, list(numbered(3)))
    message = refused(settings(root))
    assert message == (
        f"{clip} holds the folders depth, flow, rgb, but a clip is a single folder of images; list the folders to use in a "
        "table, data.csv=clips.csv, with the header path,label and lines such as rise/images 0/rgb,rise"
    )
    rows = [f"{'rise' if number % 2 else 'fall'}/images {number // 2}" for number in range(4)]
    lines = [f"{row}/rgb,{row[:4]}" if row == "rise/images 0" else f"{row},{row[:4]}" for row in rows]
    lines += [f"{name}/{number}{suffix},{name}" for name in CLASSES for number, suffix in enumerate([".mp4", ".webm"])]
    (root / "clips.csv").write_text("\n".join(["path,label", *lines]))
    assert sum(map(len, open_data(settings(root, csv="clips.csv")).splits.values())) == 8


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused_at_once(root: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("clip.mp4", "notes.txt"):
        if kind == "pipe":
            os.mkfifo(root / "rise" / name)
        elif kind == "device":
            (root / "rise" / name).symlink_to("/dev/zero")
        else:
            monkeypatch.chdir(root / "rise")
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(name)
    if kind == "device":
        assert "clip.mp4 leads out of" in refused(settings(root))
        return
    assert "notes.txt: it is not a video" in refused(settings(root))
    data = open_data(settings(root, skip_broken=True))
    assert data.skipped[1] == "rise/clip.mp4: it is a pipe or a device, not a regular file"
    assert [row.id for row in check(settings(root)).rows] == ["rise/notes.txt", "rise/clip.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(root: Path) -> None:
    (root / "rise").chmod(0)
    assert "cannot read" in refused(settings(root))
    (root / "rise").chmod(0o755)


def test_a_file_that_vanishes_while_training_is_named(root: Path) -> None:
    root = divide(root)
    data = open_data(settings(root, cache_gb=0.0))
    for clip in (root / "train" / "rise").glob("*.mp4"):
        clip.unlink()
    with pytest.raises(UserError, match=r"0\.mp4 cannot be decoded any more"):
        list(data.splits["train"].batches(4))
