"""Uniform segments: what is promised of the indices, for any length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.data._sampling import choose_views, segment_frames

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
