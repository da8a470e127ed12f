"""The public data sets end to end, on Twins in their layouts: real files in, the same clips out."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import DataSettings, export, open_data, preview
from gsfnas.data.twins._classes import classes, mirrored, pairs_of
from gsfnas.data.video import _decode

from ...media import numbered, write_images
from .exports import LAYOUTS, SIZES, everything, settings, twins


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_of_each_layout_give_the_rendered_clips(exports: Path, tmp_path: Path, layout: str) -> None:
    data = open_data(settings(exports / layout, layout, cache=str(tmp_path)))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 96, "val": 48, "test": 48}
    assert (data.skipped, data.notes) == ((), ())
    task = "verb" if layout == "epic_kitchens_100" else "class"
    assert list(data.tasks) == (["action", "verb", "noun"] if task == "verb" else ["class"])
    assert set(data.tasks[task]) == set(classes(pairs_of(0, 0)))
    clips, labels = everything(data, "test")
    rendered, known = everything(twins(), "test")
    names = [data.tasks[task][label] for label in labels[task]]
    assert names == [classes(pairs_of(0, 0))[label] for label in known["class"]]
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
        order = np.argsort([f"{classes(pairs_of(0, 0))[label]}/{index:06d}" for index, label in enumerate(labels["class"])])
        found, named = everything(outer, split)
        assert np.array_equal(found, clips[order])
        assert [data.tasks["class"][label] for label in named["class"]] == [
            classes(pairs_of(0, 0))[label] for label in labels["class"][order]
        ]
    mirror = outer.splits["train"].mirror
    assert mirror is not None
    actions = pairs_of(0, 0)
    swapped = {classes(actions)[one]: classes(actions)[other] for one, other in enumerate(mirrored(actions))}
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
