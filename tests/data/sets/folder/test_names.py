"""Names that are not UTF-8, and names that a program would obey."""

import csv
import itertools
import os
from pathlib import Path

from gsfnas.data import DataSettings, check, open_data, preview

from .library import CLASSES, refused, settings


def test_names_that_are_not_utf8_are_used_and_shown_written_out(root: Path, tmp_path: Path) -> None:
    folder = os.fsdecode(b"caf\xe9")
    for name in CLASSES:
        (root / name / "0.mp4").rename(root / name / f"{folder}.mp4")
        (root / name / "images 0").rename(root / name / f"{folder} images")
    image = root / "rise" / f"{folder} images" / "img_1.jpg"
    image.rename(image.with_name(f"{folder}_1.jpg"))
    for other in sorted(image.parent.glob("img_*.jpg")):
        other.rename(other.with_name(f"{folder}_{other.stem[4:]}.jpg"))
    (root / "rise").rename(root / folder)
    data = open_data(settings(root, seed=3))
    assert data.tasks == {"class": ("caf\\xe9", "fall")}
    assert sum(map(len, data.splits.values())) == 12
    assert data.fingerprint == open_data(settings(root, seed=3)).fingerprint
    names = [name for split in data.splits.values() for name in split.names]
    assert "caf\\xe9/caf\\xe9.mp4" in names
    assert all(name.isprintable() for name in names)
    (root / "fall" / f"{folder}.mp4").write_bytes(b"")
    found = check(settings(root, frames=30, skip_broken=True))
    found.write(tmp_path / "check.csv")
    text = (tmp_path / "check.csv").read_text("utf-8")
    assert "fall/caf\\xe9.mp4,unreadable," in text
    (reason,) = open_data(settings(root, skip_broken=True)).skipped
    assert reason.startswith("fall/caf\\xe9.mp4: ")
    assert preview(settings(root, skip_broken=True), tmp_path / "sheet.png", split="train").stat().st_size > 1000


def test_a_root_whose_name_is_not_utf8(root: Path, tmp_path: Path) -> None:
    other = root.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    assert len(open_data(settings(other)).splits["train"]) == 8
    (other / "rise" / "0.mp4").write_bytes(b"")
    assert "0.mp4 cannot be decoded" in refused(settings(other))


def test_names_that_a_spreadsheet_or_a_terminal_would_obey(root: Path, tmp_path: Path) -> None:
    formula, escape = "=cmd|'%C calc'!A0", "\x1b]0;owned\x07\u202e\n.mp4"
    (root / "rise").rename(root / formula)
    (root / formula / "0.mp4").rename(root / formula / escape)
    (root / formula / escape).write_bytes(b"")
    (root / formula / "=1+1.txt").write_text("")
    data = open_data(settings(root, skip_broken=True))
    assert data.tasks == {"class": (formula, "fall")}
    assert len(data.skipped) == 2
    assert all(reason.isprintable() for reason in (*data.skipped, *data.notes))
    assert data.skipped[1].startswith(formula + "/\\x1b]0;owned\\x07\\u202e\\x0a.mp4: ")
    check(settings(root, skip_broken=True)).write(tmp_path / "check.csv")
    with (tmp_path / "check.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 3
    for cell in itertools.chain(*rows):
        assert cell.replace("\n", "").isprintable()
        assert not cell.startswith(("=", "+", "-", "@"))
    assert rows[2][1].startswith(f"'{formula}/")
    assert preview(settings(root, skip_broken=True), tmp_path / "sheet.png", split="train").stat().st_size > 1000


def test_a_root_that_no_path_can_be(root: Path) -> None:
    assert "File name too long" in refused(settings(root / ("x" * 5000)))
    assert "`data.root` is ~nobody-of-this-name/x, but there is no such user" in refused(
        DataSettings(name="folder", root="~nobody-of-this-name/x", cache=str(root.parent / "cache"))
    )
