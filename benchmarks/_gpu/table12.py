"""Table 12 of the paper: one clip of 8 frames in half precision, TSM and GSF in ResNet-50; measured three times over."""

from collections.abc import Callable, Sequence
from typing import Any

from _gpu.call import Call
from _gpu.page import Lines, cell, find, table
from _gpu.results import Result, Row

_REPEATS = 3
_WAYS = (("fast", "eager"), ("fast", "graph"), ("plain", "eager"), ("plain", "graph"))


def run(call: Call) -> None:
    import torch

    from gsfnas.backbone import backbone_ref, backbone_sites
    from gsfnas.config import load_space
    from gsfnas.cost import measure_latency
    from gsfnas.model import build_model
    from gsfnas.modules.gate_shift_fuse import set_implementation
    from gsfnas.paper import load_table

    paper = load_table(12)
    precision = "float32" if call.is_small else "float16"
    models = {}
    for row in paper.rows:
        if row.reference is None:
            continue
        where = row.reference
        backbone, resolution = backbone_ref(where.backbone), 32 if call.is_small else where.resolution
        frames = 2 if call.is_small else where.frames
        bound: Any = load_space(where.space).bind(
            backbone, backbone_sites(backbone, resolution), frames=frames, resolution=resolution
        )
        candidate = dict(bound.rows)[where.row]
        models[row.name] = build_model(candidate, paper.classes)
    found: dict[tuple[str, str, str], list[Any]] = {}
    # In turns, so that a card that changes its clock rate does so for all.
    for _ in range(_REPEATS):
        for name, model in models.items():
            for path, execution in _WAYS:
                if execution == "graph" and call.device.type != "cuda":
                    continue
                set_implementation(model, path)
                measured = model
                if execution == "graph":
                    measured = _replayed(model.to(call.device), frames, resolution, getattr(torch, precision))
                latency = measure_latency(
                    measured,
                    key=name,
                    frames=frames,
                    resolution=resolution,
                    device=str(call.device),
                    precision=precision,
                    warm_up=1 if call.is_small else 5,
                    runs=3 if call.is_small else 100,
                )
                found.setdefault((name, path, execution), []).append(latency)
    for (name, path, execution), latencies in found.items():
        medians = [latency.median_ms for latency in latencies]
        call.add(
            {
                "network": name,
                "path": path,
                "execution": execution,
                "precision": precision,
                "median_ms": min(medians),
                "low_ms": min(latency.low_ms for latency in latencies),
                "high_ms": max(latency.high_ms for latency in latencies),
                "slowest_over_fastest": max(medians) / min(medians),
                "printed_ms": paper.row(name).printed["latency_ms"],
            }
        )


def _replayed(model: Any, frames: int, resolution: int, dtype: Any) -> Any:
    """A module whose forward pass replays a CUDA graph of one clip's."""
    import torch
    from networks import graph_of

    clip = torch.zeros(1, frames, 3, resolution, resolution, device="cuda")
    model = model.to(memory_format=torch.channels_last).eval()

    def forward() -> Any:
        with torch.inference_mode(), torch.autocast("cuda", dtype, cache_enabled=False):
            return model(clip)

    replay: Callable[[Any], Any] = graph_of(forward)

    class Replay(torch.nn.Module):
        def forward(self, clips: Any) -> Any:
            return replay(None)

    return Replay()


def section(result: Result) -> Lines:
    lines = []
    for name in ("TSM", "GSF"):
        for path, execution in _WAYS:
            found = find(result.rows, network=name, path=path, execution=execution)
            lines.append([f"{name}, {path}, {execution}", *_cells(result.rows, found, path, execution)])
    head = (
        "network",
        "best of three medians, ms",
        "10 %",
        "90 %",
        "slowest median / fastest",
        "x TSM",
        "printed, ms (Titan V)",
        "printed x TSM",
    )
    yield from table(head, lines)


def _cells(rows: Sequence[Row], found: Row | None, path: str, execution: str) -> list[str]:
    tsm = find(rows, network="TSM", path=path, execution=execution)
    own = None if found is None else dict(found)
    if own is not None and tsm is not None:
        own |= {"times": own["median_ms"] / tsm["median_ms"], "printed_times": own["printed_ms"] / tsm["printed_ms"]}
    names = ("median_ms", "low_ms", "high_ms", "slowest_over_fastest", "times", "printed_ms", "printed_times")
    return [cell(own, name) for name in names]
