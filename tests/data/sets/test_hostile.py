"""Files that nobody should have put among annotations and clips: each is one line, at once, and none is waited for."""

import os
from pathlib import Path

import pytest

from gsfnas.config import compose_data
from gsfnas.data import DataSettings, check, open_data
from gsfnas.errors import UserError

from ..media import numbered, write_images

SETS = {
    "something_v1": [f"something-something-v1-{name}.csv" for name in ("labels", "train", "validation")],
    "something_v2": [f"something-something-v2-{name}.json" for name in ("labels", "train", "validation")],
    "kinetics400": ["train.csv", "val.csv"],
    "diving48": ["Diving48_vocab.json", "Diving48_V2_train.json", "Diving48_V2_test.json"],
    "epic_kitchens_100": [f"EPIC_100_{name}.csv" for name in ("verb_classes", "noun_classes", "train", "validation")],
    "folder": ["clips.csv"],
}
FILES = [(name, file) for name, files in SETS.items() for file in files]


def settings(root: Path, name: str, **values: object) -> DataSettings:
    given: dict[str, object] = {"csv": "clips.csv"} if name == "folder" else {}
    given |= {"frames": 4, "resolution": 16, "cache": str(root.parent / "cache"), **values}
    return DataSettings(name=name, root=str(root), **given)  # type: ignore[arg-type]


def refused(asked: DataSettings) -> str:
    with pytest.raises(UserError) as caught:
        open_data(asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The annotations of all sets, good enough to be read until the one that a test replaces."""
    folder = tmp_path / "set"
    folder.mkdir()
    texts = {
        "something-something-v1-labels.csv": "a\nb\n",
        "something-something-v2-labels.json": '{"a": 0, "b": 1}',
        "train.csv": "label,youtube_id,time_start,time_end\na,x,0,1\nb,y,0,1\n",
        "Diving48_vocab.json": '[["a"], ["b"]]',
        "EPIC_100_verb_classes.csv": "id,key\n0,a\n1,b\n",
        "EPIC_100_noun_classes.csv": "id,key\n0,a\n1,b\n",
        "EPIC_100_train.csv": "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame,"
        "verb_class,noun_class\n",
    }
    for file in {file for files in SETS.values() for file in files}:
        (folder / file).write_text(texts.get(file, "[]" if file.endswith(".json") else "1;a\n"))
    return folder


@pytest.mark.parametrize(("name", "file"), FILES)
def test_an_annotation_that_is_no_file_is_refused_at_once(root: Path, name: str, file: str) -> None:
    (root / file).unlink()
    os.mkfifo(root / file)
    assert refused(settings(root, name)) == f"cannot read {root / file}: it is a pipe or a device, not a regular file"
    (root / file).unlink()
    (root / file).symlink_to("/dev/zero")
    assert refused(settings(root, name)) == f"cannot read {root / file}: it is a pipe or a device, not a regular file"


@pytest.mark.parametrize(("name", "file"), FILES)
def test_an_annotation_that_fills_memory_is_refused_at_once(root: Path, name: str, file: str) -> None:
    os.truncate(root / file, 2**30 + 1)
    assert refused(settings(root, name)) == (
        f"cannot read {root / file}: it has 1,024 MiB, more than the 1,024 MiB of such a file"
    )


@pytest.mark.parametrize(("name", "file"), FILES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"\xff\xfe" + "path,label".encode("utf-16-le"),
        b"[" * 100_000,
        b"[" * 900 + b"]" * 900,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'[{"id": ' + b"9" * 5000 + b"}]",
        b'{"a": ' + b"9" * 5000 + b', "b": 1}',
        b'["' + b"x" * 1_000_000 + b'"]',
        b"x" * 1_000_000 + b";" + b"y" * 1_000_000,
        b'"' + b"x" * 1_000_000,
        b'["\\ud800", "\\udfff"]',
    ],
    ids=range(12),
)
def test_an_annotation_of_anything_is_one_line(root: Path, name: str, file: str, content: bytes) -> None:
    (root / file).write_bytes(content)
    assert len(refused(settings(root, name))) < 1000


def test_a_table_from_anywhere(root: Path) -> None:
    assert refused(settings(root, "folder", csv="/dev/zero")).startswith("cannot read /dev/zero: it is a pipe or a device")
    assert refused(settings(root, "folder", csv=str(root))).endswith("it is a folder")
    assert "File name too long" in refused(settings(root, "folder", csv="x" * 5000))
    assert "there is no such user" in refused(settings(root, "folder", csv="~nobody-of-this-name/x.csv"))
    assert "`data.cache` is ~nobody-of-this-name, but there" in refused(settings(root, "folder", cache="~nobody-of-this-name"))
    (root / "clips.csv").write_text(f"path,label\n{'x/' * 4000}x.mp4,a\n{'y' * 5000}.mp4,b\n")
    assert refused(settings(root, "folder")).startswith("no clip of ")


@pytest.mark.parametrize("place", ["clip", "image", "class"])
def test_pipes_among_clips_are_rows_of_a_check(tmp_path: Path, place: str) -> None:
    root = tmp_path / "set"
    for split in ("train", "val", "test"):
        for name in "ab":
            for number in (1, 2):
                write_images(root / split / name / str(number), list(numbered(4, 16, 16)))
    where = {"clip": "train/a/x.mp4", "image": "train/a/1/img_9.jpg", "class": "train/a.mp4"}[place]
    os.mkfifo(root / where)
    asked = settings(root, "folder", csv=None)
    if place == "class":
        assert "lies outside any class folder" in refused(asked)
        return
    (row,) = check(asked).rows
    assert (row.path, row.problem) == (where.removesuffix("/img_9.jpg"), "unreadable")
    assert row.says in ("it is a pipe or a device, not a regular file", "img_9.jpg is not a regular file")


@pytest.mark.parametrize(
    "override", ["data.train_clips=99999999999999999999", "data.frames=-99999999999999999999", "data.seed=99999999999999999999"]
)
def test_numbers_beyond_all_bounds_on_the_command_line(override: str) -> None:
    with pytest.raises(UserError, match=r"must be an integer (of at most|from) .*, but got -?99999999999999999999$"):
        compose_data("twins", [override])


@pytest.mark.parametrize("names", ["img_*.jpg", "*", "*.jpg", "frame_*", "cam 1 (*).png"])
def test_names_of_frames_on_the_command_line(tmp_path: Path, names: str) -> None:
    asked = compose_data("folder", [f"data.root={tmp_path}", f"data.frame_names={names}"])
    assert asked.frame_names == names
