"""The members of the family keep every promise of a temporal module; and the named points are what their names say."""

import pytest
import torch
from conformance import CHANNELS, TemporalModuleConformance
from torch import nn

from gsfnas.candidate import Site
from gsfnas.errors import UserError
from gsfnas.modules import resolve
from gsfnas.modules.gate_shift_fuse import SPEC, GateShiftFuse


def randomised(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return module


class Family(TemporalModuleConformance):
    gate: str | int = "learnable"
    fuse = "learnable"
    gate_norm = bias = interleave = None

    def make(self, frames=4, ratio=0.5):
        switches = {"gate_norm": self.gate_norm, "bias": self.bias, "interleave": self.interleave}
        return randomised(GateShiftFuse(CHANNELS, frames, ratio=ratio, gate=self.gate, fuse=self.fuse, **switches))


class TestGsf(Family):
    pass


class TestGsm(Family):
    fuse = "sum"


class TestTsm(Family):
    gate, fuse = 1, "sum"


class TestTdn(Family):
    gate, fuse = -1, "sum"


class TestGateZeroFuse(Family):
    gate = 0


class TestGateOneFuse(Family):
    gate = "1"


class TestGateMinusOneFuseInterleaved(Family):
    gate, interleave = "-1", True


class TestEquations(Family):
    gate_norm = bias = interleave = False


def textbook_tsm(x, frames, fold_div=8):
    """The shift as TSM published it: an eighth of the channels from the next frame, an eighth from the previous."""
    clips, channels = x.shape[0] // frames, x.shape[1]
    x = x.view(clips, frames, channels, *x.shape[2:])
    fold = channels // fold_div
    out = torch.zeros_like(x)
    out[:, :-1, :fold] = x[:, 1:, :fold]
    out[:, 1:, fold : 2 * fold] = x[:, :-1, fold : 2 * fold]
    out[:, :, 2 * fold :] = x[:, :, 2 * fold :]
    return out.flatten(0, 1)


@pytest.mark.parametrize("frames", [1, 2, 8])
def test_gate_one_with_sum_on_a_quarter_is_tsm(frames):
    x = torch.randn(2 * frames, 32, 3, 4)
    assert torch.equal(GateShiftFuse(32, frames, ratio=0.25, gate=1, fuse="sum")(x), textbook_tsm(x, frames))


def test_gate_minus_one_with_sum_is_the_temporal_difference():
    x = torch.randn(6, 8, 3, 3)
    y = GateShiftFuse(8, 3, gate=-1, fuse="sum")(x)
    torch.testing.assert_close(y, 2 * x - textbook_tsm(x, 3, fold_div=2))


def test_gate_zero_with_sum_is_the_identity():
    x = torch.randn(6, 8, 3, 3)
    assert GateShiftFuse(8, 3, gate=0, fuse="sum")(x) is x
    order = [0, 2, 1, 3, 4, 6, 5, 7]
    assert torch.equal(GateShiftFuse(8, 3, gate=0, fuse="sum", interleave=True)(x), x[:, order])


@pytest.mark.parametrize("gate", ["learnable", "1", "-1", "0"])
@pytest.mark.parametrize("fuse", ["learnable", "sum"])
@pytest.mark.parametrize("switches", [{}, {"gate_norm": 0}, {"bias": 0}, {"interleave": 0}, {"interleave": 1}])
def test_an_insertion_is_built_as_it_says(gate, fuse, switches):
    site = Site("a", "a", "a", "conv1", "after", 16, 3, 3)
    insertion = resolve(site, {"module": "gate_shift_fuse", "gate": gate, "fuse": fuse, "ratio": 0.5, **switches})
    if insertion is None:
        return
    module = SPEC.build(site, insertion, 2)
    expected = GateShiftFuse(16, 2, ratio=0.5, gate=gate, fuse=fuse, **{name: bool(on) for name, on in switches.items()})
    assert module.options == expected.options
    torch.manual_seed(1)
    randomised(module)
    torch.manual_seed(1)
    randomised(expected)
    x = torch.randn(4, 16, 3, 3)
    assert torch.equal(module(x), expected(x))


def test_a_fixed_gate_has_no_parameters_but_its_fusion():
    assert not list(GateShiftFuse(8, 3, gate=1, fuse="sum").parameters())
    assert [name for name, _ in GateShiftFuse(8, 3, gate=-1).named_parameters()] == ["fuse.weight", "fuse.bias"]


def test_published_initialisation():
    module = GateShiftFuse(64, 2)
    assert not module.gate.weight.any()
    assert not module.gate.bias.any()
    bound = 18**-0.5
    assert bound / 2 < module.fuse.weight.abs().max() <= bound
    assert 0 < module.fuse.bias.abs().max() <= bound
    x = torch.randn(4, 64, 5, 5)
    # The gate is zero, so that each channel is scaled by 1 - F, F near a half; GSM starts as a permutation.
    scale = module(x).std() / x.std()
    assert 0.3 < scale < 0.7
    gsm = GateShiftFuse(64, 2, fuse="sum")
    order = [8 * 4 * g + 16 * (i % 2) + i // 2 for g in range(2) for i in range(32)]
    assert torch.equal(gsm(x), x[:, order])


def test_running_statistics_follow_only_in_training():
    module = GateShiftFuse(8, 2)
    x = torch.randn(4, 8, 3, 3) + 1
    module.eval()(x)
    assert not module.gate.norm.running_mean.any()
    module.train()(x)
    torch.testing.assert_close(module.gate.norm.running_mean, 0.1 * x.mean((0, 2, 3)))


def test_trains_under_distributed_data_parallel(tmp_path):
    module = GateShiftFuse(8, 2)
    x = torch.randn(4, 8, 3, 3)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        nn.parallel.DistributedDataParallel(module)(x).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_gates_and_shares_are_in_single_precision_under_autocast():
    module = randomised(GateShiftFuse(8, 2, bias=False))
    with torch.autocast("cpu", torch.bfloat16):
        assert module.gate(torch.randn(4, 8, 3, 3).bfloat16()).dtype == torch.float32
        pooled = torch.randn(2, 4, 2, 4)
        share = module.fuse(*pooled)
    assert torch.equal(share, module.fuse(*pooled))


@pytest.mark.parametrize("gate", ["learnable", 1, -1, 0])
def test_runs_with_weights_of_half_precision(gate):
    module = GateShiftFuse(8, 2, gate=gate).bfloat16()
    y = module(torch.randn(4, 8, 3, 3).bfloat16())
    assert y.dtype == torch.bfloat16
    assert y.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "`frames` must be at least 1, but got 0"),
        ({"ratio": 1.25}, r"`ratio` must be in \(0, 1\], but got 1.25"),
        ({"num_shifted": 6}, "`num_shifted` must be a multiple of 4 from 4 to 16, but got 6"),
        ({"num_shifted": 20}, "`num_shifted` must be a multiple of 4 from 4 to 16, but got 20"),
        ({"gate": 2}, "`gate` must be one of learnable, 1, -1, 0, but got '2'"),
        ({"fuse": "mean"}, "`fuse` must be one of learnable, sum, but got 'mean'"),
        ({"channels": 3}, "two groups need at least 4 channels, but there are 3"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(UserError, match=message):
        GateShiftFuse(**{"channels": 16, "frames": 4, **options})
