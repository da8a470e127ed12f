"""Pictures of every kind of values and in every position; and files that are made to fill the memory, or to be waited for."""

import io
import os
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps

from gsfnas.data.video import _index, _pictures
from gsfnas.data.video._decode import DecodeError, check, decode, probe
from gsfnas.data.video._pictures import orientation_of, read_picture, upright
from gsfnas.data.video._probe import in_threads

HEIGHT, WIDTH = 6, 10
# Each of the 16 bits' upper 8 with some lower 8.
DEEP = (np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 1093 + 77).astype(np.uint16)
GREY = np.repeat((DEEP >> 8).astype(np.uint8)[..., None], 3, axis=2)
# No two corners alike.
SCENE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def png(values: np.ndarray, *more: bytes) -> bytes:
    """A PNG of (H, W) or (H, W, channels) values of 8 or 16 bits; ``more`` are chunks before the pixels."""
    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values[0, 0].size]
    header = struct.pack(">IIBBBBB", width, height, 8 * values.itemsize, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(values.dtype.newbyteorder(">")).tobytes() for row in values)
    chunks = (chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff(pixels: bytes, *, order: str = "<", **tags: int) -> bytes:
    """A TIFF of one strip of HEIGHT x WIDTH; ``tags`` are bits, photometric, format, tile_width and tile_height."""
    numbers = {"bits": 258, "photometric": 262, "format": 339, "tile_width": 322, "tile_height": 323}
    found = {256: WIDTH, 257: HEIGHT, 259: 1, 273: 8, 277: 1, 278: HEIGHT, 279: len(pixels), 262: 1}
    found |= {numbers[name]: value for name, value in tags.items()}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(found.items()))
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8 + len(pixels))
    return start + pixels + struct.pack(f"{order}H", len(found)) + entries + bytes(4)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.fixture
def nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)


def test_of_16_bits_the_upper_8_are_taken(tmp_path: Path) -> None:
    alpha = np.full_like(DEEP, 9)
    colours = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)
    files = {
        "grey.png": (png(DEEP), GREY),
        "grey_alpha.png": (png(np.stack([DEEP, alpha], axis=2)), GREY),
        "rgb.png": (png(colours), (colours >> 8).astype(np.uint8)),
        "rgba.png": (png(np.dstack([colours, alpha])), (colours >> 8).astype(np.uint8)),
        "small_end.tif": (tiff(DEEP.astype("<u2").tobytes(), bits=16), GREY),
        "big_end.tif": (tiff(DEEP.astype(">u2").tobytes(), order=">", bits=16), GREY),
        "white_is_0.tif": (tiff((~DEEP).astype("<u2").tobytes(), bits=16, photometric=0), GREY),
    }
    for name, (content, expected) in files.items():
        (tmp_path / name).write_bytes(content)
        assert np.array_equal(read_picture(tmp_path / name), expected), name


def test_of_12_bits_the_upper_8_are_taken(tmp_path: Path) -> None:
    values = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 68 + 5) % 4096
    bits = "".join(f"{value:012b}" for value in values.ravel())
    pixels = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    (tmp_path / "twelve.tif").write_bytes(tiff(pixels, bits=12))
    assert np.array_equal(read_picture(tmp_path / "twelve.tif")[..., 0], values >> 4)


