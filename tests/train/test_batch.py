import torch
from torch import nn

from gsfnas.train._batch import channels_last, to_frames


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
