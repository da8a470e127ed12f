"""Twins, far: what is shown when, that turns and frames tell nothing, and what a place in the clip tells."""

import hashlib
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gsfnas.data import DataSettings, open_data
from gsfnas.data.twins import _far
from gsfnas.data.twins._far import PAIRS, FarPair, Order, Shakes, Turns, render_far
from gsfnas.data.twins._settings import event_frames
from gsfnas.data.twins._textures import CONTRAST, Texture, render_texture
from gsfnas.errors import UserError

# Of ten clips; it changes with `VERSION` and `FAR_VERSION` alone.
GOLDEN = "e5de0552843bdf13"
ORDERS = [pair for pair in PAIRS if isinstance(pair, Order)]
TURNS = [pair for pair in PAIRS if isinstance(pair, Turns)]
SHAKES = [pair for pair in PAIRS if isinstance(pair, Shakes)]

Clip = npt.NDArray[np.uint8]


def still(pair: FarPair, *, far: int = 4, frames: int = 12, index: int = 0, resolution: int = 32) -> Clip:
    """Without noise and camera motion."""
    how = {"seed": 0, "frames": frames, "resolution": resolution, "difficulty": 0.0}
    return render_far("train", index, pair, far=far, **how)  # type: ignore[arg-type]


def shown_frames(clip: Clip) -> list[int]:
    """The frames that differ from the most frequent one, the background."""
    shown = [frame.tobytes() for frame in clip]
    background = Counter(shown).most_common(1)[0][0]
    return [number for number, frame in enumerate(shown) if frame != background]


def test_ten_pairs_with_names_of_their_own() -> None:
    assert [pair.name for pair in PAIRS] == [
        "fine texture drifts right",
        "fine texture drifts down",
        "upright bar before level bar",
        "disc before ring",
        "cross before frame",
        "disc, ring, cross in turn",
        "frame, disc, cross in turn",
        "fine texture shakes sideways, then up and down",
        "fine texture shakes sideways, up and down, not at all in turn",
        "medium texture shakes sideways, up and down, not at all in turn",
    ]
    names = [name for pair in PAIRS for name in (pair.name, pair.reverse)]
    assert len(set(names)) == len(names)
    assert TURNS[0].reverse == "cross, ring, disc in turn"
    assert SHAKES[0].reverse == "fine texture shakes up and down, then sideways"


def test_the_same_seed_gives_the_same_bytes_on_every_platform() -> None:
    clips = [render_far("test", 3, pair, far=2, seed=7, frames=7, resolution=24, difficulty=0.5) for pair in PAIRS]
    assert hashlib.sha256(np.concatenate(clips).tobytes()).hexdigest()[:16] == GOLDEN


@pytest.mark.parametrize("pair", ORDERS, ids=lambda pair: pair.name)
@pytest.mark.parametrize(("far", "frames"), [(2, 8), (3, 8), (4, 12), (5, 16)])
def test_two_shapes_stand_still_and_begin_as_far_apart_as_asked(pair: Order, far: int, frames: int) -> None:
    apart = {"near": far - 1, "middle": far + 1, "far": 2 * far - 1}[pair.distance]
    lasts = min(apart, 2)
    begins = set()
    for index in range(60):
        clip = still(pair, far=far, frames=frames, index=index)
        begin, *_ = shown = shown_frames(clip)
        assert shown == [*range(begin, begin + lasts), *range(begin + apart, begin + apart + lasts)]
        for start in (begin, begin + apart):
            assert (clip[start : start + lasts] == clip[start]).all()
        begins.add(begin)
    assert begins == set(range(frames - apart - lasts + 1))


def is_hollow(frame: Clip, background: npt.NDArray[np.float64]) -> bool:
    """Whether the middle of what a shape covers is free: so for ring and frame, not for disc and cross."""
    rows, columns = np.nonzero(np.abs(frame - background).max(0) > 40)
    middle = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
    return bool((np.abs(frame - background).max(0) <= 40)[middle])


