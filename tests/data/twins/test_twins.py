"""Twins: what the clips show, that twins differ in nothing but order, that the splits share nothing, and the cache."""

import hashlib
import itertools
import multiprocessing
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import DataSettings, open_data
from gsfnas.data._settings import SPLITS
from gsfnas.data.twins import _data_set
from gsfnas.data.twins._actions import ACTIONS
from gsfnas.data.twins._classes import classes, find_pairs, mirrored, mirrored_names, pairs_of
from gsfnas.data.twins._pixels import COLUMNS, DIGITS, load_pixels, resize
from gsfnas.data.twins._render import render
from gsfnas.data.twins._rng import Rng
from gsfnas.data.twins._textures import TEXTURES, Texture, render_texture
from gsfnas.errors import UserError

SMALL = {"frames": 8, "resolution": 32, "train_clips": 48, "val_clips": 24, "test_clips": 48}
# Of twelve clips; it changes with `VERSION` alone.
GOLDEN = "4d94273f98e24811"
GOLDEN_TEXTURES = "a8cb9c02e7ed0260"
# Of the settings SMALL.
FINGERPRINT = "twins-0c1d967322fe9019"
PROGRESS = np.linspace(0, 1, 8)
CONTENTS = pytest.mark.parametrize(
    "content",
    [{"textures": 0, "far": 0}, {"textures": 6, "far": 0}, {"textures": 0, "far": 3}, {"textures": 0, "far": 2}],
    ids=["actions", "textures", "far", "far by two frames"],
)


def settings(folder: Path, **values: object) -> DataSettings:
    return DataSettings(cache=str(folder), **{**SMALL, **values})  # type: ignore[arg-type]


def clips_of(data_settings: DataSettings, split: str) -> tuple[np.ndarray, np.ndarray]:
    ((clips, labels),) = open_data(data_settings).splits[split].batches(10_000)
    return clips.numpy(), labels["class"].numpy()


def test_at_least_ten_actions_each_with_a_twin_of_another_name() -> None:
    assert len(ACTIONS) >= 10
    for textures in range(len(TEXTURES) + 1):
        names = classes(pairs_of(textures, 0))
        assert len(set(names)) == len(names) == 2 * len(ACTIONS) >= 20
        assert sum("texture" in name for name in names) == 2 * textures


@CONTENTS
@pytest.mark.parametrize("split", ["val", "test"])
def test_every_clip_stands_beside_its_exact_reversal(tmp_path: Path, split: str, content: dict[str, int]) -> None:
    clips, labels = clips_of(settings(tmp_path, **content), split)
    assert np.array_equal(clips[1::2], clips[::2, ::-1])
    assert np.array_equal(labels[1::2], labels[::2] ^ 1)
    assert not np.array_equal(clips[1::2], clips[::2])


@CONTENTS
@pytest.mark.parametrize("split", ["val", "test"])
def test_the_best_possible_order_blind_model_gets_exactly_half(tmp_path: Path, split: str, content: dict[str, int]) -> None:
    """A model that sees a bag of frames answers equal bags alike: its best answer is each bag's most frequent class."""
    clips, labels = clips_of(settings(tmp_path, **content), split)
    bags = defaultdict(Counter)
    for clip, label in zip(clips, labels, strict=True):
        bags[tuple(sorted(frame.tobytes() for frame in clip))][int(label)] += 1
    right = sum(answers.most_common(1)[0][1] for answers in bags.values())
    assert right * 2 == len(labels)


@CONTENTS
def test_training_is_balanced_and_holds_no_clip_beside_its_reversal(tmp_path: Path, content: dict[str, int]) -> None:
    names = classes(pairs_of(content["textures"], content["far"]))
    clips, labels = clips_of(settings(tmp_path, **content, train_clips=2 * len(names)), "train")
    assert set(Counter(labels.tolist()).values()) == {2}
    bags = {tuple(sorted(frame.tobytes() for frame in clip)) for clip in clips}
    assert len(bags) == len(clips)