def test_what_has_no_defined_range_is_refused(tmp_path: Path) -> None:
    levels = DEEP.astype(np.float32)
    for name, image in (("I", Image.fromarray(DEEP.astype(np.int32))), ("F", Image.fromarray(levels))):
        file = saved(tmp_path / f"{name}.tif", image)
        with pytest.raises(DecodeError, match=rf"{name}\.tif has values of 32 bits, which have no defined range"):
            read_picture(file)
    (tmp_path / "signed.tif").write_bytes(tiff(DEEP.astype("<i2").tobytes(), bits=16, format=2))
    with pytest.raises(DecodeError, match="no defined range"):
        read_picture(tmp_path / "signed.tif")
    lab = ImageCms.profileToProfile(
        Image.fromarray(SCENE), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    with pytest.raises(DecodeError, match=r"lab\.tif has colours of LAB"):
        read_picture(saved(tmp_path / "lab.tif", lab))


def test_other_modes_are_what_they_were(tmp_path: Path) -> None:
    rgb = Image.fromarray(SCENE)
    palette = rgb.quantize(16)
    images = [
        (rgb, "png", {}),
        (rgb.convert("L"), "png", {}),
        (rgb.convert("1"), "png", {}),
        (rgb.convert("1"), "bmp", {}),
        (rgb.convert("1"), "tif", {"compression": "group4"}),
        (rgb.convert("LA"), "png", {}),
        (rgb.convert("RGBA"), "png", {}),
        (rgb.convert("RGBA"), "webp", {"lossless": True}),
        (rgb, "bmp", {}),
        (rgb, "tif", {"compression": "tiff_lzw"}),
        (rgb.convert("CMYK"), "tif", {}),
        (rgb.convert("CMYK"), "jpg", {}),
        (rgb, "jpg", {"progressive": True}),
        (palette, "png", {}),
        (palette, "bmp", {}),
    ]
    for number, (image, suffix, options) in enumerate(images):
        file = saved(tmp_path / f"{number}.{suffix}", image, **options)
        assert np.array_equal(read_picture(file), Image.open(file).convert("RGB")), (image.mode, suffix)


def test_transparency_is_left_out(tmp_path: Path) -> None:
    """Also that of a palette, of which Pillow would warn."""
    palette = Image.fromarray(SCENE).quantize(16)
    whole = np.asarray(palette.convert("RGB"))
    for number, transparency in enumerate((0, bytes(range(16)))):
        file = saved(tmp_path / f"{number}.png", palette, transparency=transparency)
        assert np.array_equal(read_picture(file), whole)
    see_through = Image.fromarray(np.dstack([SCENE, np.zeros_like(SCENE[..., :1])]))
    assert np.array_equal(read_picture(saved(tmp_path / "through.png", see_through)), SCENE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_picture_stands_as_a_viewer_shows_it(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    file = saved(tmp_path / f"turned.{suffix}", Image.fromarray(SCENE), exif=exif, **options)
    found = read_picture(file)
    assert found.shape == ((WIDTH, HEIGHT, 3) if orientation > 4 else (HEIGHT, WIDTH, 3))
    assert np.array_equal(found, ImageOps.exif_transpose(Image.open(file)))


def test_the_eight() -> None:
    """Where row 0 and column 0 of what is stored are seen, as the Exif standard lists them."""
    seen = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }
    rows = np.repeat(np.arange(HEIGHT)[:, None], WIDTH, axis=1)
    columns = np.repeat(np.arange(WIDTH)[None], HEIGHT, axis=0)
    edges = {"top": np.s_[0], "bottom": np.s_[-1], "left": np.s_[:, 0], "right": np.s_[:, -1]}
    for orientation, (row, column) in seen.items():
        assert not upright(rows[..., None], orientation)[edges[row]].any()
        assert not upright(columns[..., None], orientation)[edges[column]].any()


def test_a_display_matrix_is_an_orientation() -> None:
    one = 1 << 16
    for (a, b, c, d), orientation in {
        (one, 0, 0, one): 1,
        (-one, 0, 0, one): 2,
        (-one, 0, 0, -one): 3,
        (one, 0, 0, -one): 4,
        (0, one, one, 0): 5,
        (0, one, -one, 0): 6,
        (0, -one, -one, 0): 7,
        (0, -one, one, 0): 8,
        # Some degrees off, and damaged.
        (one, 900, -900, one): 1,
        (0, 0, 0, 0): 1,
    }.items():
        assert orientation_of(struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)) == orientation


@pytest.mark.parametrize("exif", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(40), b"?" * 99])
def test_a_damaged_exif_block_turns_nothing(tmp_path: Path, exif: bytes) -> None:
    file = saved(tmp_path / "odd.png", Image.fromarray(SCENE), exif=exif)
    assert np.array_equal(read_picture(file), SCENE)
    assert check(tmp_path) is None


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    assert np.array_equal(read_picture(saved(tmp_path / "odd.png", Image.fromarray(SCENE), exif=exif)), SCENE)