@pytest.mark.parametrize("pair", ORDERS[1:], ids=lambda pair: pair.name)
def test_the_first_shape_is_the_one_of_the_name(pair: Order) -> None:
    right = 0
    for index in range(20):
        clip = still(pair, index=index, resolution=64)
        first, *_, last = shown_frames(clip)
        background = np.median(clip.astype(float), axis=0)
        right += not is_hollow(clip[first], background) and is_hollow(clip[last], background)
    # Part of a shape may be outside the frame, or have the colour of what is behind it.
    assert right >= 18


def test_the_first_bar_is_the_upright_one() -> None:
    for index in range(20):
        clip = still(ORDERS[0], index=index, resolution=64)
        first, *_, last = shown_frames(clip)
        background = np.median(clip.astype(float), axis=0)
        upright, level = (np.ptp(np.nonzero(np.abs(clip[frame] - background).max(0) > 40), axis=1) for frame in (first, last))
        assert upright[0] > upright[1]
        assert level[0] < level[1]


@pytest.mark.parametrize("far", [2, 4])
@pytest.mark.parametrize("pair", [*TURNS, *SHAKES[1:]], ids=lambda pair: pair.name)
def test_no_place_tells_what_comes_in_turn(monkeypatch: pytest.MonkeyPatch, pair: Turns | Shakes, far: int) -> None:
    """At every frame each of three is shown as often forwards as backwards, and what follows it is told by the direction."""
    rounds = []
    turns = _far._turns
    monkeypatch.setattr(_far, "_turns", lambda *asked: rounds.append((shown := turns(*asked), asked)) or shown)
    for index in range(200):
        still(pair, far=far, index=index, resolution=8)
    counts: dict[bool, Counter[tuple[int, int]]] = {False: Counter(), True: Counter()}
    seen = set()
    for shown, (_, count, apart, lasts, frames) in rounds:
        assert count == 3
        assert all(0 <= start < stop <= min(frames, start + lasts) for _, start, stop in shown)
        assert all((second - first) % 3 == 1 for (first, _, _), (second, _, _) in itertools.pairwise(shown))
        inner = shown[1:-1]
        assert all(stop - start == lasts for _, start, stop in inner)
        assert all(later[1] - earlier[1] == apart for earlier, later in itertools.pairwise(inner))
        if tuple(shown) not in seen:
            # Each place to begin once, as they are equally likely.
            seen.add(tuple(shown))
            for turn, start, stop in shown:
                for frame in range(start, stop):
                    counts[False][frame, turn] += 1
                    counts[True][frames - 1 - frame, turn] += 1
    assert len(seen) == 3 * apart
    assert counts[False] == counts[True]
    assert len(set(counts[False].values())) == 1


@pytest.mark.parametrize("pair", SHAKES, ids=lambda pair: pair.name)
def test_a_shaking_texture_moves_and_comes_back(pair: Shakes) -> None:
    """Frames two apart are equal within a shake, and nowhere else; its own direction is not a class."""
    for index in range(10):
        clip = still(pair, index=index)
        same = [bool((clip[frame] == clip[frame + 2]).all()) for frame in range(len(clip) - 2)]
        if pair.in_turn:
            assert sum(same) >= 6 - 2  # rounds of four frames, of which the ends may be cut
            continue
        first, second = (frame for frame, is_same in enumerate(same) if is_same)
        assert second - first == 6
        for frame, axis in ((first, 1), (second, 0)):
            square = clip[frame].astype(int)
            moved = clip[frame + 1].astype(int)
            size = 2 if pair.scale == "medium" else 1
            along = np.roll(square, -size, axis=axis + 1)
            across = np.roll(square, -size, axis=2 - axis)
            assert np.abs(along - moved).mean() < 0.6 * np.abs(across - moved).mean()


