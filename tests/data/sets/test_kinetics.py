"""Kinetics-400 as it is distributed: videos in any folder, of which many are missing."""

from pathlib import Path

import pytest

from gsfnas.data._manifest import DUPLICATE, EMPTY, MISLABELLED, MISSING, REFUSED, Entry
from gsfnas.data.sets.kinetics400 import read_kinetics400

from ..trees import refused, says, touch, wrong

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
TRAIN = (
    HEADER
    + '"riding, a bike",-aaaaaaaaa_,10,20,train,0\nabseiling,bbbbbbbbbbb,0,10,train,0\nabseiling,ccccccccccc,5,15,train,1\n'
)
VAL = HEADER + "abseiling,ddddddddddd,100,110,val,0\n"
NAMES = ("-aaaaaaaaa__000010_000020", "bbbbbbbbbbb_000000_000010", "ccccccccccc_000005_000015", "ddddddddddd_000100_000110")


def write(root: Path, train: str = TRAIN, val: str = VAL, files: tuple[str, str] = ("train.csv", "val.csv")) -> Path:
    for file, text in zip(files, (train, val), strict=True):
        touch(root, file)
        (root / file).write_text(text)
    return root


@pytest.mark.parametrize("files", [("train.csv", "val.csv"), ("annotations/kinetics400_train.csv", "annotations/validate.csv")])
@pytest.mark.parametrize("folders", [("", ""), ("train/abseiling/", "val/x/"), ("videos/", "videos/")])
@pytest.mark.parametrize("suffix", [".mp4", ".MKV"])
def test_videos_are_found_in_any_folder(tmp_path: Path, files: tuple[str, str], folders: tuple[str, str], suffix: str) -> None:
    root = write(tmp_path / "set", files=files)
    paths = [f"{folders[name == NAMES[3]]}{name}{suffix}" for name in NAMES]
    touch(root, *paths, f"{folders[0]}unknown.mp4", f"{folders[0]}{NAMES[0]}.json")
    manifest = read_kinetics400(root)
    assert manifest.tasks == {"class": ("abseiling", "riding, a bike")}
    assert manifest.problems == ()
    entries = [Entry(name, path, (label,)) for name, path, label in zip(NAMES, paths, (1, 0, 0, 0), strict=True)]
    assert manifest.splits == {"train": tuple(entries[:3]), "test": tuple(entries[3:])}


def test_videos_named_without_times_are_found_and_used_once(tmp_path: Path) -> None:
    root = write(tmp_path / "set", TRAIN + '"riding, a bike",bbbbbbbbbbb,20,30,train,0\n')
    touch(root, *(f"v/{name[:11]}.mp4" for name in NAMES))
    manifest = read_kinetics400(root)
    assert [entry.path for entry in manifest.splits["train"]] == [f"v/{name[:11]}.mp4" for name in NAMES[:3]]
    assert wrong(manifest) == {"bbbbbbbbbbb_000020_000030": DUPLICATE}


def test_clips_that_are_gone_and_classes_that_are_left_without(tmp_path: Path) -> None:
    root = write(tmp_path / "set", val=VAL + "zumba,eeeeeeeeeee,0,10,val,0\n")
    touch(root, f"{NAMES[1]}.mp4", f"{NAMES[3]}.mp4", "eeeeeeeeeee_000000_000010.mp4")
    manifest = read_kinetics400(root)
    assert wrong(manifest) == {
        NAMES[0]: MISSING,
        NAMES[2]: MISSING,
        "eeeeeeeeeee_000000_000010": MISLABELLED,
        "riding, a bike": EMPTY,
    }
    assert says(manifest, NAMES[0]) == f"there is no {NAMES[0]}.mp4"
    assert len(manifest.splits["train"]) == len(manifest.splits["test"]) == 1


def test_rows_that_are_wrong(tmp_path: Path) -> None:
    more = "abseiling,fffffffffff,10,10,train,0\nabseiling,ggggggggggg,a,10,train,0\nabseiling,../h,0,10,train,0\n"
    repeated = "abseiling,bbbbbbbbbbb,0,10,train,0\n,iiiiiiiiiii,0,10,train,0\n"
    root = write(tmp_path / "set", TRAIN + more + repeated)
    touch(root, *(f"{name}.mp4" for name in NAMES))
    manifest = read_kinetics400(root)
    assert wrong(manifest) == {
        "fffffffffff": MISLABELLED,
        "ggggggggggg": MISLABELLED,
        "../h_000000_000010": REFUSED,
        NAMES[1]: DUPLICATE,
        "iiiiiiiiiii_000000_000010": MISLABELLED,
    }
    assert len(manifest.splits["train"]) == 3


