"""Links within a folder, and out of it."""

import shutil
from pathlib import Path

import pytest

from gsfnas.data import check, open_data

from ...media import numbered, write_images, write_video
from .library import divide, refused, settings


@pytest.mark.parametrize("what", ["clip", "class", "image"])
def test_no_path_leaves_the_root(root: Path, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside"
    if what == "class":
        for number in range(3):
            write_images(outside / f"clip{number}", list(numbered(3)))
        (root / "wave").symlink_to(outside)
    elif what == "clip":
        write_video(outside / "a.mp4", numbered(3))
        (root / "rise" / "link.mp4").symlink_to(outside / "a.mp4")
    else:
        write_images(outside, list(numbered(1)))
        (root / "rise" / "images 0" / "img_99.jpg").symlink_to(outside / "img_1.jpg")
    assert "leads out of" in refused(settings(root))


@pytest.mark.parametrize("what", ["clip", "folder", "image"])
def test_a_link_out_of_the_root_is_one_row_of_a_check(root: Path, tmp_path: Path, what: str) -> None:
    before = check(settings(root)).clips
    outside = write_images(tmp_path / "outside", list(numbered(3)))
    if what == "image":
        (root / "rise" / "images 0" / "img_99.jpg").symlink_to(outside / "img_1.jpg")
    else:
        (root / "rise" / f"link{'.mp4' if what == 'clip' else ''}").symlink_to(outside)
    found = check(settings(root))
    (row,) = found.rows
    path, kind = ("rise/images 0", "unreadable") if what == "image" else (row.path, "refused")
    assert (row.path, row.problem, row.is_used) == (path, kind, False)
    assert "leads out of the root" in row.message
    assert str(outside) not in row.message
    assert sum(found.clips.values()) == sum(before.values()) - (what == "image")
    (reason,) = open_data(settings(root, skip_broken=True)).skipped
    assert "leads out of the root" in reason


def test_splits_may_be_links_to_other_disks(root: Path, tmp_path: Path) -> None:
    root = divide(root)
    before = open_data(settings(root)).fingerprint
    for split in ("train", "val", "test"):
        (root / split).rename(tmp_path / f"disk {split}")
        (root / split).symlink_to(tmp_path / f"disk {split}")
    assert open_data(settings(root)).fingerprint == before
    # A link on that disk that stays there, and one that does not.
    clip = tmp_path / "disk train" / "rise" / "0.mp4"
    clip.rename(tmp_path / "disk train" / "kept.mp4.bin")
    clip.symlink_to(tmp_path / "disk train" / "kept.mp4.bin")
    image = next((tmp_path / "disk test" / "rise").rglob("img_3.jpg"))
    image.rename(image.with_name("kept.bin"))
    image.symlink_to("kept.bin")
    assert open_data(settings(root)).fingerprint == before
    clip.unlink()
    clip.symlink_to(tmp_path / "disk val" / "rise" / "outside.mp4")
    assert open_data(settings(root, skip_broken=True)).skipped == ("train/rise/0.mp4: it does not exist",)
    clip.unlink()
    (tmp_path / "outside.mp4").write_bytes(b"")
    clip.symlink_to(tmp_path / "outside.mp4")
    assert "train/rise/0.mp4 leads out of" in refused(settings(root))


def test_links_that_go_round_in_circles(root: Path) -> None:
    (root / "rise" / "again.mp4").symlink_to("again.mp4")
    assert open_data(settings(root, skip_broken=True)).skipped == ("rise/again.mp4: it does not exist",)
    (root / "rise" / "again.mp4").unlink()
    (root / "images").symlink_to("images")
    (root / "rise" / "images 0" / "img_99.jpg").symlink_to("img_99.jpg")
    assert open_data(settings(root, skip_broken=True)).skipped == ("rise/images 0: img_99.jpg is not a regular file",)
    root = divide(root)
    shutil.rmtree(root / "train")
    (root / "train").symlink_to(".")
    assert "stands where a clip is expected, but holds" in refused(settings(root))
    (root / "around").symlink_to("around")
    assert "does not exist" in refused(settings(root / "around"))


def test_a_root_that_is_a_link_is_fine(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert len(open_data(settings(link)).splits["train"]) == 8
