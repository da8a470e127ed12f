"""The public data sets end to end, on Twins in their layouts: real files in, the same clips out; checked, spoiled, cached."""

import csv
import errno
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gsfnas.data import DataSettings, VideoData, check, export, open_data, preview
from gsfnas.data.sets import _files
from gsfnas.data.sets.epic_kitchens_100 import EpicKitchens100
from gsfnas.data.twins._actions import CLASSES, MIRROR
from gsfnas.data.video import _clip_reader, _decode, _index, _probe
from gsfnas.errors import UserError
from gsfnas.files import CannotWriteError

from .media import numbered, numbers_of, write_images, write_video

LAYOUTS = ("something_v1", "something_v2", "kinetics400", "diving48", "epic_kitchens_100")
SIZES = {"train_clips": 96, "val_clips": 48, "test_clips": 48, "frames": 4, "resolution": 16}


def twins() -> VideoData:
    return open_data(DataSettings(**SIZES))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    for layout in LAYOUTS:
        export(DataSettings(**SIZES), folder / layout, layout)
    return folder


@pytest.fixture
def root(exports: Path, tmp_path: Path) -> Path:
    """Something-Something V2, a copy to spoil."""
    return Path(shutil.copytree(exports / "something_v2", tmp_path / "set"))


def settings(root: Path, name: str = "something_v2", **values: object) -> DataSettings:
    given = {
        "frames": 4,
        "resolution": 16,
        "skip_broken": True,
        "val_share": 1 / 3,
        "cache": str(root.parent / "cache"),
        **values,
    }
    return DataSettings(name=name, root=str(root), **given)  # type: ignore[arg-type]


