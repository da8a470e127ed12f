"""Windows of time in videos and in folders of images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import check, open_data
from gsfnas.data.video import _decode, _index
from gsfnas.errors import UserError

from ...media import numbered, numbers_of, write_images, write_video
from .exports import everything, settings


def test_windows_beyond_the_end_are_rows_and_the_rest_of_the_video_is_used(exports: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exports / "epic_kitchens_100", tmp_path / "epic"))
    path = root / "EPIC_100_train.csv"
    lines = path.read_text().splitlines()
    header = lines[0].split(",")
    cells = dict(zip(header, next(csv.reader([lines[1]])), strict=True))
    cells |= {"start_timestamp": "01:00:00.000", "stop_timestamp": "01:00:00.500"}
    lines[1] = ",".join(f'"{cells[name]}"' for name in header)
    path.write_text("\n".join(lines) + "\n")
    found = check(settings(root, "epic_kitchens_100"))
    assert [(row.problem, row.is_used) for row in found.rows] == [("too short", False)]
    assert "no frame lies in 3600 to 3600.5 seconds, since the video has" in found.rows[0].message
    assert sum(map(len, open_data(settings(root, "epic_kitchens_100")).splits.values())) == 191


def test_a_table_of_clips_with_windows_and_splits(tmp_path: Path) -> None:
    frames = numbered(40, 36, 48)
    for name in "ab":
        write_video(tmp_path / "videos" / f"{name}.mp4", frames)
    rows = [
        f"videos/{name}.mp4,{name},{start},{start + 0.8:.1f},{split}"
        for name in "ab"
        for split, start in (("train", 0.0), ("train", 1.0), ("val", 2.0), ("test", 3.0))
    ]
    (tmp_path / "clips.csv").write_text("path,label,start,stop,split\n" + "\n".join(rows) + "\n")
    data = open_data(settings(tmp_path, "folder", csv="clips.csv", cache=str(tmp_path / "cache")))
    assert data.tasks == {"class": ("a", "b")}
    clips, labels = everything(data, "test")
    assert labels["class"].tolist() == [0, 1]
    # Ten frames a second: 3.0 to 3.8 s are the frames 30 to 37, of which every second one is taken, from the second on.
    assert numbers_of(clips[0]) == [31, 33, 35, 37]
    with pytest.raises(UserError, match=r"cannot read .*none\.csv"):
        open_data(settings(tmp_path, "folder", csv="none.csv"))


@pytest.mark.parametrize("first", [0, 1])
def test_seconds_of_images_are_the_frames_that_the_video_shows_then(tmp_path: Path, first: int) -> None:
    rows = []
    for name in "ab":
        folder = write_images(tmp_path / name, list(numbered(30, 16, 16)), first)
        for series in ("flow_x", "flow_y"):
            write_images(folder / "flow", list(numbered(30, 16, 16))[::-1])
            for image in (folder / "flow").iterdir():
                image.rename(folder / image.name.replace("img", series))
        (folder / "flow").rmdir()
        rows += [
            f"{name},{name},{start},{start + 0.4},10,{split}" for start, split in ((0, "train"), (1, "val"), (2.5, "test"))
        ]
    (tmp_path / "clips.csv").write_text("path,label,start,stop,fps,split\n" + "\n".join(rows) + "\n")
    data = open_data(settings(tmp_path, "folder", csv="clips.csv", skip_broken=False, cache=str(tmp_path / "cache")))
    for split, numbers in (("train", [0, 1, 2, 3]), ("val", [10, 11, 12, 13]), ("test", [25, 26, 27, 28])):
        assert [numbers_of(clip) for clip in everything(data, split)[0]] == [numbers] * 2
    assert data.splits["test"].names == (f"{tmp_path.name}/a:25", f"{tmp_path.name}/b:25")
    # A frame that is lost moves no other.
    for name in "ab":
        (tmp_path / name / f"img_{first + 5}.jpg").unlink()
    data = open_data(settings(tmp_path, "folder", csv="clips.csv", skip_broken=False, cache=str(tmp_path / "cache")))
    assert numbers_of(everything(data, "test")[0][0]) == [25, 26, 27, 28]


def test_windows_of_a_long_video_do_not_read_through_it_again(
    exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"name": "epic_kitchens_100", "cache": str(tmp_path), "cache_gb": 0.0}
    before = everything(open_data(settings(exports / "epic_kitchens_100", **values)), "test")[0]

    def fail(*_: object) -> None:
        raise AssertionError("read through again")

    monkeypatch.setattr(_index, "read_packets", fail)
    monkeypatch.setattr(_decode, "read_packets", fail)
    assert np.array_equal(everything(open_data(settings(exports / "epic_kitchens_100", **values)), "test")[0], before)
    monkeypatch.undo()
    # Damaged or gone, it is made again from the file.
    for kept in tmp_path.rglob("*.npz"):
        kept.write_bytes(b"")
    _index._read.cache_clear()
    assert np.array_equal(everything(open_data(settings(exports / "epic_kitchens_100", **values)), "test")[0], before)


def test_a_window_that_goes_on_after_the_video_is_used_as_far_as_it_goes_and_has_a_row(exports: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exports / "diving48", tmp_path / "set"))
    path = root / "Diving48_V2_train.json"
    items = json.loads(path.read_text())
    items[0]["end_frame"] = 900
    path.write_text(json.dumps(items))
    found = check(settings(root, "diving48"))
    assert [(row.problem, row.message, row.is_used) for row in found.rows] == [
        ("too short", "of its 900 frames 896 are not there", True)
    ]
    assert found.clips == {"train": 96, "val": 48, "test": 48}


def test_two_classes_in_one_window_and_two_windows_from_one_start(tmp_path: Path) -> None:
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", numbered(40))
    rows = [f"{name}.mp4,{name},0,{stop},{split}" for name in "ab" for split, stop in (("train", 1), ("val", 2), ("test", 3))]
    (tmp_path / "clips.csv").write_text("path,label,start,stop,split\n" + "\n".join(rows) + "\n")
    data = open_data(settings(tmp_path, "folder", csv="clips.csv", skip_broken=False, cache=str(tmp_path / "cache")))
    assert [len(split) for split in data.splits.values()] == [2, 2, 2]
