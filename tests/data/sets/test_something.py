"""Something-Something as it is distributed: where its files may lie, and each way in which they can be wrong.

What every reader shares (text, JSON, links, the level of the root) is tested here.
"""

import json
import os
from pathlib import Path

import pytest

from gsfnas.data._manifest import DUPLICATE, EMPTY, MISLABELLED, MISSING, REFUSED, Entry
from gsfnas.data.sets.something_something import read_something_v1, read_something_v2

from ..trees import refused, says, touch, wrong

CLASSES = ("Holding something", "Moving something up", "Putting something, then nothing")
TEMPLATES = ("Holding [something]", "Moving [something] up", "Putting [something], then nothing")
V1, V2 = "20bn-something-something-v1", "20bn-something-something-v2"


def write_v1(root: Path, frames: str = f"{V1}/") -> Path:
    root.mkdir()
    (root / "something-something-v1-labels.csv").write_text("".join(f"{name}\n" for name in CLASSES))
    train = [f"{clip};{CLASSES[clip % 3]}" for clip in range(6)]
    (root / "something-something-v1-train.csv").write_text("\n".join(train))
    (root / "something-something-v1-validation.csv").write_text(f"10;{CLASSES[1]}\n11;{CLASSES[2]}\n")
    (root / "something-something-v1-test.csv").write_text("20\n21\n")
    touch(root, *(f"{frames}{clip}/0000{number}.jpg" for clip in (*range(6), 10, 11, 20) for number in (1, 2)))
    return root


def item(clip: object, label: int) -> dict[str, object]:
    return {"id": clip, "label": "holding a cup", "template": TEMPLATES[label], "placeholders": ["a cup"]}


def write_v2(root: Path, name: str = "something-something-v2-{}.json", videos: str = f"{V2}/") -> Path:
    (root / name).parent.mkdir(parents=True)
    labels = {CLASSES[2]: "2", CLASSES[0]: "0", CLASSES[1]: "1"}
    (root / name.format("labels")).write_text(json.dumps(labels))
    (root / name.format("train")).write_text(json.dumps([item(str(clip), clip % 3) for clip in range(6)]))
    (root / name.format("validation")).write_text(json.dumps([item("10", 1), item("11", 2)]))
    (root / name.format("test")).write_text(json.dumps([{"id": "20"}]))
    touch(root, *(f"{videos}{clip}.webm" for clip in (*range(6), 10, 11, 20)))
    return root


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    return write_v1(tmp_path / "set")


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    return write_v2(tmp_path / "set")


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("frames", [f"{V1}/", "", "frames/", "rawframes/"])
def test_v1_is_read_wherever_its_frames_are(tmp_path: Path, frames: str) -> None:
    manifest = read_something_v1(write_v1(tmp_path / "set", frames))
    assert manifest.tasks == {"class": CLASSES}
    assert manifest.problems == ()
    assert manifest.splits == {
        "train": tuple(Entry(str(clip), f"{frames}{clip}", (clip % 3,)) for clip in range(6)),
        "test": (Entry("10", f"{frames}10", (1,)), Entry("11", f"{frames}11", (2,))),
    }


@pytest.mark.parametrize("name", ["something-something-v2-{}.json", "labels/{}.json", "{}.json"])
@pytest.mark.parametrize("videos", [f"{V2}/", "", "videos/"])
def test_v2_is_read_under_both_names_wherever_its_videos_are(tmp_path: Path, name: str, videos: str) -> None:
    manifest = read_something_v2(write_v2(tmp_path / "set", name, videos))
    assert manifest.tasks == {"class": CLASSES}
    assert manifest.problems == ()
    assert manifest.splits == {
        "train": tuple(Entry(str(clip), f"{videos}{clip}.webm", (clip % 3,)) for clip in range(6)),
        "test": (Entry("10", f"{videos}10.webm", (1,)), Entry("11", f"{videos}11.webm", (2,))),
    }