def test_frames_of_a_clip_take_the_upright_size_of_the_first(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    saved(tmp_path / "img_1.png", Image.fromarray(SCENE), exif=exif)
    saved(tmp_path / "img_2.png", Image.fromarray(SCENE))
    saved(tmp_path / "img_3.png", Image.fromarray(np.rot90(SCENE, -1)))
    images = decode(tmp_path, [0, 1, 2])
    assert images.shape == (3, WIDTH, HEIGHT, 3)
    assert np.array_equal(images[0], images[2])
    assert np.array_equal(images[0], np.rot90(SCENE, -1))


def test_what_was_read_otherwise_before_has_another_digest(tmp_path: Path) -> None:
    """A cache of before holds other pixels; the names and sizes of the files are the same."""
    digests = set()
    for orientation in (1, 3, 6):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        saved(tmp_path / "img_1.png", Image.fromarray(SCENE), exif=exif)
        digests.add(probe(tmp_path).digest)
    assert len(digests) == 3


FORMATS = ("png", "jpg", "webp", "bmp", "tif")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_with_too_many_pixels_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_is_decoded: None, suffix: str
) -> None:
    monkeypatch.setattr(_index, "_MAX_PIXELS", HEIGHT * WIDTH - 1)
    saved(tmp_path / f"img_1.{suffix}", Image.fromarray(SCENE))
    reason = f"img_1.{suffix} has 10 x 6 pixels; more than 59 are not decoded"
    assert check(tmp_path) == reason
    for call in (probe, lambda path: decode(path, [0])):
        with pytest.raises(DecodeError) as caught:
            call(tmp_path)
        assert str(caught.value) == reason


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (13_000, 13_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_nothing_of_what_pillow_says_of_large_ones_is_seen(
    tmp_path: Path, nothing_is_decoded: None, width: int, height: int
) -> None:
    """It would warn of the second, and raise for the third, before anybody could look at the size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(99)))
    (tmp_path / "img_1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    assert check(tmp_path) == f"img_1.png has {width} x {height} pixels; more than 67,108,864 are not decoded"


@pytest.mark.parametrize(("width", "height"), [(101, 1), (3, 400)])
def test_one_side_may_not_be_much_longer_than_the_other(
    tmp_path: Path, nothing_is_decoded: None, width: int, height: int
) -> None:
    """The longer one grows with the short one, which is resized."""
    saved(tmp_path / "img_1.png", Image.new("L", (width, height)))
    assert check(tmp_path) == f"img_1.png has {width} x {height} pixels; more than 100 to 1 are not decoded"


def test_tiles_larger_than_the_picture(tmp_path: Path, nothing_is_decoded: None) -> None:
    (tmp_path / "img_1.tif").write_bytes(tiff(bytes(60), bits=8, tile_width=32_768, tile_height=32_768))
    assert "is stored in tiles of 32768 x 32768 pixels" in str(check(tmp_path))


def test_a_jpeg_of_many_scans_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_is_decoded: None) -> None:
    monkeypatch.setattr(_pictures, "_MAX_SCANNED", 100 * HEIGHT * WIDTH)
    file = saved(tmp_path / "img_1.jpg", Image.fromarray(SCENE), progressive=True)
    data = file.read_bytes()
    scan = data[data.rindex(b"\xff\xda") : -2]
    file.write_bytes(data[:-2] + 200 * scan + data[-2:])
    assert str(check(tmp_path)).endswith("scans, each of the whole picture")


def test_texts_and_profiles_that_grow_when_unpacked(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(80 << 20))
    for name, data in (
        (b"zTXt", b"note\0\0" + bomb),
        (b"iTXt", b"note\0\1\0\0\0" + bomb),
        (b"iCCP", b"profile\0\0" + bomb),
    ):
        (tmp_path / "img_1.png").write_bytes(png(SCENE, chunk(name, data)))
        begin = time.monotonic()
        assert check(tmp_path) in (None, "img_1.png is no readable image")
        assert time.monotonic() - begin < 5


def test_of_several_pictures_in_a_file_the_first_is_decoded(tmp_path: Path) -> None:
    others = [Image.fromarray(np.full_like(SCENE, level)) for level in (0, 50, 100)]
    for suffix, options in (("png", {}), ("webp", {"lossless": True}), ("tif", {})):
        file = saved(tmp_path / f"many.{suffix}", Image.fromarray(SCENE), save_all=True, append_images=others, **options)
        with Image.open(file) as image:
            assert image.n_frames == 4
        assert np.array_equal(read_picture(file), SCENE)


def test_large_ones_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "img_1.png", Image.fromarray(SCENE))
    running, most = [], []
    rgb = _pictures._rgb

    def slow(*arguments: Any) -> Any:
        running.append(1)
        time.sleep(0.05)
        most.append(len(running))
        running.pop()
        return rgb(*arguments)

    monkeypatch.setattr(_pictures, "_rgb", slow)
    for large, at_once in ((HEIGHT * WIDTH - 1, 1), (HEIGHT * WIDTH, 4)):
        monkeypatch.setattr(_pictures, "_LARGE", large)
        most.clear()
        threads = [threading.Thread(target=read_picture, args=(tmp_path / "img_1.png",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(most) == at_once


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_a_process_forked_meanwhile_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pictures, "_LARGE", 0)
    saved(tmp_path / "img_1.png", Image.fromarray(SCENE))
    with _pictures._large:
        process = os.fork()
        if process == 0:
            read_picture(tmp_path / "img_1.png")
            os._exit(7)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(process, 9)
    assert os.waitstatus_to_exitcode(ended[1]) == 7


def test_what_is_no_picture_of_these_formats(tmp_path: Path) -> None:
    """EPS above all, for which Pillow starts another program."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    gif = io.BytesIO()
    Image.fromarray(SCENE).save(gif, "gif")
    for number, content in enumerate((eps, gif.getvalue(), b"", b"BM", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"MM\0*\0\0\0\x08")):
        file = tmp_path / f"{number}.png"
        file.write_bytes(content)
        with pytest.raises(DecodeError, match=rf"{number}\.png is no readable image"):
            read_picture(file)


def test_the_content_says_what_a_file_is(tmp_path: Path) -> None:
    for suffix, format in (("jpg", "png"), ("png", "bmp"), ("bmp", "webp"), ("webp", "tiff")):
        file = saved(tmp_path / f"named.{suffix}", Image.fromarray(SCENE), format=format, **{"lossless": True})
        assert np.array_equal(read_picture(file), SCENE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_pipe").symlink_to("pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    begin = time.monotonic()
    for name, reason in (
        ("pipe", "a pipe or a device"),
        ("to_pipe", "a pipe or a device"),
        ("endless", "a pipe or a device"),
        ("folder", "it is a folder"),
        ("none", "No such file"),
    ):
        with pytest.raises(DecodeError, match=f"{name}: .*{reason}"):
            read_picture(tmp_path / name)
    assert time.monotonic() - begin < 5


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    file = saved(tmp_path / "long.bmp", Image.fromarray(SCENE))
    os.truncate(file, 5 << 30)
    with pytest.raises(DecodeError, match=r"long\.bmp: it has 5,120 MiB, more than"):
        read_picture(file)


def test_many_at_once(tmp_path: Path) -> None:
    for number in range(40):
        saved(tmp_path / f"img_{number}.jpg", Image.fromarray(np.full_like(SCENE, number)))
    found = in_threads(read_picture, [tmp_path / f"img_{number}.jpg" for number in range(40)])
    assert [round(float(image.mean())) for image in found] == list(range(40))
