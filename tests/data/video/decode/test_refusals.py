"""Files that are no videos, or hostile ones, are refused with the reason."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from gsfnas.data.video import _index
from gsfnas.data.video._decode import DecodeError, check, decode, probe, scan

from ...media import numbered, write_sound, write_video
from .encode import WRITES_ROTATION


@pytest.mark.parametrize(("content", "reason"), [(b"", "cannot be opened"), (b"not a video" * 100, "cannot be opened")])
def test_what_is_no_video_says_why(folder: Path, content: bytes, reason: str) -> None:
    path = folder / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=reason):
        probe(path)


def test_an_mp4_without_its_end_cannot_be_opened(folder: Path) -> None:
    path = write_video(folder / "headless.mp4", numbered(10))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DecodeError):
        probe(path)


def test_sound_alone_is_no_video(folder: Path) -> None:
    with pytest.raises(DecodeError, match="no video stream"):
        probe(write_sound(folder / "sound.mp4"))


@pytest.mark.skipif(not WRITES_ROTATION, reason="this PyAV cannot write a cover")
def test_a_cover_is_no_video(folder: Path) -> None:
    path = folder / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        sound.layout = "mono"
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 48, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(DecodeError, match="no video stream"):
        scan(path)


def test_what_is_not_there_says_so(folder: Path) -> None:
    for call in (probe, scan, lambda path: decode(path, [0])):
        with pytest.raises(DecodeError, match="no such file"):
            call(folder / "none.mp4")
    assert check(folder / "none.mp4") == "it cannot be opened (no such file or directory)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_pipes_and_devices_are_not_waited_for(folder: Path) -> None:
    """Nobody ever writes to the pipe, and the device never ends."""
    os.mkfifo(folder / "pipe.mp4")
    (folder / "to_pipe.mp4").symlink_to("pipe.mp4")
    (folder / "endless.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "to_pipe.mp4", "endless.mp4"):
        for call in (probe, scan, lambda path: decode(path, [0])):
            with pytest.raises(DecodeError, match="it is not a regular file"):
                call(folder / name)
        assert check(folder / name) == check(folder / name, (0, 1)) == "it is not a regular file"


def test_a_frame_may_not_be_much_longer_than_wide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer side grows with the short one, which is resized."""
    path = write_video(folder / "long.webm", numbered(3))
    monkeypatch.setattr(_index, "_MAX_RATIO", 1)
    with pytest.raises(DecodeError, match="a frame of it has 48 x 32 pixels; more than 1 to 1 are not decoded"):
        probe(path)


def test_a_text_file_opens_no_others(folder: Path) -> None:
    write_video(folder / "listed.mp4", numbered(3))
    for name, text in (
        ("concat.mp4", "ffconcat version 1.0\nfile listed.mp4\n"),
        ("list.mp4", "#EXTM3U\n#EXTINF:1,\nlisted.mp4\n"),
    ):
        (folder / name).write_text(text)
        with pytest.raises(DecodeError, match="cannot be opened"):
            probe(folder / name)


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_a_name_that_looks_like_an_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(folder / "http:clip.mp4", numbered(3))
    monkeypatch.chdir(folder)
    assert probe(Path("http:clip.mp4")).frames == 3


def test_a_frame_too_large_to_be_one_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(folder / "large.mp4", numbered(3))
    monkeypatch.setattr(_index, "_MAX_PIXELS", 1000)
    with pytest.raises(DecodeError, match=r"no frame of it .*: it has 48 x 32 pixels; more than 1,000 are not decoded"):
        probe(path)
