"""Which frames of a video make a clip: uniform segments (TSN, Wang et al. 2016), one frame of each.

A segment is looked at in a fixed number of evenly spaced places, its views. Testing takes the middle one; training one at
random. Because the views are few and fixed, a video's frames can be decoded once and kept.
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


def choose_views(count: int, segments: int, views: int, generator: np.random.Generator | None) -> npt.NDArray[np.int64]:
    """(count, segments) views: random ones, or the middle one of every segment where there is no generator."""
    if generator is None or views == 1:
        return np.full((count, segments), views // 2)
    return generator.integers(0, views, size=(count, segments))
