"""Every path of the operator equals the plain one: outputs, gradients, running statistics; on every shape of the paper."""

import copy
import warnings

import pytest
import torch
import torch.utils.checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from test_family import Family, randomised
from torch import nn

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.modules.gate_shift_fuse import IMPLEMENTATIONS, GateShiftFuse, set_implementation
from gsfnas.modules.gate_shift_fuse import network as network_file
from gsfnas.modules.gate_shift_fuse._compiled import compiled


class TestPlain(Family):
    def make(self, frames=4, ratio=0.5):
        module = super().make(frames, ratio)
        set_implementation(module, "plain")
        return module


# torch.compile looks at the .grad of what the hook below gives the module.
LEAF = "ignore:The .grad attribute of a Tensor that is not a leaf"


class InPlace(Family):
    """A module that overwrites its input; what the suite gives it, it may not keep."""

    def make(self, frames=4, ratio=0.5):
        module = super().make(frames, ratio)
        module.inplace = True
        module.register_forward_pre_hook(lambda module, inputs: inputs[0].clone(memory_format=torch.preserve_format))
        return module


@pytest.mark.filterwarnings(LEAF)
class TestInPlace(InPlace):
    pass


@pytest.mark.filterwarnings(LEAF)
class TestInPlaceGsm(InPlace):
    fuse = "sum"


@pytest.mark.filterwarnings(LEAF)
class TestInPlaceTsm(InPlace):
    gate, fuse = 1, "sum"


def both(module):
    """The module and its twin on the plain path."""
    plain = copy.deepcopy(module)
    set_implementation(plain, "plain")
    return module, plain


def outcome(module, x, grad):
    """What a training step takes from a module: output, gradients of features and parameters, buffers afterwards."""
    x = x.clone().requires_grad_()
    y = module(x * 1)
    grads = torch.autograd.grad(y, [x, *module.parameters()], grad)
    return y, grads, [buffer.clone() for buffer in module.buffers()]


@settings(max_examples=80, deadline=None)
@given(
    gate=st.sampled_from(["learnable", 1, -1, 0]),
    fuse=st.sampled_from(["learnable", "sum"]),
    switches=st.fixed_dictionaries(
        {name: st.sampled_from([None, True, False]) for name in ("gate_norm", "bias", "interleave")}
    ),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(4, 80), st.integers(2, 6), st.integers(1, 6)),
    ratio=st.sampled_from([0.25, 0.5, 1.0]),
    inplace=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    training=st.booleans(),
)
def test_fast_is_plain_in_double_precision(gate, fuse, switches, shape, ratio, inplace, layout, training):
    clips, frames, channels, height, width = shape
    torch.manual_seed(0)
    made = GateShiftFuse(channels, frames, ratio=ratio, gate=gate, fuse=fuse, inplace=inplace, **switches)
    fast, plain = both(randomised(made).double().train(training))
    x = torch.randn(clips * frames, channels, height, width, dtype=torch.float64).contiguous(memory_format=layout)
    with torch.inference_mode():
        # On copies: a BatchNorm in training moves its running statistics here too.
        expected = copy.deepcopy(plain)(x)
        torch.testing.assert_close(copy.deepcopy(fast)(x.clone()), expected, atol=1e-11, rtol=1e-11)
    grad = torch.randn_like(x)
    torch.testing.assert_close(outcome(fast, x, grad), outcome(plain, x, grad), atol=1e-9, rtol=1e-9)


def paper_shapes():
    """The distinct (channels, height, width) of the default sites of the paper's networks at 224 x 224."""
    sites = [site for name in ("resnet50", "bninception") for site in backbone_sites(backbone_ref(name), 224)]
    return sorted({(site.channels, site.height, site.width) for site in sites if site.is_default})


def relative(value, expected):
    return ((value.float() - expected.float()).norm() / expected.float().norm()).item()


@pytest.mark.parametrize("module", [{}, {"fuse": "sum"}, {"gate": 1, "fuse": "sum"}], ids=["gsf", "gsm", "tsm"])
@pytest.mark.parametrize("ratio", [0.25, 1.0])
@pytest.mark.parametrize("shape", paper_shapes(), ids=str)
def test_fast_is_plain_on_the_shapes_of_the_paper(shape, ratio, module):
    channels, *size = shape
    torch.manual_seed(0)
    made = GateShiftFuse(channels, 8, ratio=ratio, inplace=True, **module)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.3 / max(1, parameter[0].numel()) ** 0.5)
    fast, plain = both(made)
    x = torch.randn(8, channels, *size).contiguous(memory_format=torch.channels_last)
    grad = torch.randn_like(x)
    with torch.inference_mode():
        torch.testing.assert_close(copy.deepcopy(fast).eval()(x.clone()), copy.deepcopy(plain).eval()(x), atol=1e-5, rtol=1e-5)
    (y, grads, _), (y_plain, grads_plain, _) = outcome(fast, x, grad), outcome(plain, x, grad)
    torch.testing.assert_close(y, y_plain, atol=1e-5, rtol=1e-5)
    assert all(relative(*pair) < 1e-5 for pair in zip(grads, grads_plain, strict=True))


