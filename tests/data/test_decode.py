"""Frames by their index from real files, whole and damaged."""

import random
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import _decode
from gsfnas.data._decode import DecodeError, decode, probe

from .media import numbered, numbers_of, write_images, write_sound, write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


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


def test_decoding_jumps_to_the_key_frame_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(folder / "jump.mp4", numbered(60), gop=5)
    decoded = []
    frames = _decode._frames

    def counting(container):
        for frame in frames(container):
            decoded.append(frame.pts)
            yield frame

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


def test_files_without_time_stamps_are_read_by_counting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(folder / "stampless.mp4", numbered(20))
    packets = _decode._packets
    monkeypatch.setattr(_decode, "_packets", lambda container: [(None, key) for _, key in packets(container)])
    assert numbers_of(decode(path, [0, 3, 3, 19])) == [0, 3, 3, 19]
    assert numbers_of(decode(path, [4, 30])) == [4, 19]
