"""Damaged files: whatever was done to one, it gives frames or a DecodeError, soon, and ``check`` never raises."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from gsfnas.data.video._decode import DecodeError, check, decode, probe, scan

from ..media import write_images, write_video

FRAMES, HEIGHT, WIDTH = 20, 32, 48
INDICES = [0, 3, 7, 11, 19]
SUFFIXES = (".webm", ".mp4", ".avi", ".mkv")
# By far more than any takes, for a machine that does other things, too.
LIMIT_S = 5

Damage = Callable[[random.Random, bytes], bytes]


def flipped_bits(generator: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.choice((1, 5, 50))):
        changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def cut_off(generator: random.Random, data: bytes) -> bytes:
    return data[: generator.randrange(len(data) * 9 // 10)]


def overwritten_header(generator: random.Random, data: bytes) -> bytes:
    size = generator.choice((16, 64, 300))
    return generator.randbytes(size) + data[size:]


def changed_fields(generator: random.Random, data: bytes) -> bytes:
    """Extreme values where sizes and counts are stored, at the start or the end."""
    changed = bytearray(data)
    start = generator.choice((0, len(data) - 900)) + generator.randrange(900)
    for place in range(start, min(start + generator.choice((1, 4, 8)), len(data))):
        changed[place] = generator.choice((0, 1, 127, 128, 255))
    return bytes(changed)


def zeroed_block(generator: random.Random, data: bytes) -> bytes:
    start, size = generator.randrange(len(data)), generator.choice((16, 200, 2000))
    return data[:start] + bytes(min(size, len(data) - start)) + data[start + size :]


def swapped_blocks(generator: random.Random, data: bytes) -> bytes:
    size = generator.choice((64, 256))
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    first, second = generator.sample(range(len(blocks)), 2)
    blocks[first], blocks[second] = blocks[second], blocks[first]
    return b"".join(blocks)


def missing_bytes(generator: random.Random, data: bytes) -> bytes:
    start = generator.randrange(len(data))
    return data[:start] + data[start + generator.choice((1, 7, 100)) :]


def added_bytes(generator: random.Random, data: bytes) -> bytes:
    start = generator.randrange(len(data))
    return data[:start] + generator.randbytes(generator.choice((1, 5, 300))) + data[start:]


DAMAGES: tuple[Damage, ...] = (
    flipped_bits,
    cut_off,
    overwritten_header,
    changed_fields,
    zeroed_block,
    swapped_blocks,
    missing_bytes,
    added_bytes,
)
VARIANTS = 10


def decode_some(path: Path) -> np.ndarray:
    return decode(path, INDICES)


def decode_with_index(path: Path) -> np.ndarray:
    return decode(path, [5, 6], scan(path))


def attempt(call: Callable[[Path], object], path: Path) -> object:
    """What the call returns, or the DecodeError that it raises; anything else it raises fails the test, as does a long wait."""
    begin = time.monotonic()
    try:
        return call(path)
    except DecodeError as error:
        return error
    finally:
        assert time.monotonic() - begin < LIMIT_S


def outcome(path: Path) -> tuple[bool, str | None]:
    """Whether the file gives frames, and what ``check`` says."""
    says = attempt(check, path)
    assert says is None or isinstance(says, str)
    assert says is None or (says and "\n" not in says)
    part = attempt(lambda path: check(path, (5, 9)), path)
    assert part is None or isinstance(part, str)
    # What is wrong with a part is wrong with the whole; but a header that is lost cannot tell how many frames there were.
    assert part is None or says is not None or "which do not hold" in part
    results = [attempt(call, path) for call in (probe, scan, decode_some, decode_with_index)]
    errors = [str(result) for result in results if isinstance(result, DecodeError)]
    assert all(error and "\n" not in error for error in errors)
    for result, count in zip(results[2:], (len(INDICES), 2), strict=True):
        if isinstance(result, np.ndarray):
            assert result.dtype == np.uint8
            # A damaged header may promise another size.
            assert result.shape == (count, *result.shape[1:3], 3)
            assert min(result.shape) > 0
    # A window near the start may have nothing to show where the whole clip has.
    assert isinstance(results[0], DecodeError) or isinstance(results[2], np.ndarray)
    return isinstance(results[2], np.ndarray), says


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    noise = np.random.default_rng(0).integers(0, 255, (4, 6, 3 * FRAMES)).astype(np.uint8)
    small = np.stack([np.roll(noise, step, 1)[..., :3] for step in range(FRAMES)])
    frames = np.kron(small, np.ones((1, 8, 8, 1), np.uint8))
    paths = {suffix: write_video(folder / f"clip{suffix}", frames, gop=8) for suffix in SUFFIXES}
    return {**paths, "images": write_images(folder / "images", list(frames))}


def test_whole_ones_are_not_condemned(whole: dict[str, Path]) -> None:
    for path in whole.values():
        assert check(path) is None
        assert decode(path, INDICES).shape == (len(INDICES), HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_video_gives_frames_or_says_why_not(
    whole: dict[str, Path], tmp_path: Path, suffix: str, damage: Damage
) -> None:
    data = whole[suffix].read_bytes()
    condemned = 0
    for variant in range(VARIANTS):
        path = tmp_path / f"{variant}{suffix}"
        path.write_bytes(damage(random.Random(f"{damage.__name__} {suffix} {variant}"), data))
        gives_frames, says = outcome(path)
        assert gives_frames or says is not None
        condemned += says is not None
    # What falls where nothing depends on it, or gives other pictures that can be decoded, cannot be seen.
    at_least = {cut_off: VARIANTS, overwritten_header: VARIANTS, changed_fields: 0}
    assert condemned >= at_least.get(damage, VARIANTS // 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("percent", [1, 10, 30, 50, 70, 90])
def test_a_truncated_video_is_condemned(whole: dict[str, Path], tmp_path: Path, suffix: str, percent: int) -> None:
    data = whole[suffix].read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: len(data) * percent // 100])
    assert outcome(path)[1] is not None


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"text, not a video\n" * 300, random.Random(0).randbytes(20_000)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_garbage_is_condemned(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(content)
    gives_frames, says = outcome(path)
    assert not gives_frames
    assert says is not None


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("named", [*SUFFIXES, ".mpg"])
def test_a_wrong_extension_makes_no_difference(whole: dict[str, Path], tmp_path: Path, suffix: str, named: str) -> None:
    path = tmp_path / f"renamed{named}"
    shutil.copy(whole[suffix], path)
    assert outcome(path) == (True, None)
    assert np.array_equal(decode(path, INDICES), decode(whole[suffix], INDICES))


def test_an_image_is_no_video(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "image.mp4"
    shutil.copy(next(whole["images"].iterdir()), path)
    gives_frames, says = outcome(path)
    assert not gives_frames
    assert says is not None


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_image_is_read_or_named(whole: dict[str, Path], tmp_path: Path, damage: Damage) -> None:
    for variant in range(VARIANTS):
        folder = tmp_path / str(variant)
        shutil.copytree(whole["images"], folder)
        file = folder / "img_8.jpg"
        file.write_bytes(damage(random.Random(f"{damage.__name__} {variant}"), file.read_bytes()))
        says = attempt(check, folder)
        images = attempt(decode_some, folder)
        if isinstance(images, DecodeError):
            assert str(images) == says == "img_8.jpg is no readable image"
        else:
            assert isinstance(images, np.ndarray)
            assert says is None
            assert images.shape == (len(INDICES), HEIGHT, WIDTH, 3)
        if damage is cut_off:
            assert says is not None


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tif"])
def test_a_damaged_picture_of_another_format_is_read_or_named(tmp_path: Path, suffix: str, damage: Damage) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8))
    noise.save(tmp_path / f"img_1.{suffix}", exif=exif)
    data = (tmp_path / f"img_1.{suffix}").read_bytes()
    for variant in range(VARIANTS):
        (tmp_path / f"img_1.{suffix}").write_bytes(damage(random.Random(f"{damage.__name__} {variant}"), data))
        says = attempt(check, tmp_path)
        images = attempt(lambda path: decode(path, [0, 0]), tmp_path)
        if isinstance(images, DecodeError):
            assert str(images) == says
            assert str(says).startswith(f"img_1.{suffix} ")
        else:
            assert isinstance(images, np.ndarray)
            assert says is None
            assert (images.ndim, images.dtype, len(images)) == (4, np.uint8, 2)


def test_an_empty_image_and_an_unreadable_first_one(whole: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(whole["images"], folder)
    (folder / "img_1.jpg").write_bytes(b"")
    with pytest.raises(DecodeError, match=r"img_1\.jpg"):
        probe(folder)
    assert check(folder) == "img_1.jpg is no readable image"
    assert check(folder, (1, FRAMES)) is None
