"""A path of the operator against the plain one in double precision, and steps as CUDA graphs."""

import copy

import torch
from torch import nn

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.modules.gate_shift_fuse import GateShiftFuse, set_implementation

FAMILY = {"gsf": {}, "gsm": {"fuse": "sum"}, "tsm": {"gate": 1, "fuse": "sum"}, "tdn": {"gate": -1, "fuse": "sum"}}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# One of few channels, whose planes are contiguous, and one of more.
SMALL = ((16, 5, 3), (64, 4, 6))


def paper_shapes():
    """The distinct (channels, height, width) of the default sites of the paper's networks at 224 x 224."""
    sites = [site for name in ("resnet50", "bninception") for site in backbone_sites(backbone_ref(name), 224)]
    return sorted({(site.channels, site.height, site.width) for site in sites if site.is_default})


def make(module, channels, ratio, device, *, frames=8, inplace=False):
    """A module with weights that make gates and shares neither zero nor saturated."""
    made = GateShiftFuse(channels, frames, ratio=ratio, inplace=inplace, **FAMILY[module])
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.normal_(std=0.3 / max(1, parameter[0].numel()) ** 0.5)
            if "norm.weight" in name:
                parameter += 1
    return made.to(device)


def features(shape, device, dtype=torch.float32, *, clips=1, frames=8):
    """(N, C, H, W) in channels_last, as a convolution leaves them."""
    return torch.randn(clips * frames, *shape, device=device).to(dtype).contiguous(memory_format=torch.channels_last)


def step(module, x, grad):
    """What a training step takes from a module: output, gradients by name, buffers afterwards."""
    x = x.clone().requires_grad_()
    names = ["features", *(name for name, _ in module.named_parameters())]
    with torch.autocast(x.device.type, x.dtype, enabled=x.dtype != torch.float32 and x.dtype != torch.float64):
        y = module(x * 1)
    grads = torch.autograd.grad(y, [x, *module.parameters()], grad)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers() if "running" in name}
    return {"output": y, **dict(zip(names, grads, strict=True)), **buffers}


def deviations(module, x, grad):
    """By name, how far ``module`` and the plain path are from the plain path in double precision: two relative errors."""
    plain = copy.deepcopy(module)
    set_implementation(plain, "plain")
    exact = step(copy.deepcopy(plain).double(), x.double(), grad.double())
    found, beside = step(module, x, grad), step(plain, x, grad)
    return {name: (relative(found[name], exact[name]), relative(beside[name], exact[name])) for name in exact}


def relative(value, expected):
    size = expected.double().norm()
    return ((value.double() - expected.double()).norm() / size).item() if size else value.double().norm().item()


def replayed(work, device):
    """``work()``, on a GPU captured as a CUDA graph after three runs and replayed once; what it returned."""
    if device.type != "cuda":
        for _ in range(3):
            work()
        return work()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = work()
    graph.replay()
    torch.cuda.synchronize()
    return output


def randomised(network: nn.Module) -> nn.Module:
    """Modules of a network that do something: their gates start at zero."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, GateShiftFuse):
                for parameter in module.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    return network
