import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from gsfnas.train._batch import can_be_channels_last, channels_last, to_frames


def test_frames_are_normalised_and_channels_last():
    clips = torch.randint(0, 256, (2, 4, 3, 6, 5), dtype=torch.uint8)
    kept = clips.clone()
    frames = to_frames(clips, torch.device("cpu"))
    assert frames.shape == (8, 3, 6, 5)
    assert frames.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(clips, kept)
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        expected = (clips[1, 2, channel].double() / 255 - mean) / std
        torch.testing.assert_close(frames[1 * 4 + 2, channel].double(), expected, atol=1e-5, rtol=1e-5)


def test_weights_of_2d_convolutions_become_channels_last_and_others_stay():
    network = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Linear(3, 4)])
    before = [parameter.detach().clone() for parameter in network.parameters()]
    channels_last(network)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[1].weight.is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("conv", "instructions", "expected"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), "AVX2", False),
        (nn.Conv2d(4, 8, 1, stride=2), "AVX512", True),
        (nn.Conv2d(8, 8, 1, stride=2), "AVX2", True),
        (nn.Conv2d(4, 8, 1), "AVX2", True),
        (nn.Conv2d(4, 8, 3, stride=2), "AVX2", True),
    ],
)
def test_without_avx512_a_strided_pointwise_convolution_of_few_channels_stays_as_it_is(
    monkeypatch, conv, instructions, expected
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    network = nn.Sequential(nn.Conv2d(3, conv.in_channels, 3), conv)
    assert can_be_channels_last(network) is expected
    channels_last(network)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last) is expected


def test_the_narrowest_network_trains_without_harm_to_the_heap():
    """In a process of its own, whose allocator looks for what was written beyond a buffer."""
    code = """
import os
import subprocess
import sys

import pytest
import torch
from gsfnas import Candidate, build_model
from gsfnas.train._batch import can_be_channels_last, channels_last, to_frames

torch.set_num_threads(1)
network = build_model(Candidate.from_json('{"backbone": {"name": "micro", "width": "0.25"}, "frames": 2, "resolution": 32}'))
channels_last(network)
clips = torch.zeros(32, 2, 3, 32, 32, dtype=torch.uint8)
for _ in range(8):
    network(to_frames(clips, torch.device("cpu"), is_channels_last=can_be_channels_last(network)))["class"].sum().backward()
"""
    environment = {**os.environ, "MALLOC_CHECK_": "3"}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
