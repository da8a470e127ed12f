"""How long whole networks take with a temporal module at each default site, beside TSN, the network without any.

python benchmarks/networks.py --csv networks.csv

Networks as ``build_model`` makes them, with one head of 174 classes, in channels_last: TSN, TSM, GSM and GSF on a quarter of
the channels, GSF on all of them (``gsf:1``), each on the plain path and the fast one. ``tsm-published`` stands where TSM's
authors put it, before the first convolution of each residual block; the others stand after the default sites.
Forward is in inference mode. Training is one step: forward in training mode, cross-entropy, backward, SGD with momentum.

``over_tsn`` is the ratio of the two medians in one run, ``quartiles`` are those of the ratio round by round. ``memory_mb``: on
a CPU, forward, the parameters, input and features alive at the peak; training, what autograd keeps for the backward pass, per
clip, parameters not counted. On CUDA what a run allocates at its peak beyond weights and input. Empty where it could not be
measured. ``--keep-memory`` leaves out of all times the page faults of memory that is new to the process; users have them.
At 8 x 224 x 224 on a CPU the bars that the project has set itself are printed next to what was measured.

About a quarter of an hour on two cores, 8 minutes with ``--rounds 9``. ``path`` is ``plain+compile`` for a network under
torch.compile, where the operator has no other, and ends in ``+graph`` for a forward pass or a training step replayed as a
CUDA graph; each is divided by TSN run likewise. On CUDA float16 is trained
without a loss scaler, which changes the numbers but hardly the time, and SGD is one kernel.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from _measure import (
    Result,
    Setting,
    Task,
    allow_recompiling,
    autocast,
    beside,
    conditions,
    cuda_peak_bytes,
    device_name,
    distinct,
    measure,
    modules_of,
    parser_of,
    prepare_run,
    print_wide,
    run,
    show,
    write_csv,
)
from rich.table import Table
from torch import Tensor

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate, Site
from gsfnas.compiling import COMPILE_OPTIONS
from gsfnas.cost import peak_inference_bytes, saved_bytes
from gsfnas.errors import UserError, unknown
from gsfnas.model import VideoModel, build_model
from gsfnas.modules import resolve
from gsfnas.modules.gate_shift_fuse import set_implementation

CLASSES = 174  # Something-Something's
MODULES = ("tsn", "tsm", "tsm-published", "gsm", "gsf", "gsf:1")
NAMES = ("tsn", "tsm", "tsm-published", "gsm", "gsf")
EXECUTIONS = ("eager", "compile", "graph")


@dataclass(frozen=True)
class Bar:
    """At most so many times TSN, on two CPU cores at 8 x 224 x 224, one clip in float32."""

    network: str
    module: str
    ratio: float
    mode: str
    at_most: float


BARS = (
    Bar("resnet50", "gsf", 0.25, "forward", 1.20),
    Bar("resnet50", "gsf", 1.0, "forward", 1.60),
    Bar("bninception", "gsf", 0.25, "forward", 1.12),
    Bar("bninception", "gsf", 1.0, "forward", 1.12),
    Bar("resnet50", "gsf", 0.25, "training", 1.40),
    Bar("bninception", "gsf", 0.25, "training", 1.40),
    Bar("bninception", "gsf", 1.0, "training", 1.40),
    Bar("resnet50", "tsm", 0.25, "forward", 1.05),
    Bar("bninception", "tsm", 0.25, "forward", 1.05),
    Bar("resnet50", "tsm", 0.25, "training", 1.05),
    Bar("bninception", "tsm", 0.25, "training", 1.05),
)


def sites_of(network: str, resolution: int, module: str) -> list[Site]:
    """Where a module stands in a network; nowhere for TSN, and for tsm-published where there are no residual blocks."""
    sites = backbone_sites(backbone_ref(network), resolution)
    if module == "tsn":
        return []
    if module == "tsm-published":
        return [site for site in sites if (site.kind, site.role) == ("before", "conv1")]
    return [site for site in sites if site.is_default]


def build_network(setting: Setting, frames: int, resolution: int) -> VideoModel:
    name = "tsm" if setting.module == "tsm-published" else setting.module
    insertions = {}
    for site in sites_of(setting.network, resolution, setting.module):
        insertion = resolve(site, {"module": name, "ratio": setting.ratio})
        assert insertion is not None, name
        insertions[site.name] = insertion
    candidate = Candidate(backbone_ref(setting.network), frames, resolution, tuple(insertions.items()))
    model = build_model(candidate, {"class": CLASSES}).to(memory_format=torch.channels_last)
    set_implementation(model, setting.path.partition("+")[0])
    return model


def build_task(setting: Setting, frames: int, resolution: int, device: torch.device) -> Task:
    training = setting.mode == "training"
    path, _, execution = setting.path.partition("+")
    model = build_network(setting, frames, resolution).to(device).train(training)
    images = torch.randn(setting.batch * frames, 3, resolution, resolution, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (setting.batch,), device=device)
    # A rate so low that the weights stay finite over any number of steps on one batch.
    fused = True if device.type == "cuda" else None
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4, fused=fused)
    network: Callable[[Tensor], dict[str, Tensor]] = model
    if execution == "compile":
        network = torch.compile(model, fullgraph=True, options=COMPILE_OPTIONS)

    def forward(_: None, *, cache: bool = True) -> Tensor:
        with nullcontext() if training else torch.inference_mode(), autocast(device, setting.precision, cache=cache):
            return network(images)["class"]

    def step(_: None) -> Tensor:
        with autocast(device, setting.precision):
            loss = F.cross_entropy(network(images)["class"], labels)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss

    call: Callable[[None], object] = step if training else forward
    if execution == "graph":
        call = graph_of(partial(step, None) if training else partial(forward, None, cache=False))

    def memory_bytes() -> int | None:
        if device.type == "cuda":
            # A graph's memory was allocated when it was captured.
            return None if execution == "graph" else cuda_peak_bytes(lambda: None, call)
        if execution or (path == "compiled" and not training):
            # What is compiled runs otherwise while its tensors are followed.
            return None
        with autocast(device, setting.precision):
            return saved_bytes(model, images) // setting.batch if training else peak_inference_bytes(model, images)

    return Task(lambda: None, call, memory_bytes)


def graph_of(work: Callable[[], object]) -> Callable[[None], object]:
    """``work`` captured as a CUDA graph after a few runs on a side stream, as torch asks for; a whole training step too."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = work()

    def replay(_: None) -> object:
        graph.replay()
        return output

    return replay


