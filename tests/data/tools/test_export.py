"""Twins as real files, and what comes back from them."""

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from gsfnas.data import DataSettings, VideoData, export, open_data
from gsfnas.data.sets.diving48 import read_diving48
from gsfnas.data.sets.epic_kitchens_100 import read_epic_kitchens_100
from gsfnas.data.sets.kinetics400 import read_kinetics400
from gsfnas.data.sets.something_something import read_something_v1, read_something_v2
from gsfnas.data.tools import _export
from gsfnas.data.tools._export_layouts import LAYOUTS, _stamp
from gsfnas.data.video._decode import decode, probe
from gsfnas.errors import UserError

COUNTS = {"train": 24, "val": 24, "test": 24}
PUBLIC = sorted(set(LAYOUTS) - {"folder"})
# Layout -> its video files or folders of images, as a pattern.
MEDIA = {
    "something_v1": "20bn-something-something-v1/*",
    "something_v2": "20bn-something-something-v2/*.webm",
    "kinetics400": "*/*/*.mp4",
    "diving48": "rgb/*.mp4",
    "epic_kitchens_100": "P*/videos/*.MP4",
}


def settings(folder: Path, **values: object) -> DataSettings:
    given = {f"{split}_clips": count for split, count in COUNTS.items()} | {"cache": str(folder / "cache")} | values
    return DataSettings(**{"resolution": 24, "frames": 5, "difficulty": 0.5} | given)  # type: ignore[arg-type]


def tiny(folder: Path, **values: object) -> DataSettings:
    """Few enough clips to count by hand: 6 of training, 2 of validation, 4 of test."""
    counts = {"train_clips": 6, "val_clips": 2, "test_clips": 4}
    return settings(folder, **{"resolution": 16, "frames": 4} | counts | values)


def by_content(data: VideoData, split: str) -> list[tuple[str, np.ndarray]]:
    """The clips under their class names, in an order of their content."""
    ((clips, labels),) = data.splits[split].batches(1000)
    names = [data.tasks["class"][label] for label in labels["class"].tolist()]
    return sorted(zip(names, clips.numpy(), strict=True), key=lambda item: (item[0], item[1].astype(int).sum()))


def in_order(data: VideoData) -> list[tuple[str, np.ndarray]]:
    """All clips, (T, H, W, 3), and their class names: training, validation, test."""
    found = []
    for split in ("train", "val", "test"):
        for clips, labels in data.splits[split].batches(1):
            found.append((data.tasks["class"][int(labels["class"][0])], clips[0].permute(0, 2, 3, 1).numpy()))
    return found


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def interrupt(after: int) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        if done >= after:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("format", ["webm", "mp4"])
def test_what_is_written_is_read_back(tmp_path: Path, format: str) -> None:
    seen = []
    twins = settings(tmp_path)
    written = export(twins, tmp_path / "out", format=format, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 72) for number in range(1, 73)]
    assert len(list((tmp_path / "out").rglob(f"*.{format}"))) == 72
    read = open_data(dataclasses.replace(twins, name="folder", root=str(tmp_path / "out")))
    assert set(read.tasks["class"]) == set(written.tasks["class"])
    for split, count in COUNTS.items():
        assert len(read.splits[split]) == count
        for (name, clip), (name_back, clip_back) in zip(by_content(written, split), by_content(read, split), strict=True):
            assert name == name_back
            assert np.abs(clip.astype(int) - clip_back).mean() < 4


@pytest.mark.parametrize(("format", "codec"), [("webm", "libvpx"), ("mp4", "mpeg4")])
def test_a_poorer_encoder_still_keeps_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, codec: str
) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libvpx-vp9", "libx264rgb"})
    assert _export._codec(format)[0] == codec
    twins = settings(tmp_path)
    written = export(twins, tmp_path / "out", format=format)
    read = open_data(dataclasses.replace(twins, name="folder", root=str(tmp_path / "out")))
    clip, label = next(iter(written.splits["test"].batches(1)))
    name = written.tasks["class"][int(label["class"])]
    back = next(clip for other, clip in by_content(read, "test") if other == name)
    assert np.corrcoef(clip.numpy().ravel(), back.ravel())[0, 1] > 0.8


