"""A folder of real files as a data set: both layouts, both kinds of clip, and each way in which it can be wrong."""

import csv
import itertools
import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import DataSettings, VideoData, check, open_data, preview
from gsfnas.data.video import _clip_reader, _probe
from gsfnas.errors import UserError

from .media import numbered, numbers_of, write_images, write_sound, write_video

CLASSES = ("fall", "rise")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rising and falling brightness, as CLASS/CLIP: four videos and two folders of images a class, 24 frames each."""
    root = tmp_path_factory.mktemp("library") / "set"
    for name in CLASSES:
        frames = numbered(24, 36, 48)
        frames = frames[::-1] if name == "fall" else frames
        for number, suffix in enumerate([".mp4", ".webm", ".avi", ".mkv"]):
            write_video(root / name / f"{number}{suffix}", frames + np.uint8(number % 2))
        for number in range(2):
            write_images(root / name / f"images {number}", list(frames + np.uint8(number)))
    (root / "README.txt").write_text("not a class")
    (root / ".hidden").mkdir()
    return root


@pytest.fixture
def root(library: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(library, tmp_path / "set"))


def settings(root: Path, **values: object) -> DataSettings:
    given = {"frames": 4, "resolution": 16, "cache": str(root.parent / "cache"), **values}
    return DataSettings(name="folder", root=str(root), **given)  # type: ignore[arg-type]


def divide(root: Path, val: int = 4, test: int = 5) -> Path:
    """CLASS/CLIP to SPLIT/CLASS/CLIP, the numbers being where each split begins."""
    target = root.with_name("divided")
    for name in CLASSES:
        for number, clip in enumerate(sorted((root / name).iterdir())):
            split = "train" if number < val else "val" if number < test else "test"
            (target / split / name).mkdir(parents=True, exist_ok=True)
            clip.rename(target / split / name / clip.name)
    return target


def everything(data: VideoData, split: str) -> tuple[np.ndarray, np.ndarray]:
    ((clips, labels),) = data.splits[split].batches(100)
    return clips.numpy(), labels["class"].numpy()


def refused(data_settings: DataSettings) -> str:
    with pytest.raises(UserError) as caught:
        open_data(data_settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_given_splits_are_kept_and_the_middle_frames_read(root: Path) -> None:
    data = open_data(settings(divide(root)))
    assert data.tasks == {"class": CLASSES}
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "val": 2, "test": 2}
    clips, labels = everything(data, "test")
    assert clips.shape == (2, 4, 3, 16, 16)
    assert labels.tolist() == [0, 1]
    assert numbers_of(clips[1]) == [3, 9, 15, 21]
    assert numbers_of(clips[0]) == [20, 14, 8, 2]


@pytest.mark.parametrize("cache_gb", [4.0, 0.0])
def test_training_takes_random_places_of_each_segment(root: Path, cache_gb: float) -> None:
    data = open_data(settings(divide(root), cache_gb=cache_gb))
    ((clips, labels),) = data.splits["train"].batches(100, augment_seed=3)
    seen = {tuple(numbers_of(clip)) for clip, label in zip(clips.numpy(), labels["class"].tolist(), strict=True) if label == 1}
    assert len(seen) > 1
    for numbers in seen:
        assert all(6 * segment <= number < 6 * segment + 6 for segment, number in enumerate(numbers))


def test_decoding_as_one_goes_gives_the_same_as_the_cache(root: Path) -> None:
    root = divide(root)
    cached, direct = open_data(settings(root)), open_data(settings(root, cache_gb=0.0))
    assert cached.fingerprint == direct.fingerprint
    for augment in (None, 0, 1):
        batches = zip(
            cached.splits["train"].batches(3, shuffle_seed=1, augment_seed=augment),
            direct.splits["train"].batches(3, shuffle_seed=1, augment_seed=augment),
            strict=True,
        )
        assert all((first == second).all() for (first, _), (second, _) in batches)


def test_the_second_time_nothing_is_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_data(settings(root))

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(_clip_reader, "decode", fail)
    monkeypatch.setattr(_probe, "probe", fail)
    second = open_data(settings(root))
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(everything(first, "train")[0], everything(second, "train")[0])


def test_the_fingerprint_is_of_contents_not_of_the_place(root: Path, tmp_path: Path) -> None:
    root = divide(root)
    before = open_data(settings(root)).fingerprint
    moved = tmp_path / "elsewhere" / "name"
    shutil.copytree(root, moved)
    assert open_data(settings(moved)).fingerprint == before
    (clip,) = (moved / "test" / "rise").iterdir()
    for image in clip.iterdir():
        image.unlink()
    write_images(clip, list(numbered(24, 36, 48) + np.uint8(99)))
    assert open_data(settings(moved)).fingerprint != before
    assert open_data(settings(root, frames=5)).fingerprint != before


def test_a_drawn_split_is_stratified_recorded_and_leaves_the_folder_alone(root: Path) -> None:
    before = sorted(root.rglob("*"))
    data = open_data(settings(root))
    assert sorted(root.rglob("*")) == before
    for split, count in {"train": 4, "val": 1, "test": 1}.items():
        assert np.bincount(data.splits[split].labels["class"]).tolist() == [count, count]
    (record,) = (root.parent / "cache").rglob("split-*.json")
    dealt = json.loads(record.read_text())
    assert len(dealt) == 12
    # What is recorded counts: the clips of test and val change places.
    swapped = {path: {"val": "test", "test": "val"}.get(split, split) for path, split in dealt.items()}
    other = everything(data, "val")[0]
    record.write_text(json.dumps(swapped))
    assert np.array_equal(everything(open_data(settings(root)), "test")[0], other)
    assert open_data(settings(root, seed=1)).fingerprint != data.fingerprint


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"rise/0.mp4": "tset"}', None])
def test_a_damaged_record_of_a_split_is_made_again(root: Path, content: str | None) -> None:
    before = open_data(settings(root)).fingerprint
    (record,) = (root.parent / "cache").rglob("split-*.json")
    record.unlink()
    if content is None:
        os.mkfifo(record)
    else:
        record.write_text(content)
    assert open_data(settings(root)).fingerprint == before
    assert len(json.loads(record.read_text())) == 12


def test_clips_that_come_later_go_to_training(root: Path) -> None:
    before = open_data(settings(root))
    write_video(root / "rise" / "new.mp4", numbered(24, 36, 48))
    after = open_data(settings(root))
    assert len(after.splits["train"]) == len(before.splits["train"]) + 1
    assert np.array_equal(everything(before, "test")[0], everything(after, "test")[0])


def test_odd_sizes_are_resized_by_their_short_side_and_cut_in_the_middle(tmp_path: Path) -> None:
    root = tmp_path / "set"
    wide = np.zeros((8, 20, 60, 3), np.uint8)
    wide[:, :, 20:40] = 200
    for split in ("train", "val", "test"):
        write_images(root / split / "wide" / "a", list(wide))
        write_images(root / split / "tall" / "a", list(wide.transpose(0, 2, 1, 3)[:, :, :17]))
    clips, labels = everything(open_data(settings(root, resolution=10)), "test")
    assert clips.shape == (2, 4, 3, 10, 10)
    assert (np.abs(clips[labels == 1].astype(int) - 200) < 40).all()


def test_a_wrong_root_says_what_it_is(root: Path) -> None:
    assert "does not exist" in refused(settings(root / "nowhere"))
    assert "is a file" in refused(settings(root / "README.txt"))
    assert "lies outside any class folder" in refused(settings(root / "rise"))
    assert f"did you mean data.root={root}?" in refused(settings(root.parent, cache=str(root / ".cache")))


def test_a_split_for_a_root_points_to_the_folder_above(root: Path) -> None:
    root = divide(root)
    assert refused(settings(root / "train")).endswith(f"set data.root={root}")
    home = root.parent / "home"
    home.mkdir()
    root.rename(home / "divided")
    assert f"data.root={home / 'divided'}" in refused(settings(home))


def test_empty_folders(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    assert f"{root} is empty" in refused(settings(root))
    (root / "rise").mkdir()
    assert "there is no clip" in refused(settings(root))


def test_a_class_without_clips_and_a_single_class(root: Path) -> None:
    (root / "wave").mkdir()
    assert "class 'wave' has no clip" in refused(settings(root))
    (root / "wave").rmdir()
    shutil.rmtree(root / "fall")
    assert "single class 'rise'" in refused(settings(root))


def test_a_class_of_two_clips_cannot_be_split(root: Path) -> None:
    for clip in sorted((root / "rise").iterdir())[:4]:
        shutil.rmtree(clip) if clip.is_dir() else clip.unlink()
    assert "class 'rise' has 2 clips" in refused(settings(root))


def test_mislabelled_splits(root: Path) -> None:
    root = divide(root)
    (root / "val" / "rise").rename(root / "val" / "raise")
    assert "raise is a class that train/ does not have (it has fall, rise)" in refused(settings(root))
    (root / "val" / "raise").rename(root / "val" / "rise")
    (root / "wave").mkdir()
    assert "beside them wave/" in refused(settings(root))
    (root / "wave").rmdir()
    shutil.rmtree(root / "test")
    assert "has train/, val/ but no test/" in refused(settings(root))


def test_files_in_the_wrong_place(root: Path) -> None:
    write_images(root / "rise", list(numbered(1)))
    assert "is an image in a class folder" in refused(settings(root))
    (root / "rise" / "img_1.jpg").unlink()
    (root / "rise" / "notes.txt").write_text("hello")
    message = refused(settings(root))
    assert "notes.txt: it is not a video" in message
    assert "data.skip_broken=true" in message
    data = open_data(settings(root, skip_broken=True))
    assert [reason.split(" (")[0] for reason in data.skipped] == ["rise/notes.txt: it is not a video"]


def test_files_that_cannot_be_decoded(root: Path) -> None:
    root = divide(root)
    (root / "train" / "rise" / "0.mp4").write_bytes(b"broken")
    write_sound(root / "train" / "fall" / "0.mp4")
    message = refused(settings(root))
    assert f"{root / 'train' / 'fall' / '0.mp4'} cannot be decoded: it has no video stream" in message
    data = open_data(settings(root, skip_broken=True))
    assert len(data.splits["train"]) == 6
    # By their paths below the root: where that is on this machine is nobody's business who reads a report.
    assert data.skipped[0] == "train/fall/0.mp4: it has no video stream"
    assert [reason.split(": ")[0] for reason in data.skipped] == ["train/fall/0.mp4", "train/rise/0.mp4"]
    # A file that has been mended is looked at again.
    for name in CLASSES:
        write_video(root / "train" / name / "0.mp4", numbered(24))
    assert len(open_data(settings(root)).splits["train"]) == 8


def test_a_split_without_one_file_that_can_be_decoded(root: Path) -> None:
    root = divide(root)
    for name in CLASSES:
        for clip in (root / "val" / name).iterdir():
            shutil.rmtree(clip) if clip.is_dir() else clip.write_bytes(b"")
        (root / "val" / name / "x.mp4").write_bytes(b"")
    assert "no clip in val" in refused(settings(root, skip_broken=True))


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


def test_a_clip_of_several_kinds_of_frames_is_told_how_to_name_one(root: Path) -> None:
    clip = root / "rise" / "images 0"
    for kind in ("depth", "flow", "rgb"):
        write_images(clip / kind, list(numbered(3)))
    message = refused(settings(root))
    assert message == (
        f"{clip} holds the folders depth, flow, rgb, but a clip is a single folder of images; list the folders to use in a "
        "table, data.csv=clips.csv, with the header path,label and lines such as rise/images 0/rgb,rise"
    )
    rows = [f"{'rise' if number % 2 else 'fall'}/images {number // 2}" for number in range(4)]
    lines = [f"{row}/rgb,{row[:4]}" if row == "rise/images 0" else f"{row},{row[:4]}" for row in rows]
    lines += [f"{name}/{number}{suffix},{name}" for name in CLASSES for number, suffix in enumerate([".mp4", ".webm"])]
    (root / "clips.csv").write_text("\n".join(["path,label", *lines]))
    assert sum(map(len, open_data(settings(root, csv="clips.csv")).splits.values())) == 8


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


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused_at_once(root: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("clip.mp4", "notes.txt"):
        if kind == "pipe":
            os.mkfifo(root / "rise" / name)
        elif kind == "device":
            (root / "rise" / name).symlink_to("/dev/zero")
        else:
            monkeypatch.chdir(root / "rise")
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(name)
    if kind == "device":
        assert "clip.mp4 leads out of" in refused(settings(root))
        return
    assert "notes.txt: it is not a video" in refused(settings(root))
    data = open_data(settings(root, skip_broken=True))
    assert data.skipped[1] == "rise/clip.mp4: it is a pipe or a device, not a regular file"
    assert [row.id for row in check(settings(root)).rows] == ["rise/notes.txt", "rise/clip.mp4"]


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


def test_a_root_that_is_a_link_is_fine(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert len(open_data(settings(link)).splits["train"]) == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(root: Path) -> None:
    (root / "rise").chmod(0)
    assert "cannot read" in refused(settings(root))
    (root / "rise").chmod(0o755)


def test_a_file_that_vanishes_while_training_is_named(root: Path) -> None:
    root = divide(root)
    data = open_data(settings(root, cache_gb=0.0))
    for clip in (root / "train" / "rise").glob("*.mp4"):
        clip.unlink()
    with pytest.raises(UserError, match=r"0\.mp4 cannot be decoded any more"):
        list(data.splits["train"].batches(4))


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "[" * 100_000, '{"rise/0.mp4": 3}', '{"rise/0.mp4": {"state": [], "frames": "many"}}']
)
def test_a_damaged_memory_of_what_was_seen_is_made_again(root: Path, content: str) -> None:
    before = open_data(settings(root)).fingerprint
    (index,) = (root.parent / "cache").rglob("index.json")
    index.write_text(content)
    assert open_data(settings(root)).fingerprint == before


def test_a_clip_that_has_changed_is_decoded_again(root: Path) -> None:
    root = divide(root)
    before = everything(open_data(settings(root)), "train")[0]
    write_video(root / "train" / "rise" / "0.mp4", numbered(24, 36, 48)[::-1])
    after = everything(open_data(settings(root)), "train")[0]
    assert [np.array_equal(*clips) for clips in zip(before, after, strict=True)].count(False) == 1


def test_a_damaged_cache_of_decoded_clips_is_made_again(root: Path) -> None:
    before = everything(open_data(settings(root)), "train")[0]
    (cached,) = (root.parent / "cache").rglob("train-*.npy")
    cached.write_bytes(cached.read_bytes()[:-100])
    assert np.array_equal(everything(open_data(settings(root)), "train")[0], before)
