"""What weights take a picture to be: as text, and from bytes to what a network reads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gsfnas.errors import UserError
from gsfnas.train._batch import to_frames
from gsfnas.weights import InputNormalization
from gsfnas.weights._normalization import CAFFE, IMAGENET

numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)


@given(st.tuples(numbers, numbers, numbers), st.tuples(positive, positive, positive), st.sampled_from(["rgb", "bgr"]))
def test_text_gives_back_the_same_pixels(mean, std, order):
    pixels = InputNormalization(mean, std, order)
    assert InputNormalization.from_text(pixels.to_text()) == pixels


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rgb",
        "[]",
        "3",
        "null",
        '{"mean": [1, 2, 3], "std": [1, 1, 1]}',
        '{"mean": [1, 2], "std": [1, 1, 1], "order": "rgb"}',
        '{"mean": 1, "std": [1, 1, 1], "order": "rgb"}',
        '{"mean": ["a", 2, 3], "std": [1, 1, 1], "order": "rgb"}',
        '{"mean": [1, 2, 3], "std": [1, 1, 0], "order": "rgb"}',
        '{"mean": [1, 2, 3], "std": [1, 1, NaN], "order": "rgb"}',
        '{"mean": [1, 2, Infinity], "std": [1, 1, 1], "order": "rgb"}',
        '{"mean": [1, 2, 3], "std": [1, 1, 1], "order": "rbg"}',
        '{"mean": [1, 2, 3], "std": [1, 1, 1], "order": ["rgb"]}',
    ],
)
def test_nonsense_is_refused_in_one_line(text):
    with pytest.raises(
        UserError, match=r"^`pixels` must (be JSON with mean, std and order|have finite numbers, a std above 0)"
    ) as caught:
        InputNormalization.from_text(text)
    assert "\n" not in str(caught.value)


def test_the_public_constants_are_those_of_torchvision_and_caffe():
    assert np.allclose(np.array(IMAGENET.mean) / 255, [0.485, 0.456, 0.406])
    assert np.allclose(np.array(IMAGENET.std) / 255, [0.229, 0.224, 0.225])
    assert (CAFFE.mean, CAFFE.std, CAFFE.order) == ((104, 117, 128), (1, 1, 1), "bgr")


@pytest.mark.parametrize("is_channels_last", [True, False])
def test_caffes_frames_are_blue_first_and_only_shifted(is_channels_last):
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 6, 5)).astype(np.uint8)
    red, green, blue = (clips.reshape(8, 3, 6, 5)[:, channel].astype(np.float32) for channel in range(3))
    expected = np.stack([blue - 104, green - 117, red - 128], axis=1)
    frames = to_frames(torch.from_numpy(clips), torch.device("cpu"), CAFFE, is_channels_last=is_channels_last)
    assert np.array_equal(frames.numpy(), expected)


def test_mean_and_std_stand_in_the_order_of_the_channels():
    clip = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 1, 3, 1, 1)
    frames = to_frames(clip, torch.device("cpu"), InputNormalization((1.0, 2.0, 3.0), (1.0, 2.0, 4.0), "bgr"))
    assert frames.flatten().tolist() == [(30 - 1) / 1, (20 - 2) / 2, (10 - 3) / 4]
