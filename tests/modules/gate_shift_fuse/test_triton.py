"""The operator's Triton kernels are the plain path: on a GPU where there is one, else in Triton's interpreter on the CPU.

As a script, this file compiles the kernels for an H100 or H200, which needs no GPU.
"""

import copy
import importlib.util
import os
import subprocess
import sys

import pytest
import torch

if importlib.util.find_spec("triton") is None:
    pytest.skip("needs Triton, which cannot be imported", allow_module_level=True)

from gsfnas.modules.gate_shift_fuse import GateShiftFuse, _fast, _shift, _triton_call, set_implementation

ON_GPU = torch.cuda.is_available()
# Triton looks at it while it is imported, which other tests may have done before: hence a process of its own.
INTERPRETED = not ON_GPU and os.environ.get("TRITON_INTERPRET") == "1"

# Triton's interpreter, with NumPy before version 2.4.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning")

# Each of the interpreter's steps takes Python some hundred microseconds.
slow_on_cpu = pytest.mark.slow if not ON_GPU else lambda test: test

DEVICE = torch.device("cuda" if ON_GPU else "cpu")
FAMILY = {"gsf": {}, "gsm": {"fuse": "sum"}, "tsm": {"gate": 1, "fuse": "sum"}, "tdn": {"gate": -1}}
SWITCHES = ({}, {"gate_norm": False}, {"bias": False}, {"interleave": False})
# Channels, height, width: of several blocks of channels, of several tiles, and of channels that are no power of two.
SHAPES = ((64, 4, 6), (24, 7, 7), (12, 17, 10))
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
# Relative to the norm of what is expected; of half precision in units in the last place.
SINGLE, HALF_ULPS = 5e-6, 3


@pytest.fixture(autouse=True)
def _on_triton(request, monkeypatch):
    """Kernels for whatever has a type that they can treat, on the CPU as well; few programs, so that each has several tiles."""
    if request.function in (test_in_the_interpreter, test_every_kernel_compiles):
        return
    if not (ON_GPU or INTERPRETED):
        pytest.skip("needs a GPU or Triton's interpreter, for which there is a test of its own")
    for module in (_fast, _shift):
        monkeypatch.setattr(module, "on_triton", lambda x, *weights: x.dtype in _triton_call._DTYPES)
    monkeypatch.setattr(_triton_call, "_PROGRAMS", 3)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def run_python(*arguments, **environment):
    environment = {**{name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}, **environment}
    run = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.skipif(ON_GPU or INTERPRETED, reason="runs here")
def test_in_the_interpreter():
    """The rest takes minutes there; `.ci/extra triton` runs it."""
    found = run_python("-m", "pytest", "-n", "0", "-m", "not slow", "--timeout", "600", __file__, TRITON_INTERPRET="1")
    assert " passed" in found


def make(shape, *, frames=3, ratio=0.5, inplace=False, training=True, **options):
    """A module whose gates and shares are neither zero nor saturated."""
    module = GateShiftFuse(shape[0], frames, ratio=ratio, inplace=inplace, **options)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(std=0.3 / max(1, parameter[0].numel()) ** 0.5)
            if "norm.weight" in name:
                parameter += 1
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return module.train(training).to(DEVICE)


def features(shape, *, clips=2, frames=3, dtype=torch.float32, layout=torch.channels_last):
    return torch.randn(clips * frames, *shape, device=DEVICE).to(dtype).contiguous(memory_format=layout)


def step(module, x, grad):
    """Output, gradients and buffers of a training step, by name."""
    x = x.clone().requires_grad_()
    y = module(x * 1)
    grads = torch.autograd.grad(y, [x, *module.parameters()], grad)
    names = ["features", *(name for name, _ in module.named_parameters())]
    return {"output": y, **dict(zip(names, grads, strict=True)), **{name: b.clone() for name, b in module.named_buffers()}}


def assert_is_plain(module, x, *, tolerance=SINGLE):
    """Against the plain path in double precision, with the very same input and weights."""
    exact = copy.deepcopy(module).double()
    set_implementation(exact, "plain")
    grad = torch.randn_like(x)
    with torch.no_grad():
        inference = copy.deepcopy(module)(x.clone(memory_format=torch.preserve_format))
    found, expected = step(module, x, grad), step(exact, x.double(), grad.double())
    torch.testing.assert_close(inference, found["output"], rtol=4 * torch.finfo(x.dtype).eps, atol=1e-6)
    assert found["output"].is_contiguous(memory_format=torch.channels_last) == x.is_contiguous(
        memory_format=torch.channels_last
    )
    num_shifted = module.options.num_shifted
    assert torch.equal(found["output"][:, num_shifted:], x[:, num_shifted:])
    assert torch.equal(found["features"][:, num_shifted:], grad[:, num_shifted:])
    for name, value in expected.items():
        error = (found[name].double() - value).norm() / max(1e-12, value.double().norm())
        assert error < tolerance, f"{name}: {error:.1e}"
    for name, parameter in module.named_parameters():
        assert (found[name].dtype, found[name].shape) == (parameter.dtype, parameter.shape)


