"""Which images of a folder are its frames: other series beside them, other files, names of every kind."""

import os
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from gsfnas.data.video._frames import RGB, frame_files, frame_numbers
from gsfnas.data.video._index import DecodeError

from ..trees import touch

NUMBERS = range(1, 4)


def series(name: str, numbers: Iterable[int] = NUMBERS) -> list[str]:
    """``img_*.jpg`` as img_00001.jpg and so on."""
    return [name.replace("*", f"{number:05d}") for number in numbers]


def frames(folder: Path, *names: str) -> list[str]:
    return [path.name for path in frame_files(folder, names or RGB)]


def refused(folder: Path, *names: str) -> str:
    with pytest.raises(DecodeError) as caught:
        frame_files(folder, names or RGB)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rgb", ["img_*.jpg", "image_*.jpg", "frame_*.png"])
@pytest.mark.parametrize(
    "others",
    [("flow_x_*.jpg", "flow_y_*.jpg"), ("x_*.jpg", "y_*.jpg"), ("depth_*.png",), ("mask_*.png", "*.jpg"), ("thumb.jpg",)],
)
def test_what_the_layouts_call_rgb_frames_are_the_frames(tmp_path: Path, rgb: str, others: tuple[str, ...]) -> None:
    touch(tmp_path, *series(rgb), *(name for other in others for name in series(other, range(9))))
    assert frames(tmp_path) == series(rgb)
    assert frame_numbers(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize("others", [("flow_x_*.jpg", "flow_y_*.jpg"), ("depth_*.png",), ("mask_*.png",), ("thumb.jpg",)])
def test_of_series_whose_names_say_nothing_one_must_be_chosen(tmp_path: Path, others: tuple[str, ...]) -> None:
    touch(tmp_path, *series("*.jpg"), *(name for other in others for name in series(other)))
    message = refused(tmp_path)
    assert message.startswith(f"it holds {1 + len(others)} series of images: ")
    assert "*.jpg (3)" in message
    assert all(f"{other} ({3 if '*' in other else 1})" in message for other in others)
    assert "say which are its frames, as 'data.frame_names=" in message
    assert frames(tmp_path, "*.jpg") == frames(tmp_path, "*") == series("*.jpg")
    assert frames(tmp_path, others[0]) == (series(others[0]) if "*" in others[0] else [others[0]])


def test_two_series_that_may_both_be_rgb_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *series("img_*.jpg"), *series("frame_*.jpg"))
    assert "frame_*.jpg (3), img_*.jpg (3)" in refused(tmp_path)
    assert frames(tmp_path, "img_*") == series("img_*.jpg")


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *series("img_*.jpg"), *series("flow_*.jpg"))
    assert refused(tmp_path, "rbg_*.png") == (
        "it holds 2 series of images: flow_*.jpg (3), img_*.jpg (3); none of them is rbg_*.png; say which are its frames, as "
        "'data.frame_names=img_*.jpg'"
    )


def test_two_cameras_are_two_series(tmp_path: Path) -> None:
    touch(tmp_path, *series("cam1_*.jpg"), *series("cam2_*.jpg"))
    assert "cam1_*.jpg (3), cam2_*.jpg (3)" in refused(tmp_path)
    assert frames(tmp_path, "cam2_*.jpg") == series("cam2_*.jpg")


def test_a_frame_is_a_jpeg_or_a_png_but_not_both(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.png", "3.jpg")
    assert frames(tmp_path) == ["1.jpg", "2.png", "3.jpg"]
    touch(tmp_path, "2.jpg")
    assert refused(tmp_path).startswith("it holds 2 series of images: *.jpg (3), 2.png (1); ")
    assert frames(tmp_path, "*.jpg") == ["1.jpg", "2.jpg", "3.jpg"]


def test_img_as_jpeg_and_png_must_be_chosen(tmp_path: Path) -> None:
    touch(tmp_path, *series("img_*.jpg"), *series("img_*.png"))
    assert refused(tmp_path) == (
        "img_00001.jpg and img_00001.png have the same number; say which are its frames, as 'data.frame_names=img_*.jpg'"
    )
    assert frames(tmp_path, "img_*.png") == series("img_*.png")


@pytest.mark.parametrize(
    "name", ["*.jpg", "v_Archery_g01_c01_*.jpg", "frame-*-1920x1080.png", "clip 3 (*).webp", "*.tif", "a.b.*.bmp"]
)
def test_one_series_of_any_name_is_the_frames(tmp_path: Path, name: str) -> None:
    touch(tmp_path, *series(name), "list.txt", ".img_00009.jpg", "sound.wav")
    assert frames(tmp_path) == frames(tmp_path, "img_*.jpg") == series(name)
    assert frame_numbers(tmp_path) == [0, 1, 2]


def test_a_second_number_that_goes_along_or_without_numbers_at_all(tmp_path: Path) -> None:
    names = [f"{number:04d}_at_{number // 25}.{number % 25:02d}.jpg" for number in range(60)]
    touch(tmp_path / "seconds", *names)
    assert frames(tmp_path / "seconds") == names
    assert frame_numbers(tmp_path / "seconds") == list(range(60))
    touch(tmp_path / "letters", "c.jpg", "a.jpg", "b.png")
    assert frames(tmp_path / "letters") == ["a.jpg", "b.png", "c.jpg"]
    assert frame_numbers(tmp_path / "letters") is None
    assert frames(touched(tmp_path / "empty")) == []


def touched(folder: Path, *names: str) -> Path:
    folder.mkdir()
    touch(folder, *names)
    return folder


def test_two_numbers_that_go_round_are_one_series_if_it_is_said_so(tmp_path: Path) -> None:
    names = [f"{second}.{frame:02d}.jpg" for second in range(3) for frame in (0, 50)]
    touch(tmp_path, *names)
    assert "0.*.jpg (2), 1.*.jpg (2), 2.*.jpg (2)" in refused(tmp_path)
    assert frames(tmp_path, "*.*.jpg") == names


def test_many_series_are_not_all_listed(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{letter}{number}.jpg" for letter in "abcdefg" for number in NUMBERS))
    assert "a*.jpg (3), b*.jpg (3), c*.jpg (3), d*.jpg (3) and 3 more; say" in refused(tmp_path)


@pytest.mark.parametrize(("first", "numbers"), [(0, [0, 1, 3]), (1, [0, 1, 3]), (5, [4, 5, 7])])
def test_numbers_count_from_the_one_that_the_names_count_from(tmp_path: Path, first: int, numbers: list[int]) -> None:
    touch(tmp_path, *series("img_*.jpg", (first, first + 1, first + 3)), *series("flow_x_*.jpg"))
    assert frame_numbers(tmp_path) == numbers


@pytest.mark.parametrize("kind", ["pipe", "socket", "link to nothing", "folder", "device"])
def test_an_image_that_is_no_file_is_refused_at_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *series("img_*.jpg"))
    place = tmp_path / "img_00009.jpg"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        # Its address may have a hundred letters.
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(place.name)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero" if kind == "device" else "nothing")
    assert refused(tmp_path) == "img_00009.jpg is not a regular file"