def test_something_v1_is_folders_of_jpegs(tmp_path: Path) -> None:
    root, seen = tmp_path / "out", []
    clips = in_order(export(tiny(tmp_path), root, "something_v1", on_progress=lambda *counts: seen.append(counts)))
    assert seen == [(number, 12) for number in range(1, 13)]
    prefix = "something-something-v1"
    lists = {f"{prefix}-{name}.csv" for name in ("labels", "train", "validation", "test")}
    assert tree(root) == lists | {f"20bn-{prefix}/{id}/{image:05d}.jpg" for id in range(1, 13) for image in range(1, 5)}
    classes = (root / f"{prefix}-labels.csv").read_text().splitlines()
    assert len(classes) == 24
    assert classes[:2] == ["moves right", "moves left"]
    listed = {name: (root / f"{prefix}-{name}.csv").read_text().splitlines() for name in ("train", "validation", "test")}
    assert listed["train"] == [f"{number};{name}" for number, (name, _) in enumerate(clips[:8], 1)]
    assert listed["validation"] == [f"{number};{name}" for number, (name, _) in enumerate(clips[8:], 9)]
    assert listed["test"] == []
    for number, (_, frames) in enumerate(clips, 1):
        back = decode(root / f"20bn-{prefix}" / str(number), range(4))
        assert back.shape == frames.shape
        assert np.abs(back.astype(int) - frames).mean() < 3
    with Image.open(root / f"20bn-{prefix}/1/00001.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4


def test_something_v2_is_webm_files(tmp_path: Path) -> None:
    root = tmp_path / "out"
    clips = in_order(export(tiny(tmp_path), root, "something_v2"))
    prefix = "something-something-v2"
    lists = {f"{prefix}-{name}.json" for name in ("labels", "train", "validation", "test")}
    assert tree(root) == lists | {f"20bn-{prefix}/{id}.webm" for id in range(1, 13)}
    labels = json.loads((root / f"{prefix}-labels.json").read_text())
    assert list(labels.values()) == [str(index) for index in range(24)]
    assert labels["moves left"] == "1"
    listed = {name: json.loads((root / f"{prefix}-{name}.json").read_text()) for name in ("train", "validation", "test")}
    assert [len(listed[name]) for name in ("train", "validation", "test")] == [8, 4, 0]
    for item, (name, frames) in zip(listed["train"] + listed["validation"], clips, strict=True):
        assert item == {"id": item["id"], "label": name, "template": name, "placeholders": []}
        path = root / f"20bn-{prefix}" / f"{item['id']}.webm"
        assert probe(path).frames == 4
        np.testing.assert_array_equal(decode(path, range(4)), frames)


def test_kinetics400_is_class_folders_with_lists(tmp_path: Path) -> None:
    root = tmp_path / "out"
    clips = in_order(export(tiny(tmp_path), root, "kinetics400"))
    listed = [row for split in ("train", "val") for row in rows(root / "annotations" / f"{split}.csv")]
    assert list(listed[0]) == ["label", "youtube_id", "time_start", "time_end", "split"]
    assert [row["split"] for row in listed] == ["train"] * 8 + ["val"] * 4
    assert len({row["youtube_id"] for row in listed}) == 12
    found = {"annotations/train.csv", "annotations/val.csv"}
    for row, (name, frames) in zip(listed, clips, strict=True):
        assert (row["label"], row["time_start"], row["time_end"]) == (name, "0", "10")
        assert len(row["youtube_id"]) == 11
        path = f"{row['split']}/{name}/{row['youtube_id']}_000000_000010.mp4"
        np.testing.assert_array_equal(decode(root / path, range(4)), frames)
        found.add(path)
    assert tree(root) == found


def test_diving48_is_one_folder_with_numbered_classes(tmp_path: Path) -> None:
    root = tmp_path / "out"
    written = export(tiny(tmp_path), root, "diving48")
    vocabulary = json.loads((root / "Diving48_vocab.json").read_text())
    assert vocabulary == [[name] for name in written.tasks["class"]]
    train, test = (json.loads((root / f"Diving48_V2_{name}.json").read_text()) for name in ("train", "test"))
    assert (len(train), len(test)) == (8, 4)
    found = {"Diving48_vocab.json", "Diving48_V2_train.json", "Diving48_V2_test.json"}
    for item, (name, frames) in zip(train + test, in_order(written), strict=True):
        assert set(item) == {"vid_name", "label", "start_frame", "end_frame"}
        assert vocabulary[item["label"]] == [name]
        assert (item["start_frame"], item["end_frame"]) == (0, 4)
        np.testing.assert_array_equal(decode(root / "rgb" / f"{item['vid_name']}.mp4", range(4)), frames)
        found.add(f"rgb/{item['vid_name']}.mp4")
    assert tree(root) == found


@pytest.mark.parametrize("frames", [4, 5])
def test_epic_kitchens_is_long_videos_with_time_stamps(tmp_path: Path, frames: int) -> None:
    root, seen = tmp_path / "out", []
    twins = settings(tmp_path, resolution=16, frames=frames)
    written = export(twins, root, "epic_kitchens_100", on_progress=lambda *counts: seen.append(counts))
    assert seen == [(30, 72), (48, 72), (72, 72)]
    videos = {f"P01_{take:02d}": root / f"P01/videos/P01_{take:02d}.MP4" for take in (1, 2, 3)}
    assert tree(root) == {f"EPIC_100_{name}.csv" for name in ("train", "validation", "verb_classes", "noun_classes")} | {
        path.relative_to(root).as_posix() for path in videos.values()
    }
    train, test = rows(root / "EPIC_100_train.csv"), rows(root / "EPIC_100_validation.csv")
    assert Counter(row["video_id"] for row in train) == {"P01_01": 30, "P01_02": 18}
    assert Counter(row["video_id"] for row in test) == {"P01_03": 24}
    verbs, nouns = ({row["id"]: row["key"] for row in rows(root / f"EPIC_100_{kind}_classes.csv")} for kind in ("verb", "noun"))
    assert list(verbs.values()) == list(written.tasks["class"])
    assert (len(nouns), nouns["0"]) == (12, "scene of moves right")
    assert len({(row["verb_class"], row["noun_class"]) for row in test}) == 24
    assert len({row["narration_id"] for row in train + test}) == 72
    shown = {video: decode(path, range(probe(path).frames)) for video, path in videos.items()}
    for row, (name, clip) in zip(train + test, in_order(written), strict=True):
        assert verbs[row["verb_class"]] == row["verb"] == row["narration"] == name
        assert nouns[row["noun_class"]] == row["noun"] == f"scene of {verbs[str(int(row['verb_class']) // 2 * 2)]}"
        assert row["all_nouns"] == str([row["noun"]])
        assert row["participant_id"] == "P01"
        start, stop = int(row["start_frame"]) - 1, int(row["stop_frame"]) - 1
        np.testing.assert_array_equal(shown[row["video_id"]][start:stop], clip)
        np.testing.assert_array_equal(
            between(videos[row["video_id"]], *(row[f"{end}_timestamp"] for end in ("start", "stop"))), clip
        )


def between(path: Path, start: str, stop: str) -> np.ndarray:
    """The frames that are shown from one time stamp to before the other, counted from the first frame's time."""
    low, high = (
        float(hours) * 3600 + float(minutes) * 60 + float(seconds)
        for hours, minutes, seconds in (start.split(":"), stop.split(":"))
    )
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [frame.time - frames[0].time for frame in frames]
    return np.stack([frame.to_ndarray(format="rgb24") for frame, time in zip(frames, times, strict=True) if low <= time < high])


def test_a_long_video_has_a_key_frame_every_second(tmp_path: Path) -> None:
    export(tiny(tmp_path, frames=30), tmp_path / "out", "epic_kitchens_100")
    with av.open(str(tmp_path / "out/P01/videos/P01_01.MP4")) as container:
        packets = sorted((packet.pts, packet.is_keyframe) for packet in container.demux(video=0) if packet.size)
    keys = [number for number, (_, is_key) in enumerate(packets) if is_key]
    assert len(packets) == 8 * 30
    assert max(np.diff([*keys, len(packets)])) <= 8


def test_time_stamps_are_exact_beyond_an_hour() -> None:
    assert [_stamp(frame) for frame in (0, 1, 481, 8 * 3600 + 7)] == [
        "00:00:00.000",
        "00:00:00.125",
        "00:01:00.125",
        "01:00:00.875",
    ]


def test_an_interrupted_export_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        export(settings(tmp_path), tmp_path / "out", on_progress=interrupt(10))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.webm")}
    assert len(files) == 10
    export(settings(tmp_path), tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.webm"))) == 72
    assert all(path.stat().st_mtime_ns == time for path, time in files.items())


@pytest.mark.parametrize("layout", PUBLIC)
def test_an_interrupted_export_has_no_annotations_until_it_went_on(tmp_path: Path, layout: str) -> None:
    root, twins = tmp_path / "out", tiny(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        export(twins, root, layout, on_progress=interrupt(3))
    times = {path: path.stat().st_mtime_ns for path in root.glob(MEDIA[layout])}
    assert len(times) == (1 if layout == "epic_kitchens_100" else 3)
    assert not [name for name in tree(root) if name.endswith((".csv", ".json"))]
    export(twins, root, layout)
    assert len(list(root.glob(MEDIA[layout]))) == (2 if layout == "epic_kitchens_100" else 12)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    export(twins, tmp_path / "at once", layout)
    assert tree(root) == tree(tmp_path / "at once")


@pytest.mark.parametrize("layout", ["folder", *PUBLIC])
@pytest.mark.parametrize("reason", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, reason: BaseException
) -> None:
    read = _export._images

    def failing(*given: object) -> object:
        yield next(iter(read(*given)))  # type: ignore[arg-type]
        raise reason

    monkeypatch.setattr(_export, "_images", failing)
    with pytest.raises(UserError if isinstance(reason, OSError) else KeyboardInterrupt, match=r"No space|^$"):
        export(tiny(tmp_path), tmp_path / "out", layout)
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file() or path.name.startswith(".")]
    assert left == [".gsfnas-export.json"]


def test_refusals(tmp_path: Path) -> None:
    twins = tiny(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    for layout in LAYOUTS:
        with pytest.raises(UserError, match="is not empty"):
            export(twins, tmp_path / "full", layout)
    with pytest.raises(UserError, match="is a file"):
        export(twins, tmp_path / "full" / "thesis.tex")
    with pytest.raises(UserError, match=r"unknown video format 'gif' \(choices: mp4, webm\)"):
        export(twins, tmp_path / "out", format="gif")
    with pytest.raises(UserError, match="unknown video format 'jpg'"):
        export(twins, tmp_path / "out", format="jpg")
    with pytest.raises(UserError, match="unknown export 'zip'"):
        export(twins, tmp_path / "out", as_="zip")
    with pytest.raises(UserError, match="only twins"):
        export(dataclasses.replace(twins, name="folder", root="x"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(twins, tmp_path / "out")
    with pytest.raises(UserError, match="holds an export of other settings"):
        export(dataclasses.replace(twins, seed=3), tmp_path / "out")
    with pytest.raises(UserError, match="holds an export of other settings"):
        export(twins, tmp_path / "out", "something_v2")


@pytest.mark.parametrize(
    ("layout", "own", "other"),
    [
        ("something_v1", "jpg", "webm"),
        ("something_v2", "webm", "mp4"),
        ("kinetics400", "mp4", "webm"),
        ("diving48", "mp4", "gif"),
        ("epic_kitchens_100", "mp4", "jpg"),
    ],
)
def test_a_public_layout_has_one_format(tmp_path: Path, layout: str, own: str, other: str) -> None:
    with pytest.raises(UserError, match=f"`format` must be '{own}' for {layout}.*got '{other}'"):
        export(tiny(tmp_path), tmp_path / "out", layout, other)
    assert not (tmp_path / "out").exists()
    export(tiny(tmp_path), tmp_path / "out", layout, own)
    assert list((tmp_path / "out").glob(MEDIA[layout]))


READERS = {
    "something_v1": read_something_v1,
    "something_v2": read_something_v2,
    "kinetics400": read_kinetics400,
    "diving48": read_diving48,
    "epic_kitchens_100": read_epic_kitchens_100,
}


@pytest.mark.parametrize("layout", PUBLIC)
def test_its_reader_finds_every_clip(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "out"
    clips = in_order(export(settings(tmp_path, resolution=16, frames=4), root, layout))
    manifest = READERS[layout](root)
    assert manifest.problems == ()
    assert {split: len(entries) for split, entries in manifest.splits.items()} == {"train": 48, "test": 24}
    assert {task: len(names) for task, names in manifest.tasks.items()} == (
        {"action": 24, "verb": 24, "noun": 12} if layout == "epic_kitchens_100" else {"class": 24}
    )
    place = list(manifest.tasks).index("verb" if layout == "epic_kitchens_100" else "class")
    names = list(manifest.tasks.values())[place]
    entries = [entry for split in ("train", "test") for entry in manifest.splits[split]]
    assert [names[entry.labels[place]] for entry in entries] == [name for name, _ in clips]
    assert all((root / entry.path).exists() for entry in entries)


@pytest.mark.parametrize("layout", PUBLIC)
def test_opened_as_its_data_set_it_tests_on_the_test_clips(tmp_path: Path, layout: str) -> None:
    root, twins = tmp_path / "out", settings(tmp_path, resolution=16, frames=4)
    written = export(twins, root, layout)
    read = open_data(dataclasses.replace(twins, name=layout, root=str(root)))
    assert read.skipped == ()
    assert len(read.splits["train"]) + len(read.splits["val"]) == 48
    ((clips, _),) = written.splits["test"].batches(100)
    ((back, _),) = read.splits["test"].batches(100)
    assert np.abs(clips.numpy().astype(int) - back.numpy()).mean() < (3 if layout == "something_v1" else 1e-9)