def test_classes_of_v2_are_in_the_order_of_their_numbers_not_of_their_names(v2: Path) -> None:
    (v2 / "something-something-v2-labels.json").write_text(json.dumps(dict(zip(CLASSES, ("10", "9", "2"), strict=True))))
    manifest = read_something_v2(v2)
    assert manifest.tasks == {"class": CLASSES[::-1]}
    assert [entry.labels for entry in manifest.splits["test"]] == [(1,), (0,)]


def test_a_byte_order_mark_and_carriage_returns_change_nothing(v1: Path) -> None:
    before = read_something_v1(v1)
    for file in v1.glob("*.csv"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_something_v1(v1) == before


def test_what_is_wrong_with_a_clip_is_a_row(v2: Path) -> None:
    items = [item("0", 0), item("1", 1), item("1", 2), item("3", 1), item("../4", 1), item("/5", 0), item("6", 0)]
    items[3]["template"] = "Throwing [something]"
    (v2 / "something-something-v2-train.json").write_text(json.dumps(items))
    (v2 / "something-something-v2-validation.json").write_text(json.dumps([item("0", 1), item(10, 1)]))
    manifest = read_something_v2(v2)
    assert [entry.id for entry in manifest.splits["train"]] == ["0", "1"]
    assert [entry.labels for entry in manifest.splits["train"]] == [(0,), (1,)]
    assert [entry.id for entry in manifest.splits["test"]] == ["10"]
    assert [(row.split, row.id, row.kind) for row in manifest.problems] == [
        ("train", "1", DUPLICATE),
        ("train", "3", MISLABELLED),
        ("train", "../4", REFUSED),
        ("train", "/5", REFUSED),
        ("train", "6", MISSING),
        ("test", "0", DUPLICATE),
        ("train", CLASSES[2], EMPTY),
    ]
    assert says(manifest, "3") == "'Throwing something' is none of the 3 class labels"
    assert says(manifest, "6") == f"there is no {V2}/6.webm"
    assert says(manifest, "0") == "'0' is in train already; the first one stays"
    assert says(manifest, CLASSES[2]) == f"class {CLASSES[2]!r} has no clip in train"


def test_a_clip_of_v1_without_its_folder_or_with_a_file_in_its_place(v1: Path) -> None:
    for number in (1, 2):
        (v1 / V1 / "10" / f"0000{number}.jpg").unlink()
    (v1 / V1 / "10").rmdir()
    touch(v1, f"{V1}/10")
    assert wrong(read_something_v1(v1)) == {"10": MISSING}


def test_links_out_of_the_root_are_refused_and_others_not(v2: Path, tmp_path: Path) -> None:
    touch(tmp_path, "outside/0.webm")
    (v2 / V2 / "0.webm").unlink()
    (v2 / V2 / "0.webm").symlink_to(tmp_path / "outside" / "0.webm")
    (v2 / V2 / "1.webm").rename(v2 / "kept.bin")
    (v2 / V2 / "1.webm").symlink_to(v2 / "kept.bin")
    assert wrong(read_something_v2(v2)) == {"0": REFUSED}


@pytest.mark.parametrize("folder", [V2, f"{V2}-frames", "videos", "rawframes"])
def test_the_folder_of_clips_may_be_a_link_to_another_disk(tmp_path: Path, folder: str) -> None:
    root = write_v2(tmp_path / "set", videos=f"{folder}/")
    before = read_something_v2(root)
    (root / folder).rename(tmp_path / "disk")
    (root / folder).symlink_to(tmp_path / "disk")
    assert read_something_v2(root) == before
    # Links of that disk stay on it.
    touch(tmp_path, "outside/0.webm")
    for clip, target in (("0", tmp_path / "outside" / "0.webm"), ("1", tmp_path / "disk" / "2.webm")):
        (tmp_path / "disk" / f"{clip}.webm").unlink()
        (tmp_path / "disk" / f"{clip}.webm").symlink_to(target)
    assert wrong(read_something_v2(root)) == {"0": REFUSED}


def test_a_folder_of_another_name_may_not_be_a_link_to_another_disk(v1: Path, tmp_path: Path) -> None:
    (v1 / V1).rename(tmp_path / "disk")
    (v1 / "mine").symlink_to(tmp_path / "disk")
    assert f"there must be a folder of frames a clip, named by its number, in {V1}/" in refused(read_something_v1, v1)
    (v1 / "mine").rename(v1 / V1)
    assert read_something_v1(v1).problems == ()


@pytest.mark.parametrize("folder", [f"{V2}-frames/", f"{V2}/", "videos/", "rawframes/", "frames/", "sthv2 256px/", ""])
def test_v2_is_read_from_folders_of_frames(tmp_path: Path, folder: str) -> None:
    root = write_v2(tmp_path / "set", videos="spare/")
    clips = (*range(6), 10, 11)
    touch(root, *(f"{folder}{clip}/00000{number}.jpg" for clip in (*clips, 20) for number in (1, 2)))
    # Flow has the same numbers.
    touch(root, *(f"{V2}-flow/{clip}/00000{number}.jpg" for clip in clips for number in (1, 2)))
    manifest = read_something_v2(root)
    assert manifest.problems == ()
    assert {entry.id: entry.path for part in manifest.splits.values() for entry in part} == {
        str(clip): f"{folder}{clip}" for clip in clips
    }


def test_two_folders_of_frames_of_v2_are_one_too_many(v2: Path) -> None:
    (v2 / V2).rename(v2 / "other")
    touch(v2, *(f"{folder}/{clip}/000001.jpg" for folder in ("large", "small") for clip in (*range(6), 10, 11)))
    assert f"or a folder of frames ID/ a clip in {V2}/, {V2}-frames/" in refused(read_something_v2, v2)
    (v2 / "small").rename(v2 / "masks")
    assert read_something_v2(v2).splits["train"][0].path == "large/0"


def test_v2_takes_the_video_where_there_are_frames_too(v2: Path) -> None:
    touch(v2, f"{V2}/0/000001.jpg", f"{V2}-frames/0/000001.jpg", "frames/1/000001.jpg", "labels/README.txt")
    train = read_something_v2(v2).splits["train"]
    assert [(entry.path, entry.spare) for entry in train[:3]] == [
        (f"{V2}/0.webm", (f"{V2}/0", f"{V2}-frames/0")),
        (f"{V2}/1.webm", ("frames/1",)),
        (f"{V2}/2.webm", ()),
    ]


def test_a_link_that_goes_round_in_circles_is_no_clip(v2: Path) -> None:
    for name in ("0.webm", "21", "22.webm"):
        (v2 / V2 / name).unlink(missing_ok=True)
        (v2 / V2 / name).symlink_to(v2 / V2 / name)
    (v2 / "around").symlink_to(v2)
    (v2 / "frames").symlink_to("frames")
    manifest = read_something_v2(v2)
    assert manifest.problems == ()
    assert manifest.splits["train"][0].path == f"{V2}/0.webm", "that it cannot be opened is found by the look"


def test_a_root_that_is_a_link_is_fine(v1: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(v1)
    assert read_something_v1(tmp_path / "link") == read_something_v1(v1)


def test_a_root_at_the_wrong_level_is_told_the_right_one(v1: Path) -> None:
    for level in (v1 / V1, v1 / V1 / "0"):
        assert refused(read_something_v1, level).endswith(f"but {v1} above it has; set data.root={v1}")
    home = v1.parent / "home"
    (home / "data").mkdir(parents=True)
    v1.rename(home / "data" / "set")
    for level in (home, home / "data"):
        assert refused(read_something_v1, level).endswith(f"below it has; set data.root={home / 'data' / 'set'}")


def test_the_folder_of_labels_as_the_root(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "set", "labels/{}.json", "videos/")
    assert refused(read_something_v2, root / "labels").endswith(f"did you mean data.root={root}?")


def test_a_missing_root_or_annotation(v2: Path) -> None:
    assert "does not exist" in refused(read_something_v2, v2 / "nowhere")
    assert "is a file" in refused(read_something_v2, v2 / "something-something-v2-train.json")
    (v2 / "something-something-v2-train.json").unlink()
    message = refused(read_something_v2, v2)
    assert f"{v2} has no something-something-v2-train.json or train.json" in message
    assert "labels/" in message


def test_two_folders_of_frames_are_one_too_many(v1: Path) -> None:
    (v1 / V1).rename(v1 / "large")
    touch(v1, "small/0/00001.jpg")
    assert "large and small" in refused(read_something_v1, v1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train", '[\n{"id": }]', "line 2: it is not JSON"),
        ("train", "[" * 100_000, "nested too deeply"),
        ("train", "{}", "must be a list of objects with id, template, but is {}"),
        ("train", '[{"id": "0", "template": "x"}, {"id": "1"}]', "item 2: it must be an object with id (str or int), template"),
        ("train", '[{"id": true, "template": "x"}]', "item 1"),
        ("train", "[]", "no clip is left in train"),
        (
            "validation",
            '[{"id": "0", "template": "x"}]',
            "no clip is left in test; 1 are wrong, the first of them, 0: '0' is in",
        ),
        ("labels", "[]", "must be an object that maps each class to its number, but is []"),
        ("labels", '{"a": "first", "b": "1"}', "must be an object that maps"),
        ("labels", '{"a": "1", "b": "1"}', "gives 'a' and 'b' the same number 1"),
        ("labels", '{"a": "0"}', "has the single class 'a'; there must be at least two"),
        ("labels", "{}", "has no class"),
        ("labels", '{"a": "0", "b": "%s"}' % ("9" * 5000), "must be an object that maps each class to its number"),
        ("labels", '{"a": 0, "b": %s}' % ("9" * 5000), "a number in it is too long"),
        ("labels", '{"a": 0, "\\ud800": 1}', "has the class '\\ud800', which is no text"),
        ("labels", "[" * 900 + "]" * 900, "must be an object that maps each class to its number, but is [["),
    ],
)
def test_annotations_of_v2_that_cannot_be_used(v2: Path, name: str, content: str, message: str) -> None:
    (v2 / f"something-something-v2-{name}.json").write_text(content)
    assert message in refused(read_something_v2, v2)


def test_annotations_of_v1_that_cannot_be_used(v1: Path) -> None:
    train = v1 / "something-something-v1-train.csv"
    before = train.read_bytes()
    train.write_bytes(before + b"\n6;Holding \xff\n")
    assert refused(read_something_v1, v1) == f"{train}, line 7: it is not UTF-8 text"
    train.write_bytes(before + b"\n\n6,Holding\n")
    assert f"{train}, line 8: it must be a number and a class, as ID;CLASS" in refused(read_something_v1, v1)
    train.unlink()
    train.mkdir()
    assert f"has no {train.name}" in refused(read_something_v1, v1)
    labels = v1 / "something-something-v1-labels.csv"
    labels.write_text("a\nb\na\n")
    assert f"{labels} has the class 'a' twice" in refused(read_something_v1, v1)


def test_a_large_annotation_takes_no_look_at_the_disk_a_clip(v2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = range(100, 20_100)
    (v2 / "something-something-v2-train.json").write_text(json.dumps([item(str(clip), clip % 3) for clip in numbers]))
    touch(v2, *(f"{V2}/{clip}.webm" for clip in numbers[:2000]))
    looks: list[str] = []

    def watch(name: str) -> None:
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, **values: (looks.append(name), real(*given, **values))[1])

    for name in ("stat", "lstat", "scandir"):
        watch(name)
    manifest = read_something_v2(v2)
    assert len(manifest.splits["train"]) == 2000
    assert len(manifest.problems) == 18_000
    assert 0 < len(looks) < 100
