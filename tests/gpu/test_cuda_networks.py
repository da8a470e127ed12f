"""Whole networks on the device: in place, under autocast, compiled as one graph, replayed; as fast as they are exact."""

import copy

import pytest
import torch
import torch.nn.functional as F
from cards import need_gpus
from reference import randomised, relative, replayed

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate
from gsfnas.cost import measure_latency
from gsfnas.model import build_model
from gsfnas.modules import resolve
from gsfnas.modules.gate_shift_fuse import set_implementation


def network(device, name=None, *, module="gsf", resolution=None, frames=4):
    """A network with a module at each default site, channels_last: small on the CPU, the paper's on the GPU."""
    name = name or ("micro" if device.type == "cpu" else "resnet50")
    resolution = resolution or (32 if device.type == "cpu" else 64)
    backbone = backbone_ref(name)
    found = {}
    for site in backbone_sites(backbone, resolution):
        if site.is_default:
            found[site.name] = resolve(site, {"module": module, "ratio": 0.25})
    model = build_model(Candidate(backbone, frames, resolution, tuple(found.items())), {"class": 5}, dropout=0.0)
    return randomised(model).to(device).to(memory_format=torch.channels_last)


def clips_for(model, device, clips=2):
    resolution = 32 if device.type == "cpu" else 64
    frames = torch.randn(clips * model.frames, 3, resolution, resolution, device=device)
    return frames.contiguous(memory_format=torch.channels_last)


def loss_of(model, frames, dtype=torch.float32):
    labels = torch.arange(len(frames) // 4, device=frames.device) % 5
    with torch.autocast(frames.device.type, dtype, enabled=dtype != torch.float32):
        return F.cross_entropy(model(frames)["class"], labels)


def gradients(model, frames, dtype=torch.float32):
    model.zero_grad()
    loss_of(model, frames, dtype).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("module", ["gsf", "tsm"])
@pytest.mark.parametrize("name", ["resnet50", "bninception"])
def test_a_network_learns_the_same_by_either_path(device, name, module):
    """In double precision, so that what little differs is not made large by the layers."""
    fast = network(device, "micro" if device.type == "cpu" else name, module=module).double()
    plain = copy.deepcopy(fast)
    set_implementation(plain, "plain")
    frames = clips_for(fast, device).double()
    expected = gradients(plain, frames)
    largest = max(grad.abs().max() for grad in expected.values())
    for parameter, grad in gradients(fast, frames).items():
        # A bias before a BatchNorm has no gradient: of what little is left only rounding can be told.
        is_zero = expected[parameter].abs().max() < 1e-12 * largest
        assert grad.abs().max() < 1e-12 * largest if is_zero else relative(grad, expected[parameter]) < 1e-8, parameter


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_under_autocast_gradients_are_finite_and_near(device, dtype):
    model = network(device)
    frames = clips_for(model, device, clips=4)
    twin = copy.deepcopy(model)
    found, expected = gradients(model, frames, dtype), gradients(twin, frames)
    assert all(grad.isfinite().all() for grad in found.values())
    head = "heads.class_.weight" if "heads.class_.weight" in expected else "heads.class.weight"
    assert relative(found[head], expected[head]) < 0.2


@pytest.mark.slow
# Inductor recommends TF32 for matrix products on a card that has it.
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")
def test_a_network_compiles_without_a_graph_break(device):
    """On the CPU it is only traced, which takes much less than a C++ compiler."""
    torch.compiler.reset()
    model = network(device, "micro", resolution=32 if device.type == "cpu" else 64)
    frames = clips_for(model, device)
    expected = gradients(copy.deepcopy(model), frames)
    backend = "eager" if device.type == "cpu" else "inductor"
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    loss_of(compiled, frames).backward()
    for name, parameter in model.named_parameters():
        assert relative(parameter.grad, expected[name]) < 1e-3, name
    torch.compiler.reset()


def test_a_graph_of_a_whole_training_step_trains(device):
    model = network(device)
    twin = copy.deepcopy(model)
    frames = clips_for(model, device)

    def steps_of(trained):
        optimiser = torch.optim.SGD(trained.parameters(), lr=1e-3, momentum=0.9, fused=device.type == "cuda" or None)

        def work():
            loss = loss_of(trained, frames)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            return loss

        return work

    found = replayed(steps_of(model), device)
    alone = steps_of(twin)
    *_, expected = [alone() for _ in range(4)]  # three to warm up, one replayed
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    for name, parameter in twin.named_parameters():
        trained = model.get_parameter(name)
        # What has not moved is rounding: BatchNorms' biases of a network whose last BatchNorms of a block begin at zero.
        if parameter.norm() > 1e-9:
            assert relative(trained, parameter) < 1e-3, name
        else:
            assert trained.norm() < 1e-9, name


@pytest.mark.alone
def test_latency_is_that_of_the_work_and_the_same_again(device):
    """Three measurements of one network lie within a tenth of each other on a GPU; more clips take longer.

    Of a GPU many, since its time for a few clips is that of the launches.
    """
    resolution, precision, runs, clips = (32, "float32", 4, 16) if device.type == "cpu" else (224, "float16", 20, 128)
    model = network(device, resolution=resolution)
    options = {"key": "c1-x", "frames": 4, "device": str(device), "resolution": resolution, "precision": precision}
    found = [measure_latency(model, warm_up=2, runs=runs, **options) for _ in range(3)]
    assert all(0 < one.low_ms <= one.median_ms <= one.high_ms for one in found)
    many = measure_latency(model, warm_up=2, runs=runs, batch=clips, **options)
    medians = sorted(one.median_ms for one in found)
    assert many.median_ms > 1.5 * medians[0]
    if device.type == "cuda":
        assert medians[-1] < 1.1 * medians[0]
        assert found[0].device == torch.cuda.get_device_name(0)


@pytest.mark.gpu
@pytest.mark.alone
def test_latency_on_a_second_gpu_is_timed_there(gpu):
    need_gpus(2)
    model = network(gpu)
    options = {"key": "c1-x", "frames": 4, "resolution": 64, "runs": 20}
    first, second = (measure_latency(model, device=f"cuda:{number}", **options).median_ms for number in range(2))
    assert 0.5 < second / first < 2


@pytest.mark.gpu
@pytest.mark.alone
def test_a_graph_of_a_network_is_no_slower_than_its_launches(gpu):
    """One clip through the paper's network at 224 px: bound by launches, so that a graph must win."""
    model = network(gpu, resolution=224).eval()
    frames = torch.randn(4, 3, 224, 224, device=gpu).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cuda", torch.float16, cache_enabled=False):
        eager = time_ms(lambda: model(frames))
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            model(frames)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(frames)
        assert time_ms(graph.replay) < 1.05 * eager


def time_ms(work, runs=30):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(5):
        work()
    start.record()
    for _ in range(runs):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / runs
