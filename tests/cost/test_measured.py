"""Memory and latency, measured on small modules whose answers are known."""

import pytest
import torch
from torch import nn

from gsfnas.cost import measure_latency, peak_inference_bytes, saved_bytes
from gsfnas.errors import UserError


def test_peak_of_a_chain_is_weights_and_two_feature_maps() -> None:
    model = nn.Sequential(nn.Linear(100, 200, bias=False), nn.Linear(200, 50, bias=False))
    inputs = torch.zeros(10, 100)
    weights, held = 100 * 200 + 200 * 50, 10 * 100
    assert peak_inference_bytes(model, inputs) == 4 * (weights + held + 10 * 200 + 10 * 50)


def test_a_freed_feature_map_does_not_count_twice() -> None:
    deep = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(6)])
    inputs = torch.zeros(32, 64)
    assert peak_inference_bytes(deep, inputs) == 4 * (6 * 64 * 64 + 3 * 32 * 64)


def test_saved_bytes_of_a_linear_relu_chain() -> None:
    model = nn.Sequential(nn.Linear(100, 200), nn.ReLU(), nn.Linear(200, 50))
    # Linear keeps its input: the first one's is the network's own, the second one's is what ReLU keeps as well.
    assert saved_bytes(model, torch.zeros(10, 100)) == 4 * 10 * 200


def test_latency_says_its_conditions() -> None:
    model = nn.Flatten(1)
    latency = measure_latency(model, key="c1-x", frames=2, resolution=8, batch=3, warm_up=1, runs=5)
    assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
    assert (latency.device, latency.precision, latency.batch, latency.threads) == ("cpu", "float32", 3, torch.get_num_threads())


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UserError, match="float8"):
        measure_latency(nn.Flatten(1), key="c1-x", frames=1, resolution=8, precision="float8")
