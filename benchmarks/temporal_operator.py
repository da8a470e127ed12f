"""How long the temporal operator takes by itself, path by path, over the feature shapes of real networks.

python benchmarks/temporal_operator.py --csv operator.csv

Every distinct shape (channels, height, width) of the networks' default sites, in channels_last. Each run starts with features
that were just written, as a convolution leaves them, which the operator may overwrite: making them is not in the time.
Forward is in inference mode; training is forward and backward, with gradients for features and parameters. The module ``copy``
reads the features once and writes them once, in training the gradient as well: about what moving the bytes takes, so that
``x copy`` says how far an operator is from its memory traffic (one that touches a quarter of the channels can be below 1).
``x plain`` is the speed-up over the plain path. There is no TSN to divide by: ``over_tsn`` stays empty in the CSV.

``memory_mb``: on a CPU, forward, the features, parameters and all else alive at the peak; training, what autograd keeps for the
backward pass, parameters not counted, the features where they are kept. On CUDA what a run allocates at its peak. Empty where
it could not be measured.

On a CPU the memory of a large result is new to the process or was used before, as the allocator has it from run to run, and
new memory is faulted in page by page, which takes longer than filling it: hence two times for one thing. ``--keep-memory``
takes the faults away, from the copy too; in a network they are there, and what needs no new memory is spared them.

About two minutes on two cores. On CUDA it has never run.
"""

import sys
from contextlib import nullcontext
from typing import Any

import torch
from _measure import (
    Result,
    Setting,
    Task,
    autocast,
    beside,
    conditions,
    cuda_peak_bytes,
    device_name,
    measure,
    modules_of,
    parser_of,
    prepare_run,
    run,
    show,
    write_csv,
)
from torch import Tensor, nn

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.cost import peak_inference_bytes, saved_bytes
from gsfnas.errors import UserError
from gsfnas.modules.gate_shift_fuse import FAMILY, GateShiftFuse, set_implementation

MODULES = ("gsf", "gsf:1", "gsm", "tsm")


class _Copied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].clone()


class Copy(nn.Module):
    """Features read once and written once; the same for their gradient."""

    def forward(self, x: Tensor) -> Tensor:
        copied: Tensor = _Copied.apply(x)
        return copied


class Overwritable(nn.Module):
    """Gives its module features that are no leaf of the graph, as a convolution does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.module(x.clone())
        return out


def shapes_of(backbones: list[str], resolution: int) -> dict[str, tuple[int, int, int]]:
    """``resnet50 256x56x56`` to (channels, height, width), in the order of the layers."""
    shapes = {}
    for name in backbones:
        sites = [site for site in backbone_sites(backbone_ref(name), resolution) if site.is_default]
        if not sites:
            raise UserError(f"backbone {name!r} has no default sites")
        for site in sites:
            shapes[f"{name} {site.channels}x{site.height}x{site.width}"] = (site.channels, site.height, site.width)
    return shapes


def build_operator(setting: Setting, channels: int, frames: int) -> nn.Module:
    if setting.ratio is None:
        return Copy()
    gate, fuse = FAMILY[setting.module]
    module = GateShiftFuse(channels, frames, ratio=setting.ratio, gate=gate, fuse=fuse, inplace=True)
    set_implementation(module, setting.path)
    return module


def build_task(setting: Setting, shape: tuple[int, int, int], frames: int, device: torch.device) -> Task:
    channels, height, width = shape
    operator = build_operator(setting, channels, frames).to(device).train(setting.mode == "training")
    size = (setting.batch * frames, channels, height, width)
    features = torch.randn(size, device=device, dtype=getattr(torch, setting.precision))
    features = features.contiguous(memory_format=torch.channels_last)
    context = torch.inference_mode if setting.mode == "forward" else nullcontext

    def prepare() -> Tensor:
        features.grad = None
        operator.zero_grad()
        with context():
            return features.clone()

    def forward(x: Tensor) -> Tensor:
        with context(), autocast(device, setting.precision):
            out: Tensor = operator(x)
            return out

    if setting.mode == "forward":
        call = forward
    else:
        features.requires_grad_()
        gradient = torch.randn_like(features)

        def call(x: Tensor) -> Tensor:
            out = forward(x)
            out.backward(gradient)
            return out

    def memory_bytes() -> int | None:
        if device.type == "cuda":
            return cuda_peak_bytes(prepare, call)
        with autocast(device, setting.precision):
            if setting.mode == "training":
                return saved_bytes(Overwritable(operator), features)
            # What is compiled runs otherwise while its tensors are followed.
            return peak_inference_bytes(operator, features.clone()) if setting.path != "compiled" else None

    return Task(prepare, call, memory_bytes)


def main() -> bool:
    parser = parser_of(__doc__, modules=MODULES, rounds=30)
    parser.add_argument("--compiled", action="store_true", help="the compiled path too")
    arguments = parser.parse_args()
    if arguments.compiled:
        arguments.paths.append("compiled")
    device = prepare_run(arguments)
    modules = modules_of(arguments.modules, [name for name in FAMILY if name != "tsn"])
    shapes = shapes_of(arguments.backbones, arguments.resolution)
    groups = [
        [
            Setting(network, "copy", None, "", precision, batch, mode),
            *(Setting(network, *module, path, precision, batch, mode) for module in modules for path in arguments.paths),
        ]
        for network in shapes
        for precision in arguments.precision
        for batch in arguments.batch
        for mode in arguments.modes
    ]

    def build(setting: Setting) -> Task:
        return build_task(setting, shapes[setting.network], arguments.frames, device)

    results, interrupted = measure(groups, build, arguments.rounds, device)

    def over_copy(result: Result) -> str:
        copy = beside(results, result, module="copy", ratio=None, path="")
        return f"{result.median_ms / copy.median_ms:.2f}" if copy else ""

    def speed_up(result: Result) -> str:
        plain = beside(results, result, path="plain")
        return f"{plain.median_ms / result.median_ms:.2f}" if plain else ""

    title = f"The operator alone, {conditions(arguments, device)}"
    show(title, results, {"x copy": over_copy, "x plain": speed_up})
    if arguments.csv is not None:
        write_csv(arguments.csv, results, device_name(device), lambda result: None)
    return interrupted


if __name__ == "__main__":
    sys.exit(run(main))
