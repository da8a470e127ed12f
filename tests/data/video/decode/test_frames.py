"""Frames by their index from real files, whole and damaged."""

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gsfnas.data.video import _decode, _index
from gsfnas.data.video._decode import DecodeError, check, decode, frame_files, probe

from ...media import numbered, numbers_of, write_images, write_video
from .encode import written


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".mkv", ".mov", ".avi"])
@pytest.mark.parametrize("gop", [5, 60])
def test_the_frames_asked_for_are_the_frames_returned(folder: Path, suffix: str, gop: int) -> None:
    path = write_video(folder / f"gop{gop}{suffix}", numbered(40), gop)
    assert probe(path).frames == 40
    generator = random.Random(gop)
    for _ in range(4):
        indices = sorted(generator.choices(range(40), k=6))
        images = decode(path, indices)
        assert images.shape == (6, 32, 48, 3)
        assert numbers_of(images) == indices
    assert numbers_of(decode(path, range(40))) == list(range(40))


@pytest.mark.parametrize("keep_bytes", [0, 1 << 20])
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_decoding_jumps_to_the_key_frame_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, keep_bytes: int
) -> None:
    monkeypatch.setattr(_index, "_KEEP_BYTES", keep_bytes)
    path = write_video(folder / f"jump{suffix}", numbered(60), gop=5)
    decoded = []
    frames = _decode._frames

    def counting(*arguments: object) -> Iterator[tuple[int, object]]:
        for stamp, frame in frames(*arguments):
            decoded.append(stamp)
            yield stamp, frame

    monkeypatch.setattr(_decode, "_frames", counting)
    for indices in ([2, 57], [57]):
        decoded.clear()
        assert numbers_of(decode(path, indices)) == indices
        assert len(decoded) < 20


def test_an_index_past_the_end_is_the_last_frame(folder: Path) -> None:
    path = write_video(folder / "short.mp4", numbered(4))
    assert numbers_of(decode(path, [0, 3, 9])) == [0, 3, 3]


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".avi"])
def test_a_truncated_file_gives_what_is_left(folder: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3)).astype(np.uint8)
    path = write_video(folder / f"cut{suffix}", noise, gop=5)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    frames = probe(path).frames
    assert 10 < frames < 40
    assert decode(path, [0, frames - 1, 39]).shape == (3, 32, 48, 3)


def test_damage_in_the_middle_repeats_the_frame_before(folder: Path) -> None:
    path = write_video(folder / "damaged.mkv", np.random.default_rng(0).integers(0, 255, (30, 32, 48, 3)).astype(np.uint8))
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 3000):
        data[place] = 0
    path.write_bytes(data)
    assert decode(path, list(range(0, 30, 5))).shape == (6, 32, 48, 3)


def test_images_come_in_the_order_of_their_numbers(folder: Path) -> None:
    path = write_images(folder / "clip", list(numbered(12)))
    assert probe(path).frames == 12
    assert numbers_of(decode(path, [0, 1, 9, 11])) == [0, 1, 9, 11]


def test_images_of_several_sizes_take_the_first_ones(folder: Path) -> None:
    path = write_images(folder / "sizes", [*numbered(2, 33, 47), *numbered(1, 20, 20)])
    assert decode(path, [0, 1, 2]).shape == (3, 33, 47, 3)


def test_grey_images_and_damaged_ones(folder: Path) -> None:
    path = write_images(folder / "grey", [frame[..., 0] for frame in numbered(3)])
    assert decode(path, [0, 2]).shape == (2, 32, 48, 3)
    (path / "img_1.jpg").write_bytes(b"no")
    with pytest.raises(DecodeError, match=r"img_1\.jpg is no readable image"):
        probe(path)
    with pytest.raises(DecodeError, match="holds no images"):
        probe(write_images(folder / "none", []))


def test_the_digest_tells_contents_apart(folder: Path) -> None:
    one = write_video(folder / "one.mp4", numbered(5))
    other = write_video(folder / "other.mp4", numbered(6))
    assert probe(one).digest == probe(one).digest != probe(other).digest


@pytest.mark.parametrize(("codec", "suffix", "pix_fmt"), [("libvpx-vp9", ".webm", "yuv420p"), ("libx264", ".mp4", "yuv444p")])
def test_odd_sizes(folder: Path, codec: str, suffix: str, pix_fmt: str) -> None:
    path = written(folder / f"odd{suffix}", numbered(6, 33, 47), codec, pix_fmt=pix_fmt)
    images = decode(path, [0, 5])
    assert images.shape == (2, 33, 47, 3)
    assert numbers_of(images) == [0, 5]


def test_a_size_that_changes_takes_the_first_ones(folder: Path) -> None:
    path = folder / "sizes.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for part, start in ((numbered(6), 0), (numbered(12, 48, 80)[6:], 6)):
            codec = av.CodecContext.create("libvpx-vp9", "w")
            codec.height, codec.width, codec.pix_fmt = *part.shape[1:3], "yuv420p"
            codec.time_base, codec.framerate, codec.bit_rate = Fraction(1, 10), 10, 4_000_000
            frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in part]
            for number, frame in enumerate(frames, start):
                frame.pts, frame.time_base = number, Fraction(1, 10)
            for packet in [packet for frame in [*frames, None] for packet in codec.encode(frame)]:
                packet.stream, packet.time_base = stream, Fraction(1, 10)
                container.mux(packet)
    assert decode(path, [0, 11]).shape == (2, 32, 48, 3)
    assert decode(path, [7, 11]).shape == (2, 48, 80, 3)
    assert numbers_of(decode(path, [2, 11])) == [2, 11]
    assert check(path) is None


@pytest.mark.parametrize("suffix", [".mp4", ""])
def test_what_is_made_of_each_frame_is_kept_in_its_place(folder: Path, suffix: str) -> None:
    """So that of large frames no more than one is in memory."""
    write = write_images if suffix == "" else write_video
    path = write(folder / f"prepared{suffix}", numbered(12))
    seen = []

    def prepare(image: np.ndarray) -> np.ndarray:
        seen.append(image.shape)
        return image[::4, ::4]

    assert np.array_equal(decode(path, [1, 4, 11], prepare=prepare), decode(path, [1, 4, 11])[:, ::4, ::4])
    assert seen == [(32, 48, 3)] * 3


def test_names_with_leading_zeros_are_ordered_by_their_numbers(folder: Path) -> None:
    path = write_images(folder / "zeros", list(numbered(12)))
    for file in path.iterdir():
        file.rename(path / f"frame_{int(file.stem[4:]):010d}.jpg")
    assert numbers_of(decode(path, [0, 1, 9, 11])) == [0, 1, 9, 11]
    (path / "frame_3.jpg").write_bytes(b"")
    assert [file.name for file in frame_files(path)[2:4]] == ["frame_0000000003.jpg", "frame_3.jpg"]
