"""Which frames of a video make a clip: uniform segments (TSN, Wang et al. 2016), one frame of each.

A segment has a fixed number of evenly spaced places, its views. Testing takes the middle one, training a random one. Because
the views are few and fixed, their frames can be decoded once and cached. Without that (``data.augment=paper``) training draws
any frame of a segment.
"""

import numpy as np
import numpy.typing as npt

# Places of a segment that training chooses from; odd, so that the middle one is among them.
TRAIN_VIEWS = 3


def segment_frames(num_frames: int, segments: int, views: int = 1) -> npt.NDArray[np.int64]:
    """(segments, views) indices of a video's frames, never falling; a video shorter than that repeats its frames."""
    assert num_frames >= 1
    assert views % 2 == 1
    places = np.arange(segments)[:, None] * (2 * views) + 2 * np.arange(views) + 1
    return places * num_frames // (2 * views * segments)


def clip_frames(num_frames: int, segments: int, clips: int) -> npt.NDArray[np.int64]:
    """(clips, segments) indices of a video's frames for testing, never falling within a clip.

    One clip takes the middle of each segment. Of several, clip k of K takes the place k / K of each segment: for two the
    beginning and the middle, as the published code does. (For ten that code draws at random; these are the same every time.)
    """
    assert num_frames >= 1
    if clips == 1:
        return segment_frames(num_frames, segments).T
    return (np.arange(segments) * clips + np.arange(clips)[:, None]) * num_frames // (clips * segments)


def choose_views(count: int, segments: int, views: int, generator: np.random.Generator | None) -> npt.NDArray[np.int64]:
    """(count, segments) views: random ones, or the middle one of every segment where there is no generator."""
    if generator is None or views == 1:
        return np.full((count, segments), views // 2)
    return generator.integers(0, views, size=(count, segments))


def segment_draw(num_frames: int, segments: int, generator: np.random.Generator | None) -> npt.NDArray[np.int64]:
    """(segments,) indices of a video's frames, never falling: one at random of each segment, each of its frames as likely.

    Segment k has the frames from num_frames * k / segments to before num_frames * (k + 1) / segments. Where a video is so short
    that a segment has none, it takes the frame that it begins within. Without a generator, the middle of every segment.
    """
    assert num_frames >= 1
    if generator is None:
        return segment_frames(num_frames, segments)[:, 0]
    starts = np.arange(segments + 1) * num_frames
    # Rounded up: the first frame at or after a segment's start.
    whole = -(-starts // segments)
    first = np.where(whole[:-1] < whole[1:], whole[:-1], starts[:-1] // segments)
    return generator.integers(first, np.maximum(whole[1:], first + 1))