@pytest.mark.parametrize("shape", paper_shapes(), ids=str)
def test_in_bf16_fast_is_as_near_to_single_precision_as_plain(shape):
    channels, *size = shape
    torch.manual_seed(0)
    fast, plain = both(randomised(GateShiftFuse(channels, 8, ratio=0.25)).eval())
    x = torch.randn(8, channels, *size).contiguous(memory_format=torch.channels_last).bfloat16()
    with torch.inference_mode():
        expected = plain(x.float())[:, : fast.options.num_shifted]
        errors = []
        for module in (fast, plain):
            with torch.autocast("cpu", torch.bfloat16):
                errors.append(relative(module(x)[:, : fast.options.num_shifted], expected))
    assert errors[0] < max(1.5 * errors[1], torch.finfo(torch.bfloat16).eps)


# Each shape is compiled anew, which takes up to a minute: two planes in CI.
_COMPILED = [
    shape if shape in ((64, 28, 28), (96, 14, 14)) else pytest.param(shape, marks=pytest.mark.extra) for shape in paper_shapes()
]


@pytest.mark.slow
@pytest.mark.parametrize("shape", _COMPILED, ids=str)
def test_compiled_is_plain_on_the_shapes_of_the_paper(shape):
    channels, *size = shape
    torch.manual_seed(0)
    module, plain = both(randomised(GateShiftFuse(channels, 8, ratio=0.25)))
    set_implementation(module, "compiled")
    x = torch.randn(8, channels, *size).contiguous(memory_format=torch.channels_last)
    grad = torch.randn_like(x)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the operator could not be compiled")
        (y, grads, _), (y_plain, grads_plain, _) = outcome(module, x, grad), outcome(plain, x, grad)
    torch.testing.assert_close(y, y_plain, atol=1e-5, rtol=1e-5)
    assert all(relative(*pair) < 1e-4 for pair in zip(grads, grads_plain, strict=True))


def no_compiler():
    from torch._dynamo.exc import BackendCompilerFailed

    return BackendCompilerFailed(no_compiler, RuntimeError("no compiler here"), None)


def no_triton():
    from torch._inductor.exc import TritonMissing

    return TritonMissing(None)


@pytest.mark.parametrize(("error", "said"), [(no_compiler, "no compiler here"), (no_triton, "Cannot find .* triton")])
def test_what_cannot_be_compiled_runs_fast_with_one_warning(monkeypatch, error, said):
    def broken(forward, **options):
        def run(module, x):
            raise error()

        return run

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(network_file, "_compiled", compiled(GateShiftFuse._plain, GateShiftFuse._fast))
    module = randomised(GateShiftFuse(8, 2)).eval()
    x = torch.randn(4, 8, 3, 3)
    expected = module(x)
    set_implementation(module, "compiled")
    with pytest.warns(UserWarning, match=f"could not be compiled, and uses its fast implementation: .*{said}"):
        assert torch.equal(module(x), expected)
    assert torch.equal(module(x), expected)


def test_set_implementation_reaches_every_module_and_refuses_others():
    network = nn.Sequential(GateShiftFuse(8, 2), nn.Sequential(GateShiftFuse(8, 2)))
    for path in IMPLEMENTATIONS:
        set_implementation(network, path)
        assert network[0].implementation == network[1][0].implementation == path
    with pytest.raises(UserError, match="unknown implementation 'quick'"):
        set_implementation(network, "quick")


def test_a_synchronised_norm_has_its_own_forward():
    module = randomised(GateShiftFuse(8, 2)).eval()
    twin = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(module))
    x = torch.randn(4, 8, 3, 3)
    torch.testing.assert_close(twin(x), module(x))


@pytest.mark.parametrize("momentum", [None, 0.3])
def test_running_statistics_are_those_of_a_batch_norm(momentum):
    fast, plain = both(GateShiftFuse(8, 2))
    fast.gate.norm.momentum = plain.gate.norm.momentum = momentum
    for _ in range(3):
        x = torch.randn(4, 8, 3, 3) * 2 + 1
        fast(x), plain(x)
    assert fast.gate.norm.num_batches_tracked == 3
    torch.testing.assert_close(dict(fast.named_buffers()), dict(plain.named_buffers()))


