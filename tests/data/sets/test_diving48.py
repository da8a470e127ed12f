"""Diving48 as it is distributed: classes of four words, windows in frames."""

import json
from pathlib import Path

import pytest

from gsfnas.data._manifest import DUPLICATE, EMPTY, MISLABELLED, MISSING, Entry
from gsfnas.data.sets.diving48 import read_diving48

from ..trees import refused, says, touch, wrong

VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"], ["Inward", "Dive", "NoTwis", "PIKE"]]
CLASSES = tuple(", ".join(words) for words in VOCABULARY)


def dive(name: str, label: int = 0, start: int = 0, stop: int = 90) -> dict[str, object]:
    return {"vid_name": name, "label": label, "start_frame": start, "end_frame": stop}


def write(root: Path, train: object = (dive("a_00001"), dive("a_00002", 1, 5, 30), dive("b_00001", 2, 0, 0))) -> Path:
    root.mkdir(exist_ok=True)
    (root / "Diving48_vocab.json").write_text(json.dumps(VOCABULARY))
    (root / "Diving48_V2_train.json").write_text(json.dumps(train))
    (root / "Diving48_V2_test.json").write_text(json.dumps([dive("c_00001", 1)]))
    return root


@pytest.mark.parametrize("folder", ["rgb/", "videos/", ""])
def test_videos_and_windows(tmp_path: Path, folder: str) -> None:
    root = write(tmp_path / "set")
    touch(root, *(f"{folder}{name}.mp4" for name in ("a_00001", "a_00002", "b_00001", "c_00001")))
    manifest = read_diving48(root)
    assert manifest.tasks == {"class": CLASSES}
    assert manifest.problems == ()
    assert manifest.splits == {
        "train": (
            Entry("a_00001", f"{folder}a_00001.mp4", (0,), 0, 90, "frames"),
            Entry("a_00002", f"{folder}a_00002.mp4", (1,), 5, 30, "frames"),
            Entry("b_00001", f"{folder}b_00001.mp4", (2,)),
        ),
        "test": (Entry("c_00001", f"{folder}c_00001.mp4", (1,), 0, 90, "frames"),),
    }


@pytest.mark.parametrize("folder", ["rawframes/", "rgb/", "videos/", "frames/", ""])
def test_folders_of_frames_have_the_same_windows(tmp_path: Path, folder: str) -> None:
    root = write(tmp_path / "set")
    names = ("a_00001", "a_00002", "b_00001", "c_00001")
    touch(root, *(f"{folder}{name}/img_00001.jpg" for name in (*names, "other")))
    touch(root, "videos/b_00001.mp4", *(f"flow/{name}/img_00001.jpg" for name in names))
    manifest = read_diving48(root)
    assert manifest.problems == ()
    assert manifest.splits["train"] == (
        Entry("a_00001", f"{folder}a_00001", (0,), 0, 90, "frames"),
        Entry("a_00002", f"{folder}a_00002", (1,), 5, 30, "frames"),
        Entry("b_00001", "videos/b_00001.mp4", (2,), spare=(f"{folder}b_00001",)),
    )


def test_what_is_wrong_with_a_clip_is_a_row(tmp_path: Path) -> None:
    dives = [dive("a"), dive("a", 1), dive("b", 3), dive("c", -1), dive("d", 1, 30, 20), dive("e", 1, -5, 20), dive("f", 1)]
    dives += [dive("g", 10**4000), dive("h", 0, 0, 10**4000)]
    root = write(tmp_path / "set", dives)
    touch(root, *(f"rgb/{name}.mp4" for name in ("a", "b", "c", "d", "e", "g", "h", "c_00001")))
    manifest = read_diving48(root)
    assert wrong(manifest) == {
        "a": DUPLICATE,
        "b": MISLABELLED,
        "c": MISLABELLED,
        "d": MISLABELLED,
        "e": MISLABELLED,
        "f": MISSING,
        "g": MISLABELLED,
        "h": MISLABELLED,
        CLASSES[1]: EMPTY,
        CLASSES[2]: EMPTY,
    }
    assert says(manifest, "b") == "label 3 is none of the 3 class labels"
    assert says(manifest, "d") == "it goes from 30 to 20 frames; it must start at 0 or later, and stop after that"
    assert [entry.labels for entry in manifest.splits["train"]] == [(0,)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Diving48_vocab.json", '["Back", "Front"]', "must be a list with a list of words for each class"),
        ("Diving48_vocab.json", '[["Back", 1], ["Front"]]', "must be a list with a list of words for each class"),
        ("Diving48_vocab.json", '[["Back"], ["Back"]]', "has the class 'Back' twice"),
        ("Diving48_V2_train.json", '[{"vid_name": "a", "label": "1", "start_frame": 0, "end_frame": 9}]', "item 1: it must be"),
        ("Diving48_V2_test.json", "null", "must be a list of objects"),
    ],
)
def test_annotations_that_cannot_be_used(tmp_path: Path, name: str, content: str, message: str) -> None:
    root = write(tmp_path / "set")
    (root / name).write_text(content)
    assert refused(read_diving48, root).startswith(str(root / name))
    assert message in refused(read_diving48, root)


def test_the_folder_of_videos_as_the_root(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(root, "rgb/a_00001.mp4")
    assert refused(read_diving48, root / "rgb").endswith(f"set data.root={root}")