def everything(data: VideoData, split: str, **seeds: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    ((clips, labels),) = data.splits[split].batches(1000, **seeds)
    return clips.numpy(), {task: values.numpy() for task, values in labels.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_of_each_layout_give_the_rendered_clips(exports: Path, tmp_path: Path, layout: str) -> None:
    data = open_data(settings(exports / layout, layout, cache=str(tmp_path)))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 96, "val": 48, "test": 48}
    assert (data.skipped, data.notes) == ((), ())
    task = "verb" if layout == "epic_kitchens_100" else "class"
    assert list(data.tasks) == (["action", "verb", "noun"] if task == "verb" else ["class"])
    assert set(data.tasks[task]) == set(CLASSES)
    clips, labels = everything(data, "test")
    rendered, known = everything(twins(), "test")
    names = [data.tasks[task][label] for label in labels[task]]
    assert names == [CLASSES[label] for label in known["class"]]
    gap = np.abs(clips.astype(int) - rendered.astype(int))
    assert gap.mean() < 3 if layout == "something_v1" else gap.max() == 0
    # Each rendered clip of train and val is there once, in one of the two.
    ours = np.concatenate([everything(data, split)[0] for split in ("train", "val")])
    theirs = np.concatenate([everything(twins(), split)[0] for split in ("train", "val")])
    if layout != "something_v1":
        assert sorted(clip.tobytes() for clip in ours) == sorted(clip.tobytes() for clip in theirs)
    assert min(np.bincount(everything(data, "val")[1][task])) == 2, "the validation is drawn from each class alike"


def test_class_folders_of_twins_train_as_twins_does(tmp_path: Path) -> None:
    export(DataSettings(**SIZES), tmp_path / "clips", "folder")
    data = open_data(settings(tmp_path / "clips", "folder"))
    inner, outer = twins(), data
    for split in ("train", "val", "test"):
        clips, labels = everything(inner, split)
        order = np.argsort([f"{CLASSES[label]}/{index:06d}" for index, label in enumerate(labels["class"])])
        found, named = everything(outer, split)
        assert np.array_equal(found, clips[order])
        assert [data.tasks["class"][label] for label in named["class"]] == [CLASSES[label] for label in labels["class"][order]]
    mirror = outer.splits["train"].mirror
    assert mirror is not None
    swapped = {CLASSES[one]: CLASSES[other] for one, other in enumerate(MIRROR)}
    names = outer.tasks["class"]
    assert {names[one]: names[other] for one, other in enumerate(mirror["class"])} == swapped


def test_flips_follow_the_rule_that_is_asked_for(exports: Path, tmp_path: Path) -> None:
    def mirror(layout: str, **values: str) -> object:
        return open_data(settings(exports / layout, layout, cache=str(tmp_path), **values)).splits["train"].mirror

    assert mirror("something_v2", flip="none") is None
    assert mirror("epic_kitchens_100") is None, "a mirrored verb of Twins makes an action without a name"
    plain = mirror("kinetics400", flip="plain")
    assert isinstance(plain, dict)
    assert plain["class"].tolist() == list(range(24))
    swapped = mirror("something_v2", flip="left_right")
    assert isinstance(swapped, dict)
    assert swapped["class"].tolist() != list(range(24))


@pytest.mark.parametrize("augment", ["light", "paper"])
@pytest.mark.parametrize("layout", ["something_v1", "something_v2", "epic_kitchens_100"])
def test_the_cache_changes_no_clip(exports: Path, tmp_path: Path, layout: str, augment: str) -> None:
    def opened(cache_gb: float, workers: int = 0) -> VideoData:
        # More frames than a clip has, so that training can choose.
        values = {"frames": 2, "augment": augment, "cache_gb": cache_gb, "workers": workers, "cache": str(tmp_path)}
        return open_data(settings(exports / layout, layout, **values))

    kept, direct, there = opened(1.0), opened(0.0), opened(1.0, workers=2)
    assert kept.fingerprint == direct.fingerprint == there.fingerprint
    for seeds in ({}, {"augment_seed": 0}, {"augment_seed": 1, "shuffle_seed": 2}):
        for other in (direct, there):
            for split in ("train", "val"):
                (clips, labels), (same, known) = everything(kept, split, **seeds), everything(other, split, **seeds)
                assert np.array_equal(clips, same)
                assert all(np.array_equal(labels[task], known[task]) for task in labels)


def test_the_papers_training_draws_frames_and_crops_and_its_test_does_not(exports: Path, tmp_path: Path) -> None:
    data = open_data(settings(exports / "something_v2", frames=2, augment="paper", cache=str(tmp_path)))
    light = open_data(settings(exports / "something_v2", frames=2, cache=str(tmp_path)))
    assert data.fingerprint != light.fingerprint
    first, again, other = (everything(data, "train", augment_seed=seed)[0] for seed in (0, 0, 1))
    assert first.shape == (96, 2, 3, 16, 16)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # A short side of 18, of which the centre 16 are cut out.
    assert data.splits["test"].read(np.arange(3), None).shape == (3, 2, 3, 16, 16)
    assert not np.array_equal(everything(data, "test")[0], everything(light, "test")[0])


def test_what_a_clip_is_read_from_travels_to_another_process_as_a_name(exports: Path, tmp_path: Path) -> None:
    for augment in ("light", "paper"):
        split = open_data(settings(exports / "something_v2", augment=augment, cache=str(tmp_path))).splits["train"]
        split.read(np.arange(2), None)
        text = pickle.dumps(split.read)
        assert len(text) < 20_000
        assert np.array_equal(pickle.loads(text)(np.arange(2), None), split.read(np.arange(2), None))


def test_the_second_time_no_file_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_data(settings(root))

    def fail(*_: object) -> None:
        raise AssertionError("opened again")

    monkeypatch.setattr(_probe, "probe", fail)
    monkeypatch.setattr(_clip_reader, "decode", fail)
    assert open_data(settings(root)).fingerprint == first.fingerprint


def test_a_disk_that_fills_while_caching_is_a_note_and_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(open_data(settings(root, cache=str(root.parent / "other"))), "train", augment_seed=0)[0]

    def full(path: Path, *_: object) -> object:
        raise CannotWriteError(f"cannot write {path}: {OSError(errno.ENOSPC, 'No space left on device').strerror}")

    monkeypatch.setattr(_clip_reader, "cached_array", full)
    data = open_data(settings(root))
    assert [note.split(", since")[0] for note in data.notes] == [
        f"{split} is decoded in each epoch anew" for split in ("train", "val", "test")
    ]
    assert data.notes[0].endswith("since its cache cannot be written (No space left on device)")
    assert not any(str(root.parent) in note for note in data.notes)
    assert np.array_equal(everything(data, "train", augment_seed=0)[0], before)


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


def test_nothing_to_check_in_twins() -> None:
    with pytest.raises(UserError, match="twins is rendered"):
        check(DataSettings(**SIZES))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_contact_sheet_of_each_layout(exports: Path, tmp_path: Path, layout: str) -> None:
    path = preview(settings(exports / layout, layout, cache=str(tmp_path)), tmp_path / "sheet.png")
    assert path.stat().st_size > 10_000


def test_a_clip_of_several_sizes_takes_that_of_its_first_frame(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            folder = write_images(tmp_path / "set" / split / name / "clip", list(numbered(3, 20, 30)))
            write_images(folder, list(numbered(3, 40, 24)), first=4)
    data = open_data(settings(tmp_path / "set", "folder"))
    assert everything(data, "test")[0].shape == (2, 4, 3, 16, 16)
    assert _decode.decode(tmp_path / "set/test/a/clip", [0, 5]).shape == (2, 20, 30, 3)


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


def test_an_image_that_is_a_link_out_of_the_root_condemns_its_clip(exports: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exports / "something_v1", tmp_path / "set"))
    (tmp_path / "secret.jpg").write_bytes((root / "20bn-something-something-v1/4/00001.jpg").read_bytes())
    image = root / "20bn-something-something-v1/4/00002.jpg"
    image.unlink()
    image.symlink_to(tmp_path / "secret.jpg")
    data = open_data(settings(root, "something_v1"))
    assert data.skipped == ("20bn-something-something-v1/4: 00002.jpg is a link that leads out of the root",)


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


def with_depth(root: Path) -> None:
    for split in ("train", "val", "test"):
        for name in "ab":
            folder = write_images(root / split / name / "clip", list(numbered(8, 16, 16)))
            for image in list(folder.iterdir()):
                Image.fromarray(255 - np.asarray(Image.open(image))).save(folder / f"depth_{image.stem[4:]}.png")
                image.rename(folder / f"{image.stem[4:]}.jpg")


def test_a_setting_says_which_images_are_the_frames(tmp_path: Path) -> None:
    with_depth(tmp_path / "set")

    def opened(names: str | None) -> VideoData:
        return open_data(settings(tmp_path / "set", "folder", skip_broken=False, frame_names=names))

    message = (
        "it holds 2 series of images: \\*.jpg \\(8\\), depth_\\*.png \\(8\\); say which .* 'data.frame_names=\\*.jpg'; mend"
    )
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            opened(None)
        frames, depth = opened("*.jpg"), opened("depth_*.png")
        assert numbers_of(everything(frames, "test")[0][0]) == [1, 3, 5, 7]
        assert numbers_of(255 - everything(depth, "test")[0][0]) == [1, 3, 5, 7]
        assert frames.fingerprint != depth.fingerprint
    asked = settings(tmp_path / "set", "folder", frame_names="*")
    assert check(asked).clips == {"train": 2, "val": 2, "test": 2}
    assert preview(asked, tmp_path / "sheet.png").stat().st_size > 1000
    assert {row.problem for row in check(settings(tmp_path / "set", "folder")).rows} == {"unreadable", "empty class"}


def test_a_clip_whose_frames_are_alone_has_the_fingerprint_that_it_had(tmp_path: Path) -> None:
    """What a setting of a later version says of other folders changes nothing about these."""
    for split in ("train", "val", "test"):
        for name in "ab":
            write_images(tmp_path / "set" / split / name / "clip", list(numbered(8, 16, 16)))
    asked = settings(tmp_path / "set", "folder")
    assert open_data(asked).fingerprint == open_data(replace(asked, frame_names="flow_*.png")).fingerprint


def kinetics(exports: Path, tmp_path: Path) -> tuple[Path, Path, str]:
    """A copy, and of one of its clips the file and the path where another copy may lie."""
    root = Path(shutil.copytree(exports / "kinetics400", tmp_path / "set"))
    video = sorted(root.glob("train/*/*.mp4"))[5]
    return root, video, f"more/{video.name}"


def test_of_two_files_of_a_clip_the_one_that_opens_is_taken(
    exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, video, other = kinetics(exports, tmp_path)
    before = open_data(settings(root, "kinetics400"))
    for copy in (other, f"zzz/{video.name}", f"also/{video.name}"):
        (root / copy).parent.mkdir()
        shutil.copy(video, root / copy)
    (root / "also" / video.name).write_bytes(b"cut off")
    video.write_bytes(b"")
    opened: list[Path] = []
    probe = _probe.probe

    def probing(path: Path, names: Sequence[str]) -> object:
        opened.append(path)
        return probe(path, names)

    monkeypatch.setattr(_probe, "probe", probing)
    for _ in range(2):
        data = open_data(settings(root, "kinetics400", skip_broken=False))
        assert (data.fingerprint, data.skipped) == (before.fingerprint, ())
        assert any(name.startswith("more/") for name in data.splits["train"].names + data.splits["val"].names)
    assert opened == [root / "also" / video.name, root / other], "other files of clips that open are left alone"
    assert check(settings(root, "kinetics400")).rows == ()
    # If all are damaged it is the first one that is named.
    for copy in (other, f"zzz/{video.name}"):
        (root / copy).write_bytes(b"cut off")
    (reason,) = open_data(settings(root, "kinetics400")).skipped
    assert reason.startswith(f"also/{video.name}: it cannot be opened")


def test_of_two_files_of_a_clip_a_check_finds_the_one_that_is_whole(exports: Path, tmp_path: Path) -> None:
    root, video, _ = kinetics(exports, tmp_path)
    whole = open_data(settings(root, "kinetics400")).fingerprint
    (root / "train" / "zzz").mkdir()
    shutil.copy(video, root / "train" / "zzz" / video.name)
    write_video(video.with_suffix(".mkv"), numbered(40))
    content = video.with_suffix(".mkv").read_bytes()
    video.unlink()
    # Its first half opens.
    video.with_suffix(".mkv").write_bytes(content[: len(content) // 2])
    assert open_data(settings(root, "kinetics400")).fingerprint != whole
    assert check(settings(root, "kinetics400")).rows == ()
    assert open_data(settings(root, "kinetics400")).fingerprint == whole


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


def as_frames(root: Path) -> None:
    """The videos of an EPIC export as folders of numbered images."""
    for video in sorted(root.glob("P*/videos/*.mp4"), key=lambda path: path.name) or sorted(root.glob("P*/videos/*.MP4")):
        folder = video.parents[1] / "rgb_frames" / video.stem
        folder.mkdir(parents=True)
        count = len(_index.scan(video))
        for number, frame in enumerate(_decode.decode(video, range(count)), 1):
            Image.fromarray(frame).save(folder / f"frame_{number:010d}.png")
    for videos in root.glob("P*/videos"):
        shutil.rmtree(videos)


def test_frames_in_folders_go_by_their_numbers(exports: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exports / "epic_kitchens_100", tmp_path / "epic"))
    as_frames(root)
    before = open_data(settings(root, "epic_kitchens_100"))
    videos = open_data(settings(exports / "epic_kitchens_100", "epic_kitchens_100", cache=str(tmp_path / "other")))
    for split in ("train", "val", "test"):
        assert np.array_equal(everything(before, split)[0], everything(videos, split)[0])
    folders = sorted(root.glob("P*/rgb_frames/*"))
    (folders[0] / "frame_0000000002.png").unlink()
    found = check(settings(root, "epic_kitchens_100"))
    assert [(row.problem, row.message, row.is_used) for row in found.rows] == [
        ("too short", "of its 4 frames 1 are not there", True)
    ]
    after = open_data(settings(root, "epic_kitchens_100"))
    differing = [
        not np.array_equal(one, other)
        for split in ("train", "val", "test")
        for one, other in zip(everything(before, split)[0], everything(after, split)[0], strict=True)
    ]
    assert sum(differing) == 1, "a lost frame moves no other clip"


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


def test_a_class_of_which_no_clip_can_be_used_is_said(root: Path) -> None:
    train = json.loads((root / "something-something-v2-train.json").read_text())
    gone = [item["id"] for item in train if item["template"] == "moves up"]
    for clip in gone:
        (root / "20bn-something-something-v2" / f"{clip}.webm").write_bytes(b"")
    found = check(settings(root))
    assert found.counts == {"unreadable": len(gone), "empty class": 1}
    assert sum(found.clips.values()) == 192 - len(gone)
    assert open_data(settings(root)).notes == ("without a clip in train: class 'moves up'",)


def test_two_classes_in_one_window_and_two_windows_from_one_start(tmp_path: Path) -> None:
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", numbered(40))
    rows = [f"{name}.mp4,{name},0,{stop},{split}" for name in "ab" for split, stop in (("train", 1), ("val", 2), ("test", 3))]
    (tmp_path / "clips.csv").write_text("path,label,start,stop,split\n" + "\n".join(rows) + "\n")
    data = open_data(settings(tmp_path, "folder", csv="clips.csv", skip_broken=False, cache=str(tmp_path / "cache")))
    assert [len(split) for split in data.splits.values()] == [2, 2, 2]


def test_a_cache_that_cannot_be_written_says_which_setting(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data\.cache=FOLDER names another place for the cache"):
        open_data(settings(root, cache=str(tmp_path / "file")))


def test_a_check_survives_a_look_at_other_windows(exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = settings(exports / "epic_kitchens_100", "epic_kitchens_100", cache=str(tmp_path))
    check(asked)
    entries = _files.read_manifest(EpicKitchens100(), asked).splits["test"]
    other = replace(entries[0], start=0.0, stop=0.25)
    (index,) = tmp_path.rglob("index.json")
    _probe.probe_files(exports / "epic_kitchens_100", [other], index)
    monkeypatch.setattr(_probe, "examine", lambda *_: pytest.fail("checked again"))
    assert check(asked).rows == ()
