"""Every path of the operator is the plain one, on the device: in each precision, forward and backward, compiled, as a graph."""

import copy
import warnings

import pytest
import torch
from cards import CUDA
from reference import DTYPES, SMALL, deviations, features, make, paper_shapes, relative, replayed, step

from gsfnas.modules.gate_shift_fuse import set_implementation

# So many times the plain path's own rounding error may another path's be, or so many units in the last place.
FACTOR, UNITS = 4, 64


def assert_as_exact_as_plain(module, shape, device, dtype, *, clips=1):
    x = features(shape, device, dtype, clips=clips)
    grad = torch.randn_like(x)
    for name, (error, of_plain) in deviations(module, x, grad).items():
        assert error <= max(FACTOR * of_plain, UNITS * torch.finfo(dtype).eps), name


def on_each(shapes_of_gpu):
    """(device, shape): small ones on the CPU, those that are asked for on the GPU."""
    cases = [pytest.param("cpu", shape, id=f"cpu-{'x'.join(map(str, shape))}") for shape in SMALL]
    gpu = [pytest.param("cuda", shape, id=f"cuda-{'x'.join(map(str, shape))}", marks=CUDA.marks) for shape in shapes_of_gpu]
    return pytest.mark.parametrize(("device", "shape"), cases + gpu, indirect=["device"])


PAPER = on_each(paper_shapes())
FEW = on_each([(256, 56, 56), (2048, 7, 7), (96, 28, 28)])


@PAPER
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ratio", [0.25, 1.0])
@pytest.mark.parametrize("module", ["gsf", "gsm", "tsm"])
def test_fast_is_as_exact_as_plain(device, shape, module, ratio, dtype):
    assert_as_exact_as_plain(make(module, shape[0], ratio, device, inplace=True), shape, device, DTYPES[dtype])


@FEW
@pytest.mark.parametrize("dtype", DTYPES)
def test_so_is_the_temporal_difference(device, shape, dtype):
    assert_as_exact_as_plain(make("tdn", shape[0], 0.5, device), shape, device, DTYPES[dtype])


@FEW
def test_so_it_is_on_several_clips_and_in_eval_mode(device, shape):
    module = make("gsf", shape[0], 0.25, device, inplace=True).eval()
    assert_as_exact_as_plain(module, shape, device, torch.bfloat16, clips=3)


@FEW
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_weights_of_half_precision_run(device, shape, dtype):
    module = make("gsf", shape[0], 0.5, device).to(dtype)
    found = step(module, features(shape, device, dtype), features(shape, device, dtype))
    assert all(value.isfinite().all() for value in found.values())


@FEW
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_the_layout_is_kept_and_changes_nothing(device, shape, layout):
    module = make("gsf", shape[0], 0.5, device).eval()
    x = features(shape, device).contiguous(memory_format=layout)
    with torch.inference_mode():
        y = module(x)
        assert y.is_contiguous(memory_format=layout)
        for other in (torch.channels_last, torch.contiguous_format):
            torch.testing.assert_close(y, module(x.contiguous(memory_format=other)), atol=1e-5, rtol=1e-5)


def assert_compiled_is_as_exact_as_plain(shape, device, dtype):
    module = make("gsf", shape[0], 0.25, device)
    set_implementation(module, "compiled")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the operator could not be compiled")
        assert_as_exact_as_plain(module, shape, device, dtype)


@pytest.mark.slow
@PAPER
def test_compiled_is_as_exact_as_plain(device, shape):
    assert_compiled_is_as_exact_as_plain(shape, device, torch.bfloat16)


@pytest.mark.slow
@FEW
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_compiled_is_so_in_other_precisions(device, shape, dtype):
    if device.type == "cpu":
        pytest.skip("the compiler of C++ takes long, and bfloat16 is asked of it already")
    assert_compiled_is_as_exact_as_plain(shape, device, dtype)


@FEW
@pytest.mark.parametrize("module", ["gsf", "tsm"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_graph_of_the_forward_pass_gives_what_the_pass_gives(device, shape, module, dtype):
    made = make(module, shape[0], 0.25, device).eval()
    x = features(shape, device, DTYPES[dtype])
    with torch.inference_mode(), torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "float32", cache_enabled=False):
        expected = made(x)
        assert relative(replayed(lambda: made(x), device), expected) < 4 * torch.finfo(DTYPES[dtype]).eps


@FEW
@pytest.mark.parametrize("module", ["gsf", "gsm", "tsm", "tdn"])
def test_a_graph_of_a_training_step_gives_its_gradients(device, shape, module):
    made = make(module, shape[0], 0.25, device)
    x, grad = features(shape, device), features(shape, device)
    expected = step(copy.deepcopy(made), x, grad)
    found = replayed(lambda: step(made, x, grad), device)
    for name in expected:
        if "running" not in name:  # these have moved on with every run before
            assert relative(found[name], expected[name]) < 1e-5, name


@FEW
@pytest.mark.parametrize("module", ["gsf", "gsm", "tsm", "tdn"])
def test_nothing_makes_the_processor_wait(device, shape, module, without_waiting):
    made = make(module, shape[0], 0.25, device)
    x, grad = features(shape, device, torch.bfloat16), features(shape, device, torch.bfloat16)
    step(made, x, grad)  # libraries are loaded
    with without_waiting():
        step(made, x, grad)