def test_the_same_seed_gives_the_same_bytes_on_every_platform() -> None:
    clip = np.concatenate(
        [render("test", 3, action, seed=7, frames=5, resolution=24, difficulty=0.5) for action in range(len(ACTIONS))]
    )
    assert hashlib.sha256(clip.tobytes()).hexdigest()[:16] == GOLDEN


def test_textures_are_the_same_bytes_on_every_platform() -> None:
    clip = np.concatenate(
        [render_texture("test", 3, texture, seed=7, frames=5, resolution=24, difficulty=0.5) for texture in TEXTURES]
    )
    assert hashlib.sha256(clip.tobytes()).hexdigest()[:16] == GOLDEN_TEXTURES


def test_textures_leave_the_clips_of_the_actions_as_they_are(tmp_path: Path) -> None:
    """Also the fingerprint of data without textures, which is part of the ids of all earlier runs."""
    assert open_data(settings(tmp_path)).fingerprint == FINGERPRINT
    assert open_data(settings(tmp_path, textures=6)).fingerprint != FINGERPRINT
    (plain, _), (mixed, _) = clips_of(settings(tmp_path), "test"), clips_of(settings(tmp_path, textures=6), "test")
    before, after = classes(pairs_of(0, 0)), classes(pairs_of(6, 0))
    names = [name for name in after if name in before]
    assert len(names) == 12
    for name in names:
        # The scene's number is part of its seed: the same only where a pair stands in the same place.
        if before.index(name) == after.index(name):
            assert np.array_equal(plain[before.index(name)], mixed[after.index(name)])
    assert before[:8] == after[:8]


@pytest.mark.parametrize("texture", TEXTURES, ids=lambda texture: texture.name)
@pytest.mark.parametrize("resolution", [32, 64])
def test_a_texture_drifts_by_its_speed_in_every_frame(texture: Texture, resolution: int) -> None:
    clip = render_texture("train", 5, texture, seed=0, frames=8, resolution=resolution, difficulty=0.0).astype(int)
    # Differences take the photograph out, which is still at difficulty 0: what remains is the texture, moved.
    along = 3 if texture.axis == "x" else 2
    changes = np.diff(clip, axis=0)
    step = texture.speed * resolution // 32
    for change, following in itertools.pairwise(changes):
        length = change.shape[along - 1] - step
        near, far = range(length), range(step, step + length)
        agreement = {
            there: np.corrcoef(change.take(here, along - 1).ravel(), following.take(there, along - 1).ravel())[0, 1]
            for here, there in ((near, far), (far, near))
        }
        # Not quite 1, since grey levels below 0 are cut off.
        assert agreement[far] > 0.9
        assert agreement[near] < 0.5
    assert np.abs(changes).max() > 30


@pytest.mark.parametrize("frames", [1, 3, 16])
@pytest.mark.parametrize("resolution", [8, 28, 65])
def test_textures_of_any_number_of_frames_and_any_resolution(frames: int, resolution: int) -> None:
    for texture in TEXTURES:
        clip = render_texture("val", 0, texture, seed=0, frames=frames, resolution=resolution, difficulty=1.0)
        assert (clip.shape, clip.dtype) == ((frames, 3, resolution, resolution), np.uint8)


@pytest.mark.parametrize("textures", [-1, 7, 1.5])
def test_textures_are_refused_in_one_line(textures: object) -> None:
    with pytest.raises(UserError, match=r"`data.textures` must be an integer from 0 to 6, but got"):
        DataSettings(textures=textures)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"`data.textures` belongs to twins, but the data set is 'folder'"):
        DataSettings(name="folder", root="x", textures=1)


def test_a_clip_depends_on_neither_the_number_of_clips_nor_another_split(tmp_path: Path) -> None:
    few, _ = clips_of(settings(tmp_path), "test")
    more, _ = clips_of(settings(tmp_path, test_clips=60, train_clips=24), "test")
    assert np.array_equal(few, more[:48])


