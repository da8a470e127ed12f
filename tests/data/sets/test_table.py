"""A table of a user's clips: its columns, and each way in which it can be wrong."""

from pathlib import Path

import pytest

from gsfnas.data._manifest import DUPLICATE, EMPTY, MISLABELLED, MISSING, REFUSED, SHORT, UNREADABLE, Entry
from gsfnas.data.sets._table import read_table

from ..trees import refused, says, touch, wrong


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(tmp_path / "set", "a/1.mp4", "a/2.webm", "b/3/img_1.jpg", "4.avi", "b/notes.txt")
    return tmp_path / "set"


def table(root: Path, text: str) -> Path:
    (root.parent / "clips.csv").write_text(text)
    return root.parent / "clips.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_paths_and_labels_are_enough(root: Path, delimiter: str) -> None:
    text = "\ufeffnote|label|path\r\nx|rise|a/1.mp4\r\nx|fall|./a//2.webm\r\n\r\nx|fall|b/3\r\nx|rise|4.avi\r\n"
    manifest = read_table(root, table(root, text.replace("|", delimiter)))
    assert manifest.tasks == {"class": ("fall", "rise")}
    assert manifest.problems == ()
    paths = {"a/1.mp4": 1, "a/2.webm": 0, "b/3": 0, "4.avi": 1}
    assert manifest.splits == {"train": tuple(Entry(path, path, (label,)) for path, label in paths.items())}


def test_windows_and_splits(root: Path) -> None:
    rows = ["a/1.mp4,rise,0,1.5,train", "a/1.mp4,fall,1.5,3,train", "a/2.webm,rise,,,val", "b/3,fall,,,test"]
    manifest = read_table(root, table(root, "\n".join(["path,label,start,stop,split", *rows])))
    assert list(manifest.splits) == ["train", "val", "test"]
    assert manifest.splits == {
        "train": (
            Entry("a/1.mp4@0-1.5", "a/1.mp4", (1,), 0.0, 1.5, "seconds"),
            Entry("a/1.mp4@1.5-3", "a/1.mp4", (0,), 1.5, 3.0, "seconds"),
        ),
        "val": (Entry("a/2.webm", "a/2.webm", (1,)),),
        "test": (Entry("b/3", "b/3", (0,)),),
    }
    assert manifest.problems == ()


def test_seconds_of_images_are_found_by_their_frames_a_second(root: Path) -> None:
    rows = ["b/3,rise,0,0.5,10", "b/3,fall,0.1,0.6,10", "b/3,rise,0.033,0.067,30", "b/3,fall,1.25,2,29.97", "a/1.mp4,rise,1,2,"]
    manifest = read_table(root, table(root, "\n".join(["path,label,start,stop,FPS", *rows])))
    assert manifest.problems == ()
    assert [(entry.id, entry.start, entry.stop, entry.unit) for entry in manifest.splits["train"]] == [
        ("b/3@0-0.5", 0, 5, "frames"),
        ("b/3@0.1-0.6", 1, 6, "frames"),
        ("b/3@0.033-0.067", 1, 2, "frames"),
        ("b/3@1.25-2", 38, 60, "frames"),
        ("a/1.mp4@1-2", 1.0, 2.0, "seconds"),
    ]


def test_seconds_of_images_without_frames_a_second(root: Path) -> None:
    rows = ["a/1.mp4,rise,0,1", "a/2.webm,fall,0,1", "b/3,rise,0,1"]
    manifest = read_table(root, table(root, "\n".join(["path,label,start,stop", *rows])))
    assert wrong(manifest) == {"b/3@0-1": MISLABELLED}
    assert says(manifest, "b/3@0-1") == (
        "b/3 is a folder of images, which have no seconds: the table needs a column `fps`, their frames a second"
    )
    rows = ["a/1.mp4,rise,0,1,", "a/2.webm,fall,0,1,x", "b/3,rise,1,2,0", "b/3,rise,2,3,", "b/3,rise,3,4,1e9"]
    rows += ["b/3,rise,0.12,0.15,10", "b/3,rise,6,5,10", "b/3,rise,1e300,1e301,10", "b/3,fall,,,10", "b/3,rise,7,8,10 fps"]
    manifest = read_table(root, table(root, "\n".join(["path,label,start,stop,fps", *rows])))
    assert wrong(manifest) == {
        "b/3@1-2": MISLABELLED,
        "b/3@2-3": MISLABELLED,
        "b/3@3-4": MISLABELLED,
        "b/3@0.12-0.15": SHORT,
        "b/3@6-5": MISLABELLED,
        "b/3@1e+300-1e+301": MISLABELLED,
        "b/3@7-8": MISLABELLED,
    }
    assert "`fps` must be a number from above 0 to 1000, but is '0'" in says(manifest, "b/3@1-2")
    assert says(manifest, "b/3@0.12-0.15") == "no frame lies in 0.12 to 0.15 seconds at 10 frames a second"
    assert says(manifest, "b/3@6-5").startswith("it goes from 6.0 to 5.0 seconds")
    assert [entry.id for entry in manifest.splits["train"]] == ["a/1.mp4@0-1", "a/2.webm@0-1", "b/3"]


