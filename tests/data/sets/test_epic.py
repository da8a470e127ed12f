"""EPIC-KITCHENS-100 as it is distributed: three tasks, and windows in seconds of videos or in frames of folders."""

from pathlib import Path

import pytest

from gsfnas.data._manifest import DUPLICATE, EMPTY, MISLABELLED, MISSING, REFUSED, Entry
from gsfnas.data.sets.epic_kitchens_100 import read_epic_kitchens_100

from ..trees import refused, says, touch, wrong

HEADER = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame,verb_class,noun_class\n"
# Verbs and nouns by id; an id is not the line that it is in.
VERBS = "id,key,instances\n1,put,\"['put', 'place']\"\n0,take,['take']\n2,wash,['wash']\n"
NOUNS = "id,key,instances\n0,tap,['tap']\n1,plate,['plate']\n"


def line(clip: str, verb: object = 0, noun: object = 0, times: str = "00:00:01.14,00:01:03.50,8,202") -> str:
    video = clip.rpartition("_")[0]
    return f"{clip},{video[:3]},{video},{times},{verb},{noun}\n"


TRAIN = [line("P01_01_0", 1, 1), line("P01_01_1", 0, 1), line("P02_03_0", 0, 0, "01:00:00.00,01:00:00.50,0,30")]
TEST = [line("P02_03_1", 2, 0)]


def write(root: Path, train: list[str] = TRAIN, test: list[str] = TEST, folder: str = "") -> Path:
    tables = {"train": HEADER + "".join(train), "validation": HEADER + "".join(test)}
    tables |= {"verb_classes": VERBS, "noun_classes": NOUNS}
    for name, text in tables.items():
        touch(root, f"{folder}EPIC_100_{name}.csv")
        (root / folder / f"EPIC_100_{name}.csv").write_text(text)
    return root


@pytest.mark.parametrize("folder", ["", "annotations/", "epic-kitchens-100-annotations/"])
@pytest.mark.parametrize("base", ["", "EPIC-KITCHENS/", "videos/"])
def test_videos_have_windows_in_seconds(tmp_path: Path, folder: str, base: str) -> None:
    root = write(tmp_path / "set", folder=folder)
    first, second = f"{base}P01/videos/P01_01.MP4", f"{base}P02/videos/P02_03.MP4"
    touch(root, first, second, f"{base}P01/flow_frames/P01_01.mp4")
    manifest = read_epic_kitchens_100(root)
    assert list(manifest.tasks.items()) == [
        ("action", ("take tap", "take plate", "put plate", "wash tap")),
        ("verb", ("take", "put", "wash")),
        ("noun", ("tap", "plate")),
    ]
    assert manifest.splits == {
        "train": (
            Entry("P01_01_0", first, (2, 1, 1), 1.14, 63.5, "seconds"),
            Entry("P01_01_1", first, (1, 0, 1), 1.14, 63.5, "seconds"),
            Entry("P02_03_0", second, (0, 0, 0), 3600.0, 3600.5, "seconds"),
        ),
        "test": (Entry("P02_03_1", second, (3, 2, 0), 1.14, 63.5, "seconds"),),
    }
    assert wrong(manifest) == {"wash tap": EMPTY, "wash": EMPTY}