def over_tsn(results: Sequence[Result], result: Result) -> tuple[float, float, float] | None:
    """The ratio of the medians, and the lower and upper quartile of the ratios of each round."""
    _, plus, execution = result.setting.path.partition("+")
    tsn = beside(results, result, module="tsn", ratio=None, path=f"plain{plus}{execution}")
    if tsn is None:
        return None
    rounds = [mine / its for mine, its in zip(result.times_ms, tsn.times_ms, strict=False)]
    quartiles = statistics.quantiles(rounds, n=4, method="inclusive") if len(rounds) > 1 else rounds * 3
    return result.median_ms / tsn.median_ms, quartiles[0], quartiles[2]


def bars_met(results: Sequence[Result]) -> list[tuple[Bar, str, float]]:
    """Each bar that rows of this run speak to, the row's path and its ratio: every path but the plain one."""
    met = []
    for bar in BARS:
        for result in results:
            setting = result.setting
            where = (setting.network, setting.module, setting.ratio, setting.mode, setting.precision, setting.batch)
            if where != (bar.network, bar.module, bar.ratio, bar.mode, "float32", 1):
                continue
            ratios = over_tsn(results, result)
            if setting.path in ("auto", "fast", "compiled") and ratios is not None:
                met.append((bar, setting.path, ratios[0]))
    return met


def show_bars(met: Sequence[tuple[Bar, str, float]]) -> None:
    threads = torch.get_num_threads()
    table = Table(title="Bars, times TSN", title_justify="left", title_style="")
    for name in ("network", "module", "ratio", "mode", "path", "at most", "measured", ""):
        table.add_column(name, no_wrap=True)
    for bar, path, ratio in met:
        verdict = "met" if ratio <= bar.at_most else f"missed by {ratio - bar.at_most:.3f}"
        table.add_row(bar.network, bar.module, str(bar.ratio), bar.mode, path, f"{bar.at_most:.2f}", f"{ratio:.3f}", verdict)
    print_wide(table)
    if threads != 2:
        print(f"The bars are for 2 threads; this ran with {threads}.")


def main() -> bool:
    parser = parser_of(__doc__, modules=MODULES, rounds=15)
    parser.add_argument(
        "--execution", nargs="+", metavar="NAME", help=f"of {', '.join(EXECUTIONS)}; default: eager; on CUDA all"
    )
    arguments = parser.parse_args()
    device = prepare_run(arguments)
    executions = distinct(arguments.execution or (EXECUTIONS if device.type == "cuda" else EXECUTIONS[:1]))
    for execution in executions:
        if execution not in EXECUTIONS:
            raise unknown("execution", execution, EXECUTIONS)
    if "compile" in executions:
        allow_recompiling()
    if "graph" in executions and device.type != "cuda":
        raise UserError("--execution: a graph can only be made on CUDA")

    modules: dict[str, list[tuple[str, float | None]]] = {}
    for network in arguments.backbones:
        modules[network] = []
        for module, ratio in modules_of(arguments.modules, NAMES):
            if module == "tsn" or sites_of(network, arguments.resolution, module):
                modules[network].append((module, ratio))
            else:
                print(f"{network} has no site for {module}, which is left out", file=sys.stderr)
    groups = [
        [
            Setting(network, module, ratio, path if execution == "eager" else f"{path}+{execution}", precision, batch, mode)
            for module, ratio in modules[network]
            for execution in executions
            # torch.compile is given the plain path whichever is set.
            for path in (["plain"] if module == "tsn" or execution == "compile" else arguments.paths)
        ]
        for network in arguments.backbones
        for precision in arguments.precision
        for batch in arguments.batch
        for mode in arguments.modes
    ]

    def build(setting: Setting) -> Task:
        return build_task(setting, arguments.frames, arguments.resolution, device)

    results, interrupted = measure([group for group in groups if group], build, arguments.rounds, device)

    def ratio_of(result: Result) -> float | None:
        ratios = over_tsn(results, result)
        return ratios[0] if ratios else None

    def quartiles(result: Result) -> str:
        ratios = over_tsn(results, result)
        return f"{ratios[1]:.3f} to {ratios[2]:.3f}" if ratios else ""

    def ratio_cell(result: Result) -> str:
        ratio = ratio_of(result)
        return "" if ratio is None else f"{ratio:.3f}"

    show(f"Whole networks, {conditions(arguments, device)}", results, {"over_tsn": ratio_cell, "quartiles": quartiles})
    if (device.type, arguments.frames, arguments.resolution) == ("cpu", 8, 224) and (met := bars_met(results)):
        show_bars(met)
    if arguments.csv is not None:
        write_csv(arguments.csv, results, device_name(device), ratio_of)
    return interrupted


if __name__ == "__main__":
    sys.exit(run(main))