def test_seed_and_difficulty_change_the_clips_and_the_fingerprint(tmp_path: Path) -> None:
    base, _ = clips_of(settings(tmp_path), "val")
    prints = {open_data(settings(tmp_path)).fingerprint}
    for changed in ({"seed": 1}, {"difficulty": 0.9}, {"val_clips": 26}, {"resolution": 24}):
        other, _ = clips_of(settings(tmp_path, **changed), "val")
        assert other.shape != base.shape or not np.array_equal(other, base)
        prints.add(open_data(settings(tmp_path, **changed)).fingerprint)
    assert len(prints) == 5


def test_splits_share_no_digit_and_no_pixel_of_a_photograph() -> None:
    assert sorted(digit for digits in DIGITS.values() for digit in digits) == list(range(10))
    ends = [COLUMNS[split] for split in SPLITS]
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(ends))
    images = [{digit.tobytes() for digit in load_pixels(split, 16).digits} for split in SPLITS]
    assert sum(map(len, images)) == len(set.union(*images))
    strips = [[photo.tobytes() for photo in load_pixels(split, 16).photos] for split in SPLITS]
    assert len({strip for strips_of_split in strips for strip in strips_of_split}) == 6


def test_without_difficulty_nothing_but_the_object_changes() -> None:
    clip = render("train", 0, 0, seed=0, frames=8, resolution=32, difficulty=0.0)
    still = (clip == clip[0]).all(axis=(0, 1))
    assert 0.2 < still.mean() < 0.95


def test_difficulty_adds_noise_and_drift() -> None:
    easy = render("train", 4, 4, seed=0, frames=8, resolution=32, difficulty=0.0)
    hard = render("train", 4, 4, seed=0, frames=8, resolution=32, difficulty=1.0)
    assert np.abs(np.diff(hard.astype(float), axis=0)).mean() > 3 * np.abs(np.diff(easy.astype(float), axis=0)).mean()


@pytest.mark.parametrize("frames", [1, 2, 3, 16])
@pytest.mark.parametrize("resolution", [8, 28, 65])
def test_any_number_of_frames_and_any_resolution(frames: int, resolution: int) -> None:
    for action in range(len(ACTIONS)):
        clip = render("val", 0, action, seed=0, frames=frames, resolution=resolution, difficulty=1.0)
        assert clip.shape == (frames, 3, resolution, resolution)
        assert clip.dtype == np.uint8
        assert clip.std() > 5


def play(name: str, number: int = 0):
    (action,) = [action for action in ACTIONS if action.name == name]
    return action.play(Rng(name, number), PROGRESS)


def rises(curve: object) -> bool:
    return bool((np.diff(np.asarray(curve)) > 0).all())


@pytest.mark.parametrize("number", range(5))
def test_the_objects_do_what_the_names_say(number: int) -> None:
    (right,) = play("moves right", number).tracks
    assert rises(right.x)
    assert np.ndim(right.y) == 0
    (down,) = play("moves down", number).tracks
    assert rises(down.y)
    assert np.ndim(down.x) == 0
    (nearer,) = play("comes nearer", number).tracks
    assert rises(nearer.width)
    assert rises(nearer.height)
    assert rises(play("turns clockwise", number).tracks[0].angle)
    assert rises(play("appears", number).tracks[0].opacity)
    (unfolding,) = play("unfolds", number).tracks
    assert rises(unfolding.width)
    assert np.ndim(unfolding.height) == 0
    first, second = play("two come together", number).tracks
    assert rises(-np.hypot(first.x - second.x, first.y - second.y))
    behind, front = play("covers another", number).tracks
    assert (front.x[-1], front.y[-1]) == (behind.x, behind.y)
    below, jumper = play("jumps right over another", number).tracks
    assert rises(jumper.x)
    assert jumper.x[0] < below.x < jumper.x[-1]
    assert jumper.y[3] < below.y - 0.5
    centre, around = play("circles another clockwise", number).tracks
    angle = np.unwrap(np.arctan2(around.y - centre.y, around.x - centre.x))
    # y points down, so that a growing angle is clockwise to the eye.
    assert rises(angle)
    assert rises(play("splits in two", number).tracks[0].gap)
    assert rises(play("the light comes on", number).light)


