"""A check decodes a file and reports what is wrong with it."""

from pathlib import Path

import av
import pytest

from gsfnas.data.video._decode import DecodeError, check, decode, scan

from ...media import numbered, write_images, write_sound, write_video
from .encode import noise


def test_what_check_says(folder: Path) -> None:
    path = write_video(folder / "whole.mkv", noise(30), gop=5)
    assert check(path) is None
    assert check(path, (10, 31)) == "it has 30 frames, which do not hold [10, 31)"
    assert check(path, (4, 4)) == "it has 30 frames, which do not hold [4, 4)"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    # Also where its packets were looked at before.
    assert len(scan(path)) < 30
    assert "it ends after 1." in check(path)
    path.write_bytes(b"")
    assert check(path).startswith("it cannot be opened")
    assert check(write_sound(folder / "sound.mov")) == "it has no video stream"


@pytest.mark.skipif(av.__version__.startswith("14."), reason="this PyAV does not copy H.264 into Matroska")
def test_check_finds_what_does_not_come_out(folder: Path) -> None:
    """Without its first key frame the start of a file cannot be decoded, which FFmpeg does not call an error."""
    path = folder / "keyless.mkv"
    with av.open(str(write_video(folder / "keyed.mkv", numbered(20)))) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][1:]:
            packet.stream = stream
            container.mux(packet)
    assert "frames do not come out, the first of them frame 0" in check(path)
    assert check(path, (10, 15)) is None


def test_a_file_whose_table_comes_first_and_whose_end_is_cut_off(folder: Path) -> None:
    path = folder / "fast.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for image in noise(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert check(path).endswith("of 30 frames")
    assert decode(path, [0, 29]).shape == (2, 32, 48, 3)
    path.write_bytes(data[: len(data) - 20])
    assert "its data ends early" in check(path)


def test_check_of_a_window_looks_at_the_window_alone(folder: Path) -> None:
    path = write_video(folder / "window.mp4", noise(40), gop=5)
    with av.open(str(path)) as container:
        place, size = next((p.pos, p.size) for p in container.demux(video=0) if p.pts == 20 * 1024 or p.dts == 20 * 1024)
    data = bytearray(path.read_bytes())
    data[place + 8 : place + size] = bytes(size - 8)
    path.write_bytes(data)
    assert "cannot be decoded" in check(path)
    assert check(path, (0, 10)) is None
    assert check(path, (30, 40)) is None
    assert check(path, (15, 25)) is not None


def test_check_of_images(folder: Path) -> None:
    path = write_images(folder / "checked", list(numbered(5)))
    assert check(path) is None
    (path / "img_4.jpg").write_bytes((path / "img_4.jpg").read_bytes()[:300])
    assert check(path) == "img_4.jpg is no readable image"
    assert check(path, (0, 3)) is None
    assert check(path, (0, 6)) == "it has 5 frames, which do not hold [0, 6)"
    assert check(write_images(folder / "nothing", [])) == "it holds no images"
    with pytest.raises(DecodeError, match="holds no images"):
        decode(folder / "nothing", [0])