def test_splits_that_no_line_has_are_left_to_be_drawn(root: Path) -> None:
    manifest = read_table(root, table(root, "path,label,split\na/1.mp4,rise,train\na/2.webm,fall,train\nb/3,fall,test\n"))
    assert list(manifest.splits) == ["train", "test"]


def test_what_is_wrong_with_a_clip_is_a_row(root: Path, tmp_path: Path) -> None:
    touch(tmp_path, "outside/x.mp4")
    (root / "link.mp4").symlink_to(tmp_path / "outside" / "x.mp4")
    (root / "out").symlink_to(tmp_path / "outside")
    rows = [
        "a/1.mp4,rise,,,train",
        "b/3,fall,,,train",
        "a/2.webm,wave,,,test",
        "4.avi,rise,,,test",
        "./a/1.mp4,fall,,,test",
        "a/5.mp4,rise,,,train",
        "c/6.mp4,rise,,,train",
        "../set/4.avi,rise,,,train",
        "/a/1.mp4,rise,,,train",
        ",rise,,,train",
        "b/notes.txt,rise,,,train",
        "link.mp4,rise,,,train",
        "out/x.mp4,rise,,,train",
        "4.avi,rise,2,1,test",
        "4.avi,rise,3,,test",
        "4.avi,rise,a,5,tset",
    ]
    rows = [*rows, "4.avi,zero,7,8,train", "a/4.avi,,,,train"]
    manifest = read_table(root, table(root, "\n".join(["path,label,start,stop,split", *rows])))
    assert wrong(manifest) == {
        "a/2.webm": MISLABELLED,
        "a/1.mp4": DUPLICATE,
        "a/5.mp4": MISSING,
        "c/6.mp4": MISSING,
        "../set/4.avi": REFUSED,
        "/a/1.mp4": REFUSED,
        "": REFUSED,
        "b/notes.txt": UNREADABLE,
        "link.mp4": REFUSED,
        "out/x.mp4": REFUSED,
        "4.avi@2-1": MISLABELLED,
        "4.avi@3": MISLABELLED,
        "4.avi": MISLABELLED,
        "a/4.avi": MISLABELLED,
    }
    assert says(manifest, "4.avi") == "the split 'tset' is none of train, val, test"
    assert "must both be seconds" in says(manifest, "4.avi@3")
    assert [entry.id for entry in manifest.splits["train"]] == ["a/1.mp4", "b/3", "4.avi@7-8"]
    assert [entry.id for entry in manifest.splits["test"]] == ["4.avi"]


def test_a_class_without_a_clip_that_can_be_used(root: Path) -> None:
    manifest = read_table(root, table(root, "path,label\na/1.mp4,rise\na/9.mp4,fall\n"))
    assert wrong(manifest) == {"a/9.mp4": MISSING, "fall": EMPTY}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/1.mp4,rise\na/2.webm,fall\n", "line 1: it must be a header with path,label"),
        ("", "line 1: it must be a header with path,label"),
        ("path,label\n", "has a header, but no clip"),
        ("path,label,start\na/1.mp4,rise,1\n", "of the columns start and stop there must be both or none"),
        ("path,label\na/1.mp4,rise\na/2.webm,rise\n", "has the single class 'rise'"),
        ("path,label\na/1.mp4,rise,0\n", "line 2: it has 3 fields, but the header has 2"),
        ("path,label,split\na/1.mp4,rise,test\n", "has no class"),
    ],
)
def test_tables_that_cannot_be_used(root: Path, text: str, message: str) -> None:
    csv = table(root, text)
    assert str(csv) in refused(read_table, root, csv)
    assert message in refused(read_table, root, csv)


def test_a_table_or_a_root_that_is_not_there(root: Path) -> None:
    assert refused(read_table, root, root / "none.csv") == f"cannot read {root / 'none.csv'}: No such file or directory"
    assert "does not exist" in refused(read_table, root / "none", table(root, "path,label\n"))


def test_a_root_at_the_wrong_level_is_told_the_right_one(root: Path) -> None:
    csv = table(root, "path,label\na/1.mp4,rise\na/2.webm,fall\n")
    for level in (root / "a", root.parent):
        assert refused(read_table, level, csv).endswith(f"a/1.mp4 is under {root}: set data.root={root}")
    assert refused(read_table, root, table(root, "path,label\nx.mp4,rise\ny.mp4,fall\n")).endswith(f"is under {root}")