@pytest.mark.parametrize("module", FAMILY)
def test_is_plain(module):
    assert_is_plain(make((16, 5, 3), inplace=module != "gsf", **FAMILY[module]), features((16, 5, 3)))


@slow_on_cpu
@pytest.mark.parametrize(("layout", "inplace"), [("channels_last", True), ("contiguous", False)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("module", FAMILY)
def test_so_it_is_on_other_shapes(module, shape, layout, inplace):
    made = make(shape, frames=2, ratio=0.25 if shape[0] > 12 else 1.0, inplace=inplace, **FAMILY[module])
    assert_is_plain(made, features(shape, clips=1, frames=2, layout=LAYOUTS[layout]))


@slow_on_cpu
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@pytest.mark.parametrize("module", ["gsf", "gsm"])
def test_so_it_is_with_each_switch(module, switches, training):
    made = make((24, 3, 5), frames=2, ratio=1.0, training=training, inplace=training, **FAMILY[module], **switches)
    assert_is_plain(made, features((24, 3, 5), clips=1, frames=2))


@slow_on_cpu
@pytest.mark.parametrize("interleave", [False, True])
@pytest.mark.parametrize("fuse", ["learnable", "sum"])
@pytest.mark.parametrize("gate", ["learnable", 1, -1, 0])
def test_so_is_every_member_in_place(gate, fuse, interleave):
    made = make((20, 2, 3), frames=4, ratio=0.85, inplace=True, gate=gate, fuse=fuse, interleave=interleave)
    assert_is_plain(made, features((20, 2, 3), clips=1, frames=4))


@slow_on_cpu
@pytest.mark.parametrize(("clips", "frames"), [(1, 8), (2, 1), (3, 2)])
@pytest.mark.parametrize("module", ["gsf", "tsm"])
def test_so_it_is_for_clips_of_other_lengths(module, clips, frames):
    made = make((16, 2, 3), frames=frames, **FAMILY[module])
    assert_is_plain(made, features((16, 2, 3), clips=clips, frames=frames))


@slow_on_cpu
@pytest.mark.parametrize("inplace", [False, True])
def test_so_it_is_on_many_channels(inplace):
    made = make((144, 9, 4), frames=2, ratio=1.0, inplace=inplace)
    assert_is_plain(made, features((144, 9, 4), clips=1, frames=2))


@slow_on_cpu
@pytest.mark.parametrize("module", FAMILY)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("single_weights", [True, False])
def test_so_it_is_in_half_precision(module, dtype, single_weights):
    if dtype == torch.bfloat16 and not ON_GPU:
        pytest.skip("needs a GPU: Triton's interpreter has no products of bfloat16 matrices")
    made = make((32, 3, 5), **FAMILY[module]).to(torch.float32 if single_weights else dtype)
    assert_is_plain(made, features((32, 3, 5), clips=1, dtype=dtype), tolerance=HALF_ULPS * torch.finfo(dtype).eps)


@slow_on_cpu
def test_statistics_of_a_large_mean_do_not_cancel():
    module = make((16, 9, 9), fuse="sum")
    module.gate.norm.momentum = 1.0
    x = features((16, 9, 9), clips=1) + 1000
    module(x)
    variance = x[:, :8].double().var(dim=(0, 2, 3))
    torch.testing.assert_close(module.gate.norm.running_var.double(), variance, rtol=1e-4, atol=0)  # 1000 is so coarse


@slow_on_cpu
@pytest.mark.parametrize("momentum", [None, 0.3])
def test_running_statistics_move_as_those_of_a_batch_norm(momentum):
    module, x = make((16, 2, 3)), features((16, 2, 3), clips=1)
    module.gate.norm.momentum = momentum
    plain = copy.deepcopy(module)
    set_implementation(plain, "plain")
    for _ in range(2):
        module(x), plain(x)
    torch.testing.assert_close(module.gate.norm.state_dict(), plain.gate.norm.state_dict(), rtol=1e-5, atol=1e-6)


@slow_on_cpu
def test_weights_may_be_in_another_layout():
    module = make((16, 2, 3))
    module.fuse.to(memory_format=torch.channels_last)
    assert not module.fuse.weight.is_contiguous()
    assert_is_plain(module, features((16, 2, 3), clips=1))


@slow_on_cpu
def test_untracked_statistics_are_those_of_the_batch():
    module = make((16, 2, 3))
    module.gate.norm = torch.nn.BatchNorm2d(8, track_running_stats=False).to(DEVICE)
    assert_is_plain(module.eval(), features((16, 2, 3), clips=1))


@slow_on_cpu
def test_a_gradient_of_another_layout_is_read_as_it_is():
    module, x = make((16, 2, 3)), features((16, 2, 3), clips=1)
    grad = torch.randn_like(x)
    expected = step(copy.deepcopy(module), x, grad)
    for other in (grad.contiguous(), grad.repeat(1, 1, 1, 2)[..., :3]):
        found = step(copy.deepcopy(module), x, other)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_has_been_overwritten_is_known_to_autograd():
    x = features((16, 2, 3), clips=1)
    for options in FAMILY.values():
        module = make((16, 2, 3), inplace=True, training=False, **options)
        version = x._version
        with torch.no_grad():
            assert module(x) is x or options.get("gate") == 1
        assert x._version > version


@slow_on_cpu
def test_the_same_twice():
    module, x = make((24, 3, 5)), features((24, 3, 5), clips=1)
    grad = torch.randn_like(x)
    first, second = (step(copy.deepcopy(module), x, grad) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="compiles where nothing is interpreted")
def test_every_kernel_compiles():
    assert "compiled" in run_python(__file__)


def compile_all():
    """Compiles what launches on features without memory would launch; prints how many kernels that were."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from gsfnas.modules.gate_shift_fuse import _triton

    types = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.int64: "i64"}
    sources = {}

    class Recorder:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            return self.launch

        def launch(self, *values, num_warps=4, num_stages=3, **constants):
            signature, attributes = dict.fromkeys(self.kernel.arg_names, "constexpr"), {}
            values = {**dict(zip(self.kernel.arg_names, values)), **constants}  # noqa: B905
            for number, name in enumerate(self.kernel.arg_names):
                value = values[name]
                if name in constants or value is None or (isinstance(value, int) and value == 1):
                    continue
                if isinstance(value, torch.Tensor):
                    signature[name] = f"*{types[value.dtype]}"
                else:
                    signature[name] = "fp32" if isinstance(value, float) else "i32"
                if isinstance(value, torch.Tensor) or value % 16 == 0:
                    attributes[(number,)] = [["tt.divisibility", 16]]
            fixed = {name: values[name] for name, kind in signature.items() if kind == "constexpr"}
            key = (self.kernel.__name__, str(signature), str(fixed), str(attributes))
            sources[key] = (
                ASTSource(self.kernel, signature, fixed, attributes),
                {"num_warps": num_warps, "num_stages": num_stages},
            )

    for name in dir(_triton):
        if name.endswith("_kernel"):
            setattr(_triton, name, Recorder(getattr(_triton, name)))
    _triton._mark_written = lambda x: None
    for dtype, channels, size, ratio, training, options in (
        (torch.bfloat16, 256, 56, 0.25, True, {}),
        (torch.bfloat16, 2048, 7, 0.25, True, {"fuse": "sum"}),
        (torch.bfloat16, 1024, 14, 1.0, False, {"interleave": False}),
        (torch.float16, 44, 28, 1.0, True, {"gate_norm": False}),
        (torch.float16, 16, 28, 0.25, True, {}),
        (torch.float32, 64, 56, 0.25, True, {}),
        (torch.float32, 512, 28, 1.0, False, {"bias": False}),
        (torch.float32, 64, 28, 1.0, False, {"gate": -1}),
    ):
        module = GateShiftFuse(channels, 8, ratio=ratio, **options).to("meta").train(training)
        x = torch.empty(128, channels, size, size, dtype=dtype, device="meta").contiguous(memory_format=torch.channels_last)
        gate, fuse = module.gate, module.fuse
        norm = None if gate is None else gate.norm
        parts = ((norm, "weight"), (norm, "bias"), (gate, "weight"), (gate, "bias"), (fuse, "weight"), (fuse, "bias"))
        weights = _fast._Weights(*(getattr(part, name, None) for part, name in parts))
        for inplace in (False, True):
            call = _fast._Call(module.options, 8, inplace, norm, triton=True)
            _triton.forward(x, call, weights, keep=False)
            _, kept, norm_taken = _triton.forward(x, call, weights, keep=True)
            _triton.shifted_by_one(x, 8, module.options.num_shifted // 2, 1, inplace=inplace)
        _triton.backward(x, call, weights, kept, norm_taken is not None and norm_taken.of_batch)
    for source, options in sources.values():
        triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    print(len(sources), "kernels compiled")


if __name__ == "__main__":
    compile_all()