def test_frozen_features_and_frozen_modules_have_the_gradients_that_are_asked_for():
    module = randomised(GateShiftFuse(8, 2, inplace=True))
    x = torch.randn(4, 8, 3, 3)
    module(x.clone()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    module.requires_grad_(False)
    features = x.clone().requires_grad_()
    module(features * 1).square().sum().backward()
    assert features.grad.any()


def network(kind="after", role="conv1"):
    backbone = backbone_ref("micro")
    sites = [site for site in backbone_sites(backbone, 32) if site.kind == kind and site.role == role]
    insertion = Insertion.of("gate_shift_fuse", {"channels": 8})
    return build_model(Candidate(backbone, 4, 32, tuple((site.name, insertion) for site in sites)), {"class": 3}).double()


def test_a_network_works_in_place_after_its_convolutions_alone_and_learns_the_same():
    assert all(module.inplace for module in network().insertions.values())
    assert not any(module.inplace for module in network("before").insertions.values())
    for kind in ("after", "before"):
        fast, plain = both(randomised(network(kind)))
        clips = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)
        grads = []
        for model in (fast, plain):
            torch.manual_seed(0)  # dropout
            model(clips)["class"].square().sum().backward()
            grads.append({name: parameter.grad for name, parameter in model.named_parameters()})
        torch.testing.assert_close(*grads, atol=1e-8, rtol=1e-8)


def test_a_network_in_place_trains_under_distributed_data_parallel(tmp_path):
    model = randomised(network())
    alone = copy.deepcopy(model)
    clips = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        nn.parallel.DistributedDataParallel(model)(clips)["class"].square().sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    torch.manual_seed(0)
    alone(clips)["class"].square().sum().backward()
    for parameter, expected in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(parameter.grad, expected.grad)


def test_gradients_are_the_same_with_checkpointing():
    model = randomised(network())
    twin = copy.deepcopy(model)
    frames = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    model.backbone(frames).square().sum().backward()
    torch.utils.checkpoint.checkpoint(twin.backbone, frames, use_reentrant=False).square().sum().backward()
    for parameter, expected in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad)


def test_the_fast_path_says_that_it_has_no_second_derivative():
    fast, plain = both(randomised(GateShiftFuse(8, 2)).double())
    x = torch.randn(4, 8, 3, 3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(plain(x).sum(), x, create_graph=True)
    (grad * x).sum().backward()
    with pytest.raises(RuntimeError, match=r"no second derivative; set_implementation\(model, 'plain'\) has one"):
        torch.autograd.grad(fast(x).sum(), x, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cast", ["autocast", "weights"])
@pytest.mark.parametrize("channels", [16, 64])
def test_training_in_half_precision_is_near_single_precision(channels, cast, dtype):
    module = randomised(GateShiftFuse(channels, 4))
    module.gate.norm.momentum = 1.0
    with torch.no_grad():
        module.gate.weight /= channels**0.5
    single = copy.deepcopy(module)
    x = torch.randn(8, channels, 5, 5).to(dtype)
    grad = torch.randn_like(x)
    if cast == "weights":
        module.to(dtype)
    with torch.autocast("cpu", dtype, enabled=cast == "autocast"):
        y, grads, buffers = outcome(module, x, grad)
    expected, expected_grads, expected_buffers = outcome(single, x.float(), grad.float())
    near = 8 * torch.finfo(dtype).eps
    assert y.dtype == dtype
    assert relative(y, expected) < near
    assert all(relative(*pair) < 4 * near for pair in zip(grads, expected_grads, strict=True))
    if cast == "autocast":
        torch.testing.assert_close(buffers[:2], expected_buffers[:2])


def test_a_hook_on_a_part_is_called():
    module = randomised(GateShiftFuse(8, 2)).eval()
    x = torch.randn(4, 8, 3, 3)
    expected = module(x)
    seen = []
    module.gate.register_forward_hook(lambda gate, args, planes: seen.append(planes))
    torch.testing.assert_close(module(x), expected)
    assert seen[0].shape == (4, 2, 3, 3)


def test_what_a_convolution_gives_is_kept_where_a_hook_may_keep_it(monkeypatch):
    from gsfnas import model as assembler

    build = assembler.build_backbone

    def with_a_hook(reference):
        backbone = build(reference)
        backbone.get_submodule("layer1.0.conv1").register_forward_hook(lambda *_: None)
        return backbone

    monkeypatch.setattr(assembler, "build_backbone", with_a_hook)
    inplace = {name: module.inplace for name, module in network().insertions.items()}
    assert not inplace.pop("layer1-0-conv1")
    assert all(inplace.values())


def test_a_hook_of_the_users_own_sees_what_the_module_gave():
    model = network().eval()
    seen = []
    model.backbone.get_submodule("layer1.0.conv1").register_forward_hook(lambda layer, args, output: seen.append(output))
    model(torch.zeros(1, 4, 3, 32, 32, dtype=torch.float64))
    assert len(seen) == 1
