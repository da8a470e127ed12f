"""What training changes about a clip: where crops lie, one draw for all frames, and that the generator alone decides."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transforms

from gsfnas.data.video._augment import POLICIES, apply_policy, centre_crop, crop_boxes, flip, multi_scale_crop, shift
from gsfnas.errors import UserError

PIXELS = st.integers(1, 400)
RANDOM = ("autoaugment", "randaugment")


def noise(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, 3, height, width)).astype(np.uint8)


def still(frames: int, height: int, width: int) -> np.ndarray:
    return np.repeat(noise(1, height, width), frames, axis=0)


# Each takes (4, 3, 40, 48) and a generator.
AUGMENTATIONS = {
    "multi_scale_crop": lambda clip, generator: multi_scale_crop(clip, 24, generator),
    "shift": lambda clip, generator: shift(clip, *generator.integers(-5, 6, size=2).tolist()),
    **{policy: lambda clip, generator, policy=policy: apply_policy(clip, policy, generator) for policy in RANDOM},
}
every_augmentation = pytest.mark.parametrize("augment", AUGMENTATIONS.values(), ids=AUGMENTATIONS.keys())


@every_augmentation
def test_all_frames_of_a_clip_are_treated_alike(augment) -> None:
    clip = still(4, 40, 48)
    for seed in range(60):
        changed = augment(clip, np.random.default_rng(seed))
        assert np.array_equal(changed, np.repeat(changed[:1], 4, axis=0))


@every_augmentation
def test_the_generator_alone_decides(augment) -> None:
    clip = noise(4, 40, 48)
    before = clip.copy()
    state = torch.get_rng_state()
    results = []
    for seed in range(40):
        torch.manual_seed(seed)
        results.append(augment(clip, np.random.default_rng(seed)))
        torch.manual_seed(100)
        used = torch.get_rng_state()
        assert np.array_equal(results[-1], augment(clip, np.random.default_rng(seed)))
        assert torch.equal(used, torch.get_rng_state())
    torch.set_rng_state(state)
    assert len({result.tobytes() for result in results}) > 10
    assert np.array_equal(clip, before)
    # The next draw from the same generator is another one.
    generator = np.random.default_rng(0)
    assert len({augment(clip, generator).tobytes() for _ in range(20)}) > 5


@every_augmentation
def test_results_are_plain_arrays(augment) -> None:
    for seed in range(10):
        changed = augment(noise(4, 40, 48), np.random.default_rng(seed))
        assert type(changed) is np.ndarray
        assert changed.dtype == np.uint8
        assert changed.shape[:2] == (4, 3)
        assert changed.flags.c_contiguous


@every_augmentation
def test_threads_do_not_disturb_each_other(augment) -> None:
    clip = noise(4, 40, 48)

    def one(seed: int) -> bytes:
        return augment(clip, np.random.default_rng(seed)).tobytes()

    alone = [one(seed) for seed in range(80)]
    state = torch.get_rng_state()
    with ThreadPoolExecutor(max_workers=4) as threads:
        together = [threads.submit(one, seed) for seed in range(80)]
        # Meanwhile training draws from the generator of the process.
        drawn = [torch.rand(()).item() for _ in range(200)]
        assert [result.result() for result in together] == alone
    torch.set_rng_state(state)
    assert drawn == [torch.rand(()).item() for _ in range(200)]


@every_augmentation
def test_views_of_other_arrays_are_taken_and_left_alone(augment) -> None:
    clip = noise(4, 40, 48)
    expected = augment(clip, np.random.default_rng(3))
    locked = clip.copy()
    locked.flags.writeable = False
    channels_last = np.ascontiguousarray(clip.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    backwards = np.ascontiguousarray(clip[..., ::-1])[..., ::-1]
    for view in (locked, channels_last, backwards):
        assert np.array_equal(augment(view, np.random.default_rng(3)), expected)


def test_crop_boxes_by_hand() -> None:
    boxes = crop_boxes(256, 340, 224)
    # 256 times .875 is 224, times .75 is 192, times .66 is 168.96.
    sizes = {(height, width) for _, _, height, width in boxes}
    sides = [256, 224, 192, 168]
    assert sizes == {
        *((side, side) for side in sides),
        *((256, 224), (224, 256), (224, 192), (192, 224), (192, 168), (168, 192)),
    }
    places = {(top, left) for top, left, height, width in boxes if (height, width) == (192, 224)}
    # There is room for 64 pixels down and 116 across.
    assert places == {
        *((0, 0), (0, 116), (64, 0), (64, 116)),
        (32, 58),
        *((0, 58), (32, 0), (32, 116), (64, 58)),
        *((16, 29), (16, 87), (48, 29), (48, 87)),
    }
    # As tall as the frame, the two sizes have five places each.
    assert len(set(boxes)) == 8 * 13 + 2 * 5
    assert len(boxes) == 130


@pytest.mark.parametrize(
    ("short", "sides"),
    [
        # .875 of 258 is 225.75, of 253 221.375: two pixels away and three.
        (258, {258, 224, 193, 170}),
        (253, {253, 221, 189, 166}),
        (226, {224, 197, 169, 149}),
        # A frame smaller than the resolution has no such crop.
        (222, {222, 194, 166, 146}),
        (1, {1}),
    ],
)
def test_sides_near_the_resolution_take_it(short: int, sides: set[int]) -> None:
    assert {height for _, _, height, _ in crop_boxes(short, 300, 224)} == sides
    assert {width for _, _, _, width in crop_boxes(300, short, 224)} == sides


@given(PIXELS, PIXELS, st.integers(1, 256))
def test_boxes_lie_within_the_frame_and_in_its_corners(height: int, width: int, resolution: int) -> None:
    boxes = crop_boxes(height, width, resolution)
    assert len(boxes) == 130
    for top, left, tall, wide in boxes:
        assert min(top, left) >= 0
        assert min(tall, wide) >= 1
        assert top + tall <= height
        assert left + wide <= width
    for at_top, at_left in ((True, True), (True, False), (False, True), (False, False)):
        in_corner = [
            box
            for box in boxes
            if (box[0] == 0 if at_top else box[0] + box[2] == height) and (box[1] == 0 if at_left else box[1] + box[3] == width)
        ]
        assert len(in_corner) >= 10


def test_every_box_is_as_likely_and_resized_from_its_own_slice() -> None:
    clip = noise(1, 64, 80)
    expected = Counter()
    for top, left, height, width in crop_boxes(64, 80, 16):
        cut = torch.from_numpy(clip[..., top : top + height, left : left + width].copy())
        expected[transforms.resize(cut, [16, 16], antialias=True).numpy().tobytes()] += 1 / 130
    generator = np.random.default_rng(0)
    drawn = Counter(multi_scale_crop(clip, 16, generator).tobytes() for _ in range(5000))
    assert drawn.keys() == expected.keys()
    for crop, share in expected.items():
        assert drawn[crop] / 5000 == pytest.approx(share, abs=0.01)


def test_a_crop_of_the_resolution_is_cut_out_as_it_is() -> None:
    clip = noise(3, 32, 40)
    # All that is of 28 x 28, which is .875 of 32.
    cuts = {
        clip[..., top : top + 28, left : left + 28].tobytes()
        for top, left, height, width in crop_boxes(32, 40, 28)
        if height == width == 28
    }
    assert len(cuts) == 13
    generator = np.random.default_rng(0)
    assert cuts <= {multi_scale_crop(clip, 28, generator).tobytes() for _ in range(2000)}


@pytest.mark.parametrize(("height", "width", "resolution"), [(7, 5, 24), (40, 300, 24), (300, 40, 64), (1, 1, 8)])
def test_clips_of_any_size_are_cropped_to_the_resolution(height: int, width: int, resolution: int) -> None:
    for seed in range(20):
        clip = multi_scale_crop(noise(2, height, width), resolution, np.random.default_rng(seed))
        assert clip.shape == (2, 3, resolution, resolution)


def test_a_crop_averages_what_it_makes_smaller() -> None:
    # Black and white columns, one pixel each: without a smoothing filter some would be black or white afterwards.
    clip = np.zeros((1, 3, 128, 128), dtype=np.uint8)
    clip[..., ::2] = 255
    for seed in range(10):
        small = multi_scale_crop(clip, 16, np.random.default_rng(seed))
        assert (abs(small.astype(int) - 128) < 32).all()
    assert (abs(centre_crop(clip, 16, 16).astype(int) - 128) < 32).all()


def test_the_centre_is_cut_out_by_slicing_where_nothing_is_resized() -> None:
    clip = noise(4, 40, 48)
    assert np.array_equal(centre_crop(clip, 40, 40), clip[..., 4:44])
    assert np.array_equal(centre_crop(clip, 40, 32), clip[..., 4:36, 8:40])
    assert centre_crop(clip, 40, 32).flags.c_contiguous
    upright = clip.swapaxes(2, 3)
    assert np.array_equal(centre_crop(upright, 40, 32), upright[..., 8:40, 4:36])


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (60, 60), (20, 24)])
def test_the_short_side_is_resized_before_the_centre_is_cut_out(height: int, width: int) -> None:
    clip = noise(2, height, width)
    size = [30 * height // min(height, width), 30 * width // min(height, width)]
    resized = transforms.resize(torch.from_numpy(clip), size, antialias=True).numpy()
    top, left = (size[0] - 24) // 2, (size[1] - 24) // 2
    assert np.array_equal(centre_crop(clip, 30, 24), resized[..., top : top + 24, left : left + 24])


@pytest.mark.parametrize(("policy", "oracle"), [("autoaugment", v2.AutoAugment()), ("randaugment", v2.RandAugment())])
def test_a_policy_is_that_of_torchvision(policy: str, oracle: v2.Transform) -> None:
    clip = noise(4, 40, 48)
    with torch.random.fork_rng(devices=[]):
        for seed in range(30):
            changed = apply_policy(clip, policy, np.random.default_rng(seed))
            torch.manual_seed(int(np.random.default_rng(seed).integers(2**63)))
            assert np.array_equal(changed, oracle(torch.from_numpy(clip)).numpy())
            assert changed.shape == clip.shape


def test_without_a_policy_nothing_changes_and_nothing_is_drawn() -> None:
    clip = noise(4, 40, 48)
    generator = np.random.default_rng(0)
    assert np.array_equal(apply_policy(clip, "none", generator), clip)
    assert generator.random() == np.random.default_rng(0).random()
    assert {"none", *RANDOM} == set(POLICIES)


def test_an_unknown_policy_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown augmentation policy 'randaug'; did you mean 'randaugment'\?"):
        apply_policy(noise(1, 8, 8), "randaug", np.random.default_rng(0))


@given(st.integers(-4, 4), st.integers(-4, 4), st.integers(1, 12), st.integers(1, 12))
def test_a_shift_repeats_the_edge(down: int, across: int, height: int, width: int) -> None:
    clip = noise(2, height, width)
    padded = np.pad(clip, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="edge")
    expected = padded[..., 4 + down : 4 + down + height, 4 + across : 4 + across + width]
    assert np.array_equal(shift(clip, down, across), expected)


def test_a_flip_swaps_left_and_right() -> None:
    clip = noise(2, 5, 6)
    flipped = flip(clip)
    assert all(np.array_equal(flipped[..., column], clip[..., 5 - column]) for column in range(6))
    assert np.array_equal(flip(flipped), clip)
    assert torch.from_numpy(flipped).shape == (2, 3, 5, 6)
