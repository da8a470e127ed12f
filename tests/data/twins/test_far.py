"""Twins, far: two events a given number of frames apart, and textures that drift; what position alone can tell."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gsfnas.data import DataSettings, open_data
from gsfnas.data.twins._far import PAIRS, Events, render_far
from gsfnas.data.twins._settings import EVENT_FRAMES
from gsfnas.data.twins._textures import CONTRAST, Texture, render_texture
from gsfnas.errors import UserError

# Of eight clips; it changes with `VERSION` and `FAR_VERSION` alone.
GOLDEN = "412a0b29dc492034"
EVENTS = [pair for pair in PAIRS if isinstance(pair, Events)]
DRIFTING = [pair for pair in PAIRS if isinstance(pair, Texture)]

Clip = npt.NDArray[np.uint8]


def still(pair: Events | Texture, *, far: int = 3, frames: int = 8, index: int = 0, resolution: int = 32) -> Clip:
    """Without noise and camera motion."""
    how = {"seed": 0, "frames": frames, "resolution": resolution, "difficulty": 0.0}
    return render_far("train", index, pair, far=far, **how)  # type: ignore[arg-type]


def event_frames(clip: Clip) -> list[int]:
    """The frames that differ from the most frequent one, the background."""
    shown = [frame.tobytes() for frame in clip]
    background = Counter(shown).most_common(1)[0][0]
    return [number for number, frame in enumerate(shown) if frame != background]


def test_four_pairs_of_events_and_four_of_textures_with_names_of_their_own() -> None:
    names = [name for pair in PAIRS for name in (pair.name, pair.reverse)]
    assert len(set(names)) == len(names) == 16
    assert (len(EVENTS), len(DRIFTING)) == (4, 4)
    assert [pair.name for pair in EVENTS] == [
        "upright bar before level bar",
        "upright grating before level grating",
        "disc before ring",
        "cross before frame",
    ]
    assert EVENTS[2].reverse == "ring before disc"


def test_the_same_seed_gives_the_same_bytes_on_every_platform() -> None:
    clips = [render_far("test", 3, pair, far=2, seed=7, frames=5, resolution=24, difficulty=0.5) for pair in PAIRS]
    assert hashlib.sha256(np.concatenate(clips).tobytes()).hexdigest()[:16] == GOLDEN


@pytest.mark.parametrize("pair", EVENTS, ids=lambda pair: pair.name)
@pytest.mark.parametrize(("far", "frames"), [(1, 8), (2, 8), (3, 8), (6, 8), (9, 16)])
def test_events_stand_still_and_begin_as_far_apart_as_asked(pair: Events, far: int, frames: int) -> None:
    lasts = min(far, EVENT_FRAMES)
    begins = set()
    for index in range(40):
        clip = still(pair, far=far, frames=frames, index=index)
        begin, *_ = shown = event_frames(clip)
        assert shown == [*range(begin, begin + lasts), *range(begin + far, begin + far + lasts)]
        for start in (begin, begin + far):
            assert (clip[start : start + lasts] == clip[start]).all()
        assert (clip[begin] != clip[begin + far]).any()
        begins.add(begin)
    assert begins == set(range(frames - far - lasts + 1))


def look_of(frame: npt.NDArray[np.float64], background: npt.NDArray[np.float64], pair: Events) -> float:
    """Above 0 for the first event of a pair, below for the second, from the pixels that it covers."""
    mask = np.abs(frame - background).max(0) > 40
    rows, columns = np.nonzero(mask)
    if pair.kind == "grating":
        edges = mask.astype(float)
        return float(np.abs(np.diff(edges, axis=1)).sum() - np.abs(np.diff(edges, axis=0)).sum())
    if pair.kind == "bar":
        return float(np.ptp(rows) - np.ptp(columns))
    # A disc and a cross cover the middle of what they cover, a ring and a frame do not.
    middle = mask[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]
    return 1.0 if middle else -1.0


@pytest.mark.parametrize("pair", EVENTS, ids=lambda pair: pair.name)
def test_the_first_event_is_the_one_of_the_name(pair: Events) -> None:
    right = 0
    for index in range(20):
        clip = still(pair, index=index, resolution=64).astype(float)
        first, *_, last = event_frames(clip.astype(np.uint8))
        background = np.median(clip, axis=0)
        right += look_of(clip[first], background, pair) > 0 > look_of(clip[last], background, pair)
    # Part of a shape may be outside the frame, or have the colour of what is behind it.
    assert right >= 18


@pytest.mark.parametrize("texture", DRIFTING, ids=lambda texture: texture.name)
def test_textures_are_those_beside_actions_with_more_contrast(texture: Texture) -> None:
    how = {"seed": 0, "frames": 8, "resolution": 32, "difficulty": 0.0}
    plain = render_texture("train", 0, texture, **how).astype(float)  # type: ignore[arg-type]
    clip = still(texture).astype(float)
    # What is not cut off at black or white: the squares' contrast is the difference of the two clips.
    shown = (clip > 0) & (clip < 255) & (plain > 0) & (plain < 255)
    added = np.abs(clip - plain)[shown]
    assert np.ptp(added) <= 1
    assert 0.8 * (60 - CONTRAST) - 1 <= added.mean() <= 1.2 * (60 - CONTRAST) + 1


@pytest.mark.parametrize("frames", [4, 16])
@pytest.mark.parametrize("resolution", [8, 28, 65])
def test_any_number_of_frames_and_any_resolution(frames: int, resolution: int) -> None:
    for pair in PAIRS:
        clip = render_far("val", 0, pair, far=2, seed=0, frames=frames, resolution=resolution, difficulty=1.0)
        assert (clip.shape, clip.dtype) == ((frames, 3, resolution, resolution), np.uint8)


@pytest.mark.parametrize(("far", "bound"), [(1, 8 / 14), (2, 0.7), (3, 0.875), (6, 1.0)])
def test_where_in_the_clip_an_event_stands_tells_no_more_than_this(far: int, bound: float) -> None:
    """The best answer of one who sees a single frame of an event and knows its number, of 8: stated in docs/data.md."""
    clips = [event_frames(still(EVENTS[0], far=far, index=index)) for index in range(60)]
    seen: Counter[tuple[int, bool]] = Counter()
    # Each beginning once, as they are equally likely.
    for shown in {frames[0]: frames for frames in clips}.values():
        for frame in shown[: len(shown) // 2]:
            # The event that comes first forwards; in a twin the frames come from the end.
            seen[frame, False] += 1
            seen[7 - frame, True] += 1
    right = sum(max(seen[frame, False], seen[frame, True]) for frame in range(8))
    assert right / seen.total() == pytest.approx(bound)


def test_other_distances_are_other_data_and_none_is_the_data_of_before(tmp_path: Path) -> None:
    few = {"train_clips": 20, "val_clips": 10, "test_clips": 10, "cache": str(tmp_path)}
    prints = {far: open_data(DataSettings(far=far, **few)).fingerprint for far in (0, 1, 3)}  # type: ignore[arg-type]
    assert len(set(prints.values())) == 3
    assert prints[0] == open_data(DataSettings(**few)).fingerprint  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"far": 7}, "`data.far` must be at most 6 at 8 frames, since two events 7 frames apart take 9, but got 7"),
        (
            {"far": 3, "frames": 4},
            "`data.far` must be at most 2 at 4 frames, since two events 3 frames apart take 5, but got 3",
        ),
        (
            {"far": 2, "frames": 3},
            "`data.far` must be at most 1 at 3 frames, since two events 2 frames apart take 4, but got 2",
        ),
        (
            {"far": 1, "frames": 1},
            "`data.far` must be at most 0 at 1 frames, since two events 1 frames apart take 2, but got 1",
        ),
        ({"far": -1}, "`data.far` must be an integer from 0 to 1023, but got -1"),
        ({"far": 1.5}, "`data.far` must be an integer from 0 to 1023, but got 1.5"),
        ({"far": 3, "textures": 2}, "`data.textures` takes the place of actions, and with `data.far` there are none"),
        ({"name": "folder", "root": "x", "far": 1}, "`data.far` belongs to twins, but the data set is 'folder'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        DataSettings(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