def test_a_frame_of_a_shake_is_like_any_other() -> None:
    """The mean and the contrast of frames within a shake and outside are those of random squares."""
    inside, outside = [], []
    for index in range(40):
        clip = still(SHAKES[0], index=index).astype(float)
        first = next(frame for frame in range(10) if (clip[frame] == clip[frame + 2]).all())
        inside += [clip[first].std(), clip[first + 1].std()]
        outside += [clip[first + 3].std(), clip[first + 4].std()]
    assert np.mean(inside) == pytest.approx(np.mean(outside), rel=0.02)


@pytest.mark.parametrize("texture", [pair for pair in PAIRS if isinstance(pair, Texture)], ids=lambda pair: pair.name)
def test_drifting_textures_are_those_beside_actions_with_more_contrast(texture: Texture) -> None:
    how = {"seed": 0, "frames": 8, "resolution": 32, "difficulty": 0.0}
    plain = render_texture("train", 0, texture, **how).astype(float)  # type: ignore[arg-type]
    clip = render_far("train", 0, texture, far=2, **how).astype(float)  # type: ignore[arg-type]
    # What is not cut off at black or white: the squares' contrast is the difference of the two clips.
    shown = (clip > 0) & (clip < 255) & (plain > 0) & (plain < 255)
    added = np.abs(clip - plain)[shown]
    assert np.ptp(added) <= 1
    assert 0.8 * (50 - CONTRAST) - 1 <= added.mean() <= 1.2 * (50 - CONTRAST) + 1


@pytest.mark.parametrize("frames", [7, 16])
@pytest.mark.parametrize("resolution", [8, 28, 65])
def test_any_number_of_frames_and_any_resolution(frames: int, resolution: int) -> None:
    for pair in PAIRS:
        clip = render_far("val", 0, pair, far=3, seed=0, frames=frames, resolution=resolution, difficulty=1.0)
        assert (clip.shape, clip.dtype) == ((frames, 3, resolution, resolution), np.uint8)


@pytest.mark.parametrize(
    ("what", "bound"), [("near order", 11 / 16), ("middle order", 11 / 12), ("far order", 1.0), ("shakes", 1.0)]
)
def test_where_in_the_clip_an_event_stands_tells_no_more_than_this(what: str, bound: float) -> None:
    """The best answer of one who knows the number of one frame of an event, of 12 with ``far=4``: stated in docs/data.md."""
    apart, lasts = event_frames(4)[what]
    seen: Counter[tuple[int, bool]] = Counter()
    for begin in range(12 - apart - lasts + 1):
        for frame in range(begin, begin + lasts):
            # The event that comes first forwards; in a twin the frames come from the end.
            seen[frame, False] += 1
            seen[11 - frame, True] += 1
    right = sum(max(seen[frame, False], seen[frame, True]) for frame in range(12))
    assert right / seen.total() == pytest.approx(bound)


def test_other_distances_are_other_data_and_none_is_the_data_of_before(tmp_path: Path) -> None:
    few = {"train_clips": 20, "val_clips": 10, "test_clips": 10, "cache": str(tmp_path)}
    prints = {far: open_data(DataSettings(far=far, **few)).fingerprint for far in (0, 2, 3)}  # type: ignore[arg-type]
    assert len(set(prints.values())) == 3
    assert prints[0] == open_data(DataSettings(**few)).fingerprint  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"far": 7}, "`data.far` must be from 2 to 3, or 0, at 8 frames, since two events take up to 15 frames, but got 7"),
        ({"far": 1}, "`data.far` must be from 2 to 3, or 0, at 8 frames, but got 1"),
        ({"far": 2, "frames": 5}, "`data.far` must be 0 at 5 frames, since two events take up to 6 frames, but got 2"),
        ({"far": -1}, "`data.far` must be an integer from 0 to 1023, but got -1"),
        ({"far": 1.5}, "`data.far` must be an integer from 0 to 1023, but got 1.5"),
        ({"far": 3, "textures": 2}, "`data.textures` takes the place of actions, and with `data.far` there are none"),
        ({"name": "folder", "root": "x", "far": 2}, "`data.far` belongs to twins, but the data set is 'folder'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        DataSettings(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
