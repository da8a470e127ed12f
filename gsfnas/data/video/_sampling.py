"""Samples the frames of a clip: one frame from each of several uniform segments (TSN, Wang et al. 2016).

A segment has a fixed number of evenly spaced positions, its views. Testing uses the middle one, training a random one. Since
the views are few and fixed, their frames can be decoded once and cached. With ``data.augment=paper``, training draws any frame
of a segment instead.
"""

import numpy as np
import numpy.typing as npt

# The number of views that training chooses from; odd, so that it includes the middle one.
TRAIN_VIEWS = 3


def segment_frames(num_frames: int, segments: int, views: int = 1) -> npt.NDArray[np.int64]:
    """(segments, views) nondecreasing frame indices; a video with fewer frames repeats some."""
    assert num_frames >= 1
    assert views % 2 == 1
    places = np.arange(segments)[:, None] * (2 * views) + 2 * np.arange(views) + 1
    return places * num_frames // (2 * views * segments)


def clip_frames(num_frames: int, segments: int, clips: int) -> npt.NDArray[np.int64]:
    """(clips, segments) frame indices for testing, nondecreasing within a clip.

    A single clip takes the middle of each segment. Otherwise clip k of K takes the frame at the fraction k / K of each segment:
    with two clips the start and the middle, as in the published code. (With ten that code samples at random; here they are
    deterministic.)
    """
    assert num_frames >= 1
    if clips == 1:
        return segment_frames(num_frames, segments).T
    return (np.arange(segments) * clips + np.arange(clips)[:, None]) * num_frames // (clips * segments)


def choose_views(count: int, segments: int, views: int, generator: np.random.Generator | None) -> npt.NDArray[np.int64]:
    """(count, segments) views: random ones, or the middle one of every segment without a generator."""
    if generator is None or views == 1:
        return np.full((count, segments), views // 2)
    return generator.integers(0, views, size=(count, segments))


def segment_draw(num_frames: int, segments: int, generator: np.random.Generator | None) -> npt.NDArray[np.int64]:
    """(segments,) nondecreasing frame indices: a frame of each segment, drawn uniformly.

    Segment k is [num_frames * k / segments, num_frames * (k + 1) / segments). In a short video, a segment that has no frame
    takes the last one before it. Without a generator, the middle of every segment is used.
    """
    assert num_frames >= 1
    if generator is None:
        return segment_frames(num_frames, segments)[:, 0]
    starts = np.arange(segments + 1) * num_frames
    # Rounded up: the first frame at or after the start of each segment.
    whole = -(-starts // segments)
    first = np.where(whole[:-1] < whole[1:], whole[:-1], starts[:-1] // segments)
    return generator.integers(first, np.maximum(whole[1:], first + 1))
