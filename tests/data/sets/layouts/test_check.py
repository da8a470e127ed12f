"""What a check finds in a data set, and what training then leaves out."""

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gsfnas.data import DataSettings, check, open_data
from gsfnas.data.sets import _files
from gsfnas.data.sets.epic_kitchens_100 import EpicKitchens100
from gsfnas.data.video import _probe
from gsfnas.errors import UserError

from ...media import numbered, write_video
from .exports import SIZES, settings


def cut_short(video: Path) -> None:
    """A longer video in its place, of which the second half is missing."""
    write_video(video, numbered(40))
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])


def spoil(root: Path) -> dict[str, str]:
    """id -> what is done to the clip: one of each kind of trouble."""
    videos = root / "20bn-something-something-v2"
    train = json.loads((root / "something-something-v2-train.json").read_text())
    (videos / "1.webm").unlink()
    (videos / "2.webm").write_bytes(b"")
    cut_short(videos / "3.webm")
    train[3]["template"] = "Juggling [something]"
    train.append(dict(train[4]))
    train.append({**train[5], "id": "../../etc/passwd"})
    train.append({**train[5], "id": "/etc/passwd"})
    (root / "something-something-v2-train.json").write_text(json.dumps(train))
    return {
        "1": "missing",
        "2": "unreadable",
        "3": "unreadable",
        "4": "mislabelled",
        "5": "duplicate",
        "../../etc/passwd": "refused",
        "/etc/passwd": "refused",
    }


def test_a_check_has_a_row_for_each_trouble_and_training_leaves_out_what_it_condemned(root: Path, tmp_path: Path) -> None:
    expected = spoil(root)
    seen = []
    found = check(settings(root), lambda done, total: seen.append((done, total)))
    assert {row.id: row.problem for row in found.rows} == expected
    assert all(row.message and not row.is_used for row in found.rows)
    assert seen[-1] == (190, 190), "the missing and the mislabelled one have no file to read"
    found.write(tmp_path / "check.csv")
    with (tmp_path / "check.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["problem"] for row in rows) == found.counts
    assert list(rows[0]) == ["split", "id", "path", "problem", "says", "used"]
    data = open_data(settings(root))
    assert sum(map(len, data.splits.values())) == 144 + 48 - 4
    assert len(data.skipped) == 7
    # What a check has named is left out even where nothing else may be.
    annotated = root / "something-something-v2-train.json"
    items = {item["id"]: item for item in json.loads(annotated.read_text())}
    annotated.write_text(json.dumps([items[str(number)] for number in (3, *range(5, 145))]))
    assert len(open_data(settings(root, skip_broken=False)).skipped) == 1


def test_a_look_alone_does_not_find_what_only_a_check_can(root: Path) -> None:
    cut_short(root / "20bn-something-something-v2" / "7.webm")
    assert open_data(settings(root)).skipped == ()
    assert [row.id for row in check(settings(root)).rows] == ["7"]
    assert len(open_data(settings(root)).skipped) == 1


def test_a_check_that_was_stopped_goes_on_and_what_changed_is_checked_again(root: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(settings(root), stop)
    seen = []
    check(settings(root), lambda done, total: seen.append(done))
    assert seen[0] == 60
    video = root / "20bn-something-something-v2" / "9.webm"
    video.write_bytes(b"no video")
    assert [row.id for row in check(settings(root)).rows] == ["9"]


def test_short_clips_are_reported_and_used(root: Path) -> None:
    found = check(settings(root, frames=6))
    assert found.counts == {"too short": 192}
    assert all(row.is_used and "4 frames, fewer than the 6" in row.message for row in found.rows)
    assert len(open_data(settings(root, frames=6)).splits["train"]) == 96


def test_nothing_to_check_in_twins() -> None:
    with pytest.raises(UserError, match="twins is rendered"):
        check(DataSettings(**SIZES))


def test_an_image_that_is_a_link_out_of_the_root_condemns_its_clip(exports: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exports / "something_v1", tmp_path / "set"))
    (tmp_path / "secret.jpg").write_bytes((root / "20bn-something-something-v1/4/00001.jpg").read_bytes())
    image = root / "20bn-something-something-v1/4/00002.jpg"
    image.unlink()
    image.symlink_to(tmp_path / "secret.jpg")
    data = open_data(settings(root, "something_v1"))
    assert data.skipped == ("20bn-something-something-v1/4: 00002.jpg is a link that leads out of the root",)


def test_a_class_of_which_no_clip_can_be_used_is_said(root: Path) -> None:
    train = json.loads((root / "something-something-v2-train.json").read_text())
    gone = [item["id"] for item in train if item["template"] == "moves up"]
    for clip in gone:
        (root / "20bn-something-something-v2" / f"{clip}.webm").write_bytes(b"")
    found = check(settings(root))
    assert found.counts == {"unreadable": len(gone), "empty class": 1}
    assert sum(found.clips.values()) == 192 - len(gone)
    assert open_data(settings(root)).notes == ("without a clip in train: class 'moves up'",)


def test_a_check_survives_a_look_at_other_windows(exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = settings(exports / "epic_kitchens_100", "epic_kitchens_100", cache=str(tmp_path))
    check(asked)
    entries = _files.read_manifest(EpicKitchens100(), asked).splits["test"]
    other = replace(entries[0], start=0.0, stop=0.25)
    (index,) = tmp_path.rglob("index.json")
    _probe.probe_files(exports / "epic_kitchens_100", [other], index)
    monkeypatch.setattr(_probe, "examine", lambda *_: pytest.fail("checked again"))
    assert check(asked).rows == ()
