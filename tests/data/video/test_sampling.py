"""Uniform segments: what is promised of the indices, for any length."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.data.video._sampling import choose_views, segment_draw, segment_frames

LENGTHS = st.integers(1, 5000)
SEGMENTS = st.integers(1, 64)
VIEWS = st.sampled_from([1, 3, 5])


@given(LENGTHS, SEGMENTS, VIEWS)
def test_indices_are_of_the_video_in_order_and_each_in_its_segment(length: int, segments: int, views: int) -> None:
    frames = segment_frames(length, segments, views)
    assert frames.shape == (segments, views)
    assert (np.diff(frames.ravel()) >= 0).all()
    number = np.arange(segments)[:, None]
    assert (frames >= number * length // segments).all()
    assert (frames < np.maximum((number + 1) * length / segments, 1)).all()


@given(LENGTHS, SEGMENTS, VIEWS)
def test_the_middle_view_is_what_testing_takes(length: int, segments: int, views: int) -> None:
    middle = segment_frames(length, segments, views)[:, views // 2]
    assert np.array_equal(middle, segment_frames(length, segments)[:, 0])


@given(SEGMENTS)
def test_a_video_as_long_as_the_clip_is_taken_whole(segments: int) -> None:
    assert np.array_equal(segment_frames(segments, segments, 3), np.repeat(np.arange(segments)[:, None], 3, axis=1))


def test_by_hand() -> None:
    assert segment_frames(12, 4).ravel().tolist() == [1, 4, 7, 10]
    assert segment_frames(12, 4, 3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert segment_frames(3, 8).ravel().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_views_are_random_in_training_and_in_the_middle_otherwise() -> None:
    assert (choose_views(4, 8, 3, None) == 1).all()
    chosen = choose_views(50, 8, 3, np.random.default_rng(0))
    assert set(chosen.ravel().tolist()) == {0, 1, 2}


def frames_of(length: int, segments: int) -> list[list[int]]:
    """The frames of each segment, by exact arithmetic; for one without frames the frame that it begins within."""
    bounds = [Fraction(length * number, segments) for number in range(segments + 1)]
    found = [[frame for frame in range(length) if start <= frame < stop] for start, stop in itertools.pairwise(bounds)]
    return [frames or [int(start)] for frames, start in zip(found, bounds, strict=False)]


@given(LENGTHS, SEGMENTS, st.integers(0, 2**32))
def test_a_draw_is_of_the_video_never_falling_and_the_generator_determines_it(length: int, segments: int, seed: int) -> None:
    frames = segment_draw(length, segments, np.random.default_rng(seed))
    assert frames.shape == (segments,)
    assert frames.dtype == np.int64
    assert (np.diff(frames) >= 0).all()
    assert frames[0] >= 0
    assert frames[-1] < length
    assert np.array_equal(frames, segment_draw(length, segments, np.random.default_rng(seed)))
    if length >= segments:
        assert (np.diff(frames) > 0).all()


@given(st.integers(1, 60), st.integers(1, 16))
def test_a_draw_reaches_every_frame_of_a_segment_and_no_other(length: int, segments: int) -> None:
    generator = np.random.default_rng(0)
    expected = frames_of(length, segments)
    most = max(len(frames) for frames in expected)
    # The least likely frame is missed by so many draws once in 10^8.
    drawn = np.stack([segment_draw(length, segments, generator) for _ in range(25 * most)])
    assert [sorted(set(column)) for column in drawn.T.tolist()] == expected


def test_the_frames_of_a_segment_are_as_likely() -> None:
    generator = np.random.default_rng(0)
    drawn = np.stack([segment_draw(13, 3, generator) for _ in range(6000)])
    for column, frames in zip(drawn.T, frames_of(13, 3), strict=True):
        shares = np.bincount(column, minlength=13)[frames] / 6000
        assert shares == pytest.approx(np.full(len(frames), 1 / len(frames)), abs=0.03)


@given(LENGTHS, SEGMENTS)
def test_a_draw_without_a_generator_is_the_middle(length: int, segments: int) -> None:
    assert np.array_equal(segment_draw(length, segments, None), segment_frames(length, segments)[:, 0])


def test_draws_by_hand() -> None:
    assert frames_of(5, 2) == [[0, 1, 2], [3, 4]]
    generator = np.random.default_rng(0)
    assert segment_draw(4, 4, generator).tolist() == [0, 1, 2, 3]
    assert segment_draw(3, 8, generator).tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert segment_draw(1, 4, generator).tolist() == [0, 0, 0, 0]
