"""The views of a test: which frames, which crops; and parts of a batch that are what they are in the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.data import ClipSplit, DataSettings, open_data, part_of
from gsfnas.data.video._augment import three_crops
from gsfnas.data.video._sampling import clip_frames
from gsfnas.errors import UserError

from ..media import write_video


@given(length=st.integers(1, 400), segments=st.integers(1, 32))
def test_one_and_two_clips_are_those_of_the_published_code(length, segments):
    tick = length / segments
    beginning = [int(tick * x + 1e-9) for x in range(segments)]
    middle = [int(tick * x + tick / 2 + 1e-9) for x in range(segments)]
    assert clip_frames(length, segments, 1).tolist() == [middle]
    assert clip_frames(length, segments, 2).tolist() == [beginning, middle]


@given(length=st.integers(1, 400), segments=st.integers(1, 32), clips=st.integers(1, 12))
def test_frames_are_of_the_video_and_in_order(length, segments, clips):
    frames = clip_frames(length, segments, clips)
    assert frames.shape == (clips, segments)
    assert frames.min() >= 0
    assert frames.max() < length
    assert (np.diff(frames, axis=1) >= 0).all()
    if length >= clips * segments:
        assert len(np.unique(frames, axis=0)) == clips


@pytest.mark.parametrize(("height", "width"), [(16, 28), (28, 16), (16, 16), (20, 21)])
def test_three_crops_are_the_two_ends_of_the_longer_side_and_the_centre(height, width):
    clip = np.arange(2 * 3 * height * width).reshape(2, 3, height, width).astype(np.uint8)
    first, centre, last = three_crops(clip, min(height, width), 12, 3)
    top, left = (height - 12) / 2, (width - 12) / 2
    if width >= height:
        assert np.array_equal(first, clip[:, :, round(top) : round(top) + 12, :12])
        assert np.array_equal(last, clip[:, :, round(top) : round(top) + 12, -12:])
    else:
        assert np.array_equal(first, clip[:, :, :12, round(left) : round(left) + 12])
        assert np.array_equal(last, clip[:, :, -12:, round(left) : round(left) + 12])
    assert np.array_equal(centre, clip[:, :, round(top) : round(top) + 12, round(left) : round(left) + 12])
    (only,) = three_crops(clip, min(height, width), 12, 1)
    assert only.shape == (2, 3, 12, 12)


@given(count=st.integers(1, 40), of=st.integers(1, 9))
def test_parts_are_a_batch_in_order_and_none_is_empty(count, of):
    parts = [list(range(count))[part_of(count, k, of)] for k in range(of)]
    assert all(parts)
    sizes = [count * (k + 1) // of - count * k // of for k in range(of)]
    counted = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    assert [clip for part in counted for clip in part] == list(range(count))
    assert max(sizes) - min(sizes) <= 1


def joined(split: ClipSplit, of: int) -> list[np.ndarray]:
    """The epochs of all parts, put together batch by batch, without what a part takes for want of clips of its own."""
    options = {"shuffle_seed": 3, "augment_seed": 4}
    parts = [split.batches(7, share=(k, of), **options) for k in range(of)]
    counts = [min(7, len(split) - start) for start in range(0, len(split), 7)]
    return [
        np.concatenate([clips.numpy()[: n * (k + 1) // of - n * k // of] for k, (clips, _) in enumerate(batch)])
        for n, batch in zip(counts, zip(*parts, strict=True), strict=True)
    ]


@pytest.mark.parametrize("augment", ["light", "paper"])
@pytest.mark.parametrize("policy", ["none", "randaugment"])
def test_the_parts_of_a_batch_are_the_batch_whoever_reads_them(tmp_path, augment, policy):
    settings = DataSettings(
        frames=4, resolution=16, train_clips=21, val_clips=4, test_clips=4, augment=augment, policy=policy, cache=str(tmp_path)
    )
    split = open_data(settings).splits["train"]
    whole = [clips.numpy() for clips, _ in split.batches(7, shuffle_seed=3, augment_seed=4)]
    assert all(np.array_equal(one, other) for one, other in zip(whole, joined(split, 3), strict=True))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos a class and split, 21 frames of 40 x 24, one of 4."""
    root = tmp_path_factory.mktemp("videos")
    generator = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for label in ("a", "b"):
            for number in range(4):
                length = 4 if (split, label, number) == ("test", "b", 3) else 21
                frames = generator.integers(0, 256, (length, 24, 40, 3)).astype(np.uint8)
                path = root / split / label / f"{number}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, frames)
    return root


@pytest.mark.parametrize("cache_gb", [4.0, 0.0])
@pytest.mark.parametrize("augment", ["light", "paper"])
def test_parts_of_a_batch_of_files(videos, tmp_path, augment, cache_gb):
    settings = DataSettings(
        name="folder", root=str(videos), frames=4, resolution=16, augment=augment, cache=str(tmp_path), cache_gb=cache_gb
    )
    split = open_data(settings).splits["train"]
    whole = [clips.numpy() for clips, _ in split.batches(7, shuffle_seed=3, augment_seed=4)]
    assert all(np.array_equal(one, other) for one, other in zip(whole, joined(split, 3), strict=True))


def test_a_section_is_these_clips(videos, tmp_path):
    settings = DataSettings(name="folder", root=str(videos), frames=4, resolution=16, cache=str(tmp_path))
    split = open_data(settings).splits["test"]
    section = split.section(2, 5)
    ((whole, labels),) = split.batches(8)
    ((some, theirs),) = section.batches(8)
    assert np.array_equal(some, whole[2:5])
    assert np.array_equal(theirs["class"], labels["class"][2:5])
    assert section.names == split.names[2:5] == ("a/2.mp4", "a/3.mp4", "b/0.mp4")
    assert list(split.section(3, 3).batches(8)) == []


def test_views_are_clips_and_in_each_its_crops(videos, tmp_path):
    settings = DataSettings(name="folder", root=str(videos), frames=4, resolution=16, short_side=20, cache=str(tmp_path))
    viewed, short = open_data(settings).splits["test"].viewed(3, 3)
    ((views, _),) = viewed.batches(8)
    assert tuple(views.shape) == (8, 9, 4, 3, 16, 16)
    assert short == 1
    middle = open_data(settings).splits["test"].viewed(1, 1)[0]
    ((one, _),) = middle.batches(8)
    ((alone, _),) = viewed.section(1, 2).batches(8)
    assert tuple(one.shape) == (8, 1, 4, 3, 16, 16)
    assert np.array_equal(alone[0], views[1])
    two, _ = open_data(settings).splits["test"].viewed(2, 3)
    ((pairs, _),) = two.batches(8)
    # The second of two clips is the one clip; its second crop the centre.
    assert np.array_equal(pairs[:, 4], one[:, 0])


def test_more_clips_than_any_video_has_are_refused(videos, tmp_path):
    settings = DataSettings(name="folder", root=str(videos), frames=8, resolution=16, cache=str(tmp_path))
    with pytest.raises(UserError) as caught:
        open_data(settings).splits["test"].viewed(30, 3)
    assert "`protocol.clips` is 30, but the longest video has 21 frames" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("clips", "crops", "said"), [(2, 3, "`protocol.clips` is 2"), (1, 3, "`protocol.crops` is 3")])
def test_twins_in_memory_has_one_view(tmp_path, clips, crops, said):
    settings = DataSettings(frames=4, resolution=16, train_clips=4, val_clips=4, test_clips=4, cache=str(tmp_path))
    with pytest.raises(UserError, match=f"{said}, but a clip of twins in memory"):
        open_data(settings).splits["test"].viewed(clips, crops)