def test_clockwise_is_clockwise_in_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar that stands upright and turns clockwise leans to the right: its upper part moves right."""
    bar = np.zeros((64, 64), np.uint8)
    bar[10:54, 28:36] = 255
    pixels = load_pixels("test", 64)
    bars = type(pixels)(bar.reshape(1, -1), tuple(np.zeros_like(photo) for photo in pixels.photos))
    monkeypatch.setattr("gsfnas.data.twins._render.load_pixels", lambda split, resolution: bars)
    clip = render("test", 0, 3, seed=0, frames=16, resolution=64, difficulty=0.0)
    bright = clip.max(axis=1) > 100
    angles = []
    for frame in bright:
        y, x = np.nonzero(frame)
        (xx, xy), (_, yy) = np.cov(x, y)
        angles.append(0.5 * np.arctan2(2 * xy, xx - yy))
    turned = np.unwrap(angles, period=np.pi)
    assert turned[-1] - turned[0] > 0.3 * np.pi


@pytest.mark.parametrize(("textures", "far"), [(0, 0), (3, 0), (6, 0), (0, 3)])
def test_the_mirror_swaps_exactly_the_classes_that_speak_of_a_side(textures: int, far: int) -> None:
    sided = {"right", "left", "clockwise", "counter-clockwise", "rising", "falling"}
    pairs = pairs_of(textures, far)
    names, mirror = classes(pairs), mirrored(pairs)
    for index, name in enumerate(names):
        assert mirror[mirror[index]] == index
        assert mirror[index] == (index ^ 1 if sided & set(name.split()) else index)
    assert mirrored_names(names) == [names[index] for index in mirror]
    assert find_pairs(names[::-1]) == pairs


def test_resize_keeps_a_constant_and_the_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(float)
    assert (resize(np.full((7, 9), 77.0), 30, 5) == 77).all()
    assert abs(resize(image, 10, 15).mean() - image.mean()) < 2
    assert np.array_equal(resize(image, 40, 60), image)


def no_rendering(*_: object, **__: object) -> np.ndarray:
    raise AssertionError("rendered although the cache holds the clips")


def test_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = clips_of(settings(tmp_path), "train")
    monkeypatch.setattr(_data_set, "render", no_rendering)
    after, _ = clips_of(settings(tmp_path), "train")
    assert np.array_equal(before, after)
    with pytest.raises(AssertionError, match="rendered"):
        open_data(settings(tmp_path, seed=5))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove", "checksum"])
def test_a_damaged_cache_file_is_made_again(tmp_path: Path, damage: str) -> None:
    before, _ = clips_of(settings(tmp_path), "test")
    (path,) = tmp_path.rglob("test-*.npy")
    data = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "remove":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("{")
    after, _ = clips_of(settings(tmp_path), "test")
    assert np.array_equal(before, after)
    assert not [name for name in path.parent.iterdir() if name.name.startswith(".")]


def open_and_hash(folder: str) -> str:
    # Without a batch, so that the processes need not import torch.
    clips = open_data(settings(Path(folder))).splits["train"].read(np.arange(48), None)
    return hashlib.sha256(clips.tobytes()).hexdigest()


def test_several_processes_fill_the_same_cache(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        hashes = pool.map(open_and_hash, [str(tmp_path)] * 2, chunksize=1)
    assert len(set(hashes)) == 1
    assert not list(tmp_path.rglob(".*"))


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file") as caught:
        open_data(settings(tmp_path / "file"))
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> np.ndarray:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_data_set, "twins_clip", full)
    with pytest.raises(UserError, match="No space left on device"):
        open_data(settings(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_clips_are_read_only_to_the_cache(tmp_path: Path) -> None:
    """What a caller does to a batch does not reach the file."""
    split = open_data(settings(tmp_path)).splits["val"]
    clips, _ = next(iter(split.batches(4)))
    clips.zero_()
    assert int(next(iter(split.batches(4)))[0].sum()) > 0