def test_folders_of_frames_have_windows_in_frames_from_0(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(root, "P01/rgb_frames/P01_01/frame_0000000001.jpg", "P02/rgb_frames/P02_03/frame_0000000001.jpg")
    # Videos of flow have the names of those of colour, and their folder comes first.
    touch(root, "P01/videos/P01_01.MP4", "P01/flow_frames/P01_01.mp4", "P02/flow_frames/P02_03.mp4")
    manifest = read_epic_kitchens_100(root)
    assert manifest.splits["train"] == (
        Entry("P01_01_0", "P01/rgb_frames/P01_01", (2, 1, 1), 7, 201, "frames"),
        Entry("P01_01_1", "P01/rgb_frames/P01_01", (1, 0, 1), 7, 201, "frames"),
        Entry("P02_03_0", "P02/rgb_frames/P02_03", (0, 0, 0), 0, 29, "frames"),
    )


@pytest.mark.parametrize("folder", ["frames_rgb_flow/rgb/train/P01", "rgb/P01", "EPIC-KITCHENS/rgb_frames", "rawframes"])
def test_frames_may_lie_as_in_epic_kitchens_55_or_elsewhere(tmp_path: Path, folder: str) -> None:
    root = write(tmp_path / "set")
    touch(root, f"{folder}/P01_01/frame_0000000001.jpg", f"{folder}/P02_03/frame_0000000001.jpg", f"{folder}/P09_01/a.jpg")
    touch(root, "frames_rgb_flow/flow/train/P01/P01_01/u/frame_0000000001.jpg", "flow/P02_03/frame_0000000001.jpg")
    manifest = read_epic_kitchens_100(root)
    assert [(entry.path, entry.start, entry.stop, entry.unit) for entry in manifest.splits["train"]] == [
        (f"{folder}/P01_01", 7, 201, "frames"),
        (f"{folder}/P01_01", 7, 201, "frames"),
        (f"{folder}/P02_03", 0, 29, "frames"),
    ]


def test_participants_may_be_links_to_other_disks(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(tmp_path, "disk1/rgb_frames/P01_01/frame_0000000001.jpg", "disk2/videos/P02_03.MP4")
    (root / "P01").symlink_to(tmp_path / "disk1")
    (root / "P02").symlink_to(tmp_path / "disk2")
    train = read_epic_kitchens_100(root).splits["train"]
    assert [(entry.path, entry.unit) for entry in train] == [
        ("P01/rgb_frames/P01_01", "frames"),
        ("P01/rgb_frames/P01_01", "frames"),
        ("P02/videos/P02_03.MP4", "seconds"),
    ]


def test_other_files_of_a_recording_are_of_the_same_kind(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(root, "P01/rgb_frames/P01_01/frame_0000000001.jpg", "P01/videos/P01_01.MP4", "P02/videos/P02_03.MP4")
    touch(root, "old/P01_01/frame_0000000001.jpg", "old/P02_03.mkv", "old/more/P02_03/frame_0000000001.jpg")
    train = read_epic_kitchens_100(root).splits["train"]
    assert [(entry.path, entry.spare) for entry in train[1:]] == [
        ("old/P01_01", ("P01/rgb_frames/P01_01",)),
        ("old/P02_03.mkv", ("P02/videos/P02_03.MP4",)),
    ]


def test_what_is_wrong_with_an_action_is_a_row(tmp_path: Path) -> None:
    more = [
        line("P01_01_1"),
        line("P01_01_2", verb=9),
        line("P01_01_3", noun="plate"),
        line("P01_01_4", times="00:00:02.00,00:00:01.00,60,120"),
        line("P01_01_5", times="soon,00:00:01.00,60,120"),
        line("P01_02_0"),
        line("../P01_01_6"),
        line("P02_03_2", times="00:00:01.00,00:00:02.00,60,60"),
        line("P02_03_3", times="00:00:01.00,00:00:02.00,sixty,120"),
    ]
    root = write(tmp_path / "set", TRAIN + more)
    touch(root, "P01/videos/P01_01.MP4", "P02/rgb_frames/P02_03/frame_0000000001.jpg")
    manifest = read_epic_kitchens_100(root)
    assert wrong(manifest) == {
        "P01_01_1": DUPLICATE,
        "P01_01_2": MISLABELLED,
        "P01_01_3": MISLABELLED,
        "P01_01_4": MISLABELLED,
        "P01_01_5": MISLABELLED,
        "P01_02_0": MISSING,
        "../P01_01_6": REFUSED,
        "P02_03_2": MISLABELLED,
        "P02_03_3": MISLABELLED,
        "wash tap": EMPTY,
        "wash": EMPTY,
    }
    assert len(manifest.splits["train"]) == 3
    assert says(manifest, "P01_01_2") == "verb_class '9' is none of the 3 verb labels"
    assert says(manifest, "P01_02_0") == "there is no P01/videos/P01_02.MP4"
    assert "must be times as HH:MM:SS.ff" in says(manifest, "P01_01_5")
    assert "start_frame 'sixty'" in says(manifest, "P02_03_3")


def test_annotations_that_cannot_be_used(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(root, "P01/videos/P01_01.MP4")
    assert "no clip is left in test; 1 are wrong" in refused(read_epic_kitchens_100, root)
    verbs = root / "EPIC_100_verb_classes.csv"
    verbs.write_text(VERBS + "2,cut,['cut']\n")
    assert f"{verbs}, line 5: each class must have a number of its own" in refused(read_epic_kitchens_100, root)
    verbs.write_text(VERBS + f"{'9' * 5000},cut,['cut']\n")
    assert f"{verbs}, line 5: each class must have a number of its own" in refused(read_epic_kitchens_100, root)
    verbs.unlink()
    assert "has no EPIC_100_verb_classes.csv" in refused(read_epic_kitchens_100, root)


def test_a_participant_as_the_root(tmp_path: Path) -> None:
    root = write(tmp_path / "set", folder="annotations/")
    touch(root, "EPIC-KITCHENS/P01/videos/P01_01.MP4")
    for level in ("EPIC-KITCHENS", "EPIC-KITCHENS/P01"):
        assert refused(read_epic_kitchens_100, root / level).endswith(f"set data.root={root}")