def test_folders_behind_links(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(root, *(f"videos/{name}.mp4" for name in NAMES[:1] + NAMES[3:]), f"kept/{NAMES[1]}.mp4")
    (root / "videos" / "again").symlink_to(root)
    touch(tmp_path, f"outside/{NAMES[2]}.mp4")
    (root / "videos" / "out").symlink_to(tmp_path / "outside")
    manifest = read_kinetics400(root)
    assert wrong(manifest) == {NAMES[2]: MISSING}
    assert "videos/out is a link that leads out of the root" in says(manifest, NAMES[2])
    assert len(manifest.splits["train"]) == 2


def test_train_and_val_may_be_links_to_other_disks(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(tmp_path, *(f"disk1/abseiling/{name}.mp4" for name in NAMES[:3]), f"disk2/abseiling/{NAMES[3]}.mp4")
    (root / "train_256").symlink_to(tmp_path / "disk1")
    (root / "val_256").symlink_to(tmp_path / "disk2")
    manifest = read_kinetics400(root)
    assert manifest.problems == ()
    assert manifest.splits["train"][0].path == f"train_256/abseiling/{NAMES[0]}.mp4"
    # What these hold stays within them.
    touch(tmp_path, f"outside/{NAMES[0]}.mp4", f"outside/{NAMES[1]}.mp4")
    for name, target in ((NAMES[0], tmp_path / "outside" / f"{NAMES[0]}.mp4"), (NAMES[2], tmp_path / "disk1" / "a.mp4")):
        (tmp_path / "disk1" / "abseiling" / f"{name}.mp4").unlink()
        (tmp_path / "disk1" / "abseiling" / f"{name}.mp4").symlink_to(target)
    (tmp_path / "disk1" / "abseiling" / f"{NAMES[1]}.mp4").unlink()
    # By its name alone it might be followed, but not from there.
    (tmp_path / "disk1" / "train").symlink_to(tmp_path / "outside")
    manifest = read_kinetics400(root)
    assert wrong(manifest) == {NAMES[0]: REFUSED, NAMES[1]: MISSING, "riding, a bike": EMPTY}
    assert "train_256/train is a link that leads out of the root, and is not followed" in says(manifest, NAMES[1])


def test_links_that_go_round_in_circles_end(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(root, *(f"videos/{name}.mp4" for name in NAMES))
    (root / "train").symlink_to(".")
    (root / "val").symlink_to(tmp_path)
    (root / "test").symlink_to("test")
    (root / "videos" / "up").symlink_to("..")
    manifest = read_kinetics400(root)
    assert manifest.problems == ()
    assert [entry.path for entry in manifest.splits["train"]] == [f"videos/{name}.mp4" for name in NAMES[:3]]


@pytest.mark.parametrize("folders", [("rawframes_train/abseiling/", "rawframes_val/x/"), ("", ""), ("frames/", "frames/")])
def test_folders_of_frames(tmp_path: Path, folders: tuple[str, str]) -> None:
    root = write(tmp_path / "set")
    paths = [f"{folders[name == NAMES[3]]}{name}" for name in NAMES]
    touch(root, *(f"{path}/img_0000{number}.jpg" for path in paths for number in (1, 2)))
    # Flow of the same name, and frames of a clip that is in no list.
    touch(root, *(f"flow/{name}/img_00001.jpg" for name in NAMES), f"{folders[0]}zzzzzzzzzzz_000000_000010/img_00001.jpg")
    manifest = read_kinetics400(root)
    assert manifest.problems == ()
    assert [entry.path for part in manifest.splits.values() for entry in part] == paths
    assert {entry.spare for part in manifest.splits.values() for entry in part} == {()}


def test_of_several_files_of_a_clip_the_replacement_comes_first_and_videos_before_frames(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    touch(root, *(f"train/{name}.mp4" for name in NAMES), f"rawframes/{NAMES[0]}/img_00001.jpg", f"val/{NAMES[0]}.mp4.mkv")
    replacement = f"replacement/replacement_for_corrupted_k400/{NAMES[1]}.mp4"
    touch(root, replacement, f"compress/{NAMES[1]}.webm")
    train = read_kinetics400(root).splits["train"]
    assert [(entry.path, entry.spare) for entry in train] == [
        (f"train/{NAMES[0]}.mp4", (f"val/{NAMES[0]}.mp4.mkv", f"rawframes/{NAMES[0]}")),
        (replacement, (f"compress/{NAMES[1]}.webm", f"train/{NAMES[1]}.mp4")),
        (f"train/{NAMES[2]}.mp4", ()),
    ]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("label,youtube_id\nabseiling,a\n", "line 1: there is no column time_start, time_end"),
        (TRAIN + "abseiling,fffffffffff\n", "line 5: it has 2 fields, but the header has 6"),
        (TRAIN + '"abseiling,fffffffffff,0,10,train,0\n', "it cannot be read as a table"),
        ("label," + HEADER, "the column label is there twice"),
        (HEADER + "abseiling,a,0,10,train,0\n", "has the single class 'abseiling'"),
        ("", "there is no column label"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, train: str, message: str) -> None:
    root = write(tmp_path / "set", train)
    touch(root, *(f"{name}.mp4" for name in NAMES))
    assert refused(read_kinetics400, root).startswith(str(root / "train.csv"))
    assert message in refused(read_kinetics400, root)


def test_no_video_at_all(tmp_path: Path) -> None:
    root = write(tmp_path / "set", files=("annotations/train.csv", "annotations/val.csv"))
    assert f"there is no clip under {root}" in refused(read_kinetics400, root)
    assert refused(read_kinetics400, root / "annotations").endswith(f"did you mean data.root={root}?")
    touch(root, f"{NAMES[0]}.mp4")
    assert refused(read_kinetics400, root) == (
        f"no clip is left in test; 1 are wrong, the first of them, {NAMES[3]}: there is no {NAMES[3]}.mp4"
    )
