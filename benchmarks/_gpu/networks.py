"""Whole networks: GSF, GSM and TSM beside TSN, forward and training, eager, compiled and as CUDA graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from _gpu.call import Call
from _gpu.page import Bar, Lines, cell, find, table
from _gpu.results import Result, Row

EXECUTIONS = ("eager", "graph", "compile")
_MODULES = (("tsn", None), ("tsm", 0.25), ("gsm", 0.25), ("gsf", 0.25))
_BARS = (("forward", 1.10, 1.05), ("training", 1.15, None))
_BAR_AT = {"network": "resnet50", "precision": "bfloat16", "batch": 16}
_SECONDS = {"eager": 15, "graph": 25, "compile": 150}


@dataclass(frozen=True)
class Work:
    """What is measured side by side, a row of the page."""

    network: str
    resolution: int
    precision: str
    batch: int
    mode: str
    execution: str

    @property
    def columns(self) -> list[tuple[str, float | None, str]]:
        """(module, ratio, path): torch.compile is given the plain path whichever is set, and takes long."""
        if self.execution == "compile":
            return [(module, ratio, "plain") for module, ratio in _MODULES if module != "gsm"]
        paths = {module: ("plain",) if module == "tsn" else ("fast", "plain") for module, _ in _MODULES}
        return [(module, ratio, path) for module, ratio in _MODULES for path in paths[module]]


def plan(*, is_small: bool) -> list[Work]:
    """The most important first: what the bars ask, then one clip, half precision of the other kind, small networks."""
    modes = ("forward", "training")
    if is_small:
        return [Work("micro", 32, "float32", 1, mode, "eager") for mode in modes]
    resnet = [
        Work("resnet50", 224, precision, batch, mode, execution)
        for precision in ("bfloat16", "float16")
        for batch in (16, 1)
        for execution in ("eager", "graph")
        for mode in modes
    ]
    micro = [Work("micro", 32, "bfloat16", 24, mode, execution) for execution in ("eager", "graph") for mode in modes]
    compiled = [Work("resnet50", 224, "bfloat16", 16, mode, "compile") for mode in modes]
    inception = [Work("bninception", 224, "bfloat16", 16, mode, "eager") for mode in modes]
    rest = [Work("resnet50", 224, *each, mode, "compile") for each in (("bfloat16", 1), ("float16", 16)) for mode in modes]
    return [*resnet[:8], *micro, *compiled, *resnet[8:], *inception, *rest]


def run(call: Call) -> None:
    import torch
    from _measure import Setting, allow_recompiling, measure
    from networks import build_task, over_tsn

    allow_recompiling()
    frames = 2 if call.is_small else 8
    for work in plan(is_small=call.is_small):
        title = f"{work.network}, {work.mode}, {work.precision}, {work.batch} clips, {work.execution}"
        if not call.has(1 if call.is_small else _SECONDS[work.execution], title):
            continue
        call.say(title)
        added = "" if work.execution == "eager" else f"+{work.execution}"
        settings = [
            Setting(work.network, module, ratio, f"{path}{added}", work.precision, work.batch, work.mode)
            for module, ratio, path in work.columns
        ]

        def build(setting: Setting, resolution: int = work.resolution) -> Any:
            return build_task(setting, frames, resolution, call.device)

        # A graph keeps the memory of its step, so that each is measured alone; the others take turns.
        groups = [[setting] for setting in settings] if work.execution == "graph" else [settings]
        found: list[Any] = []
        for group in groups:
            try:
                timed, _ = measure([group], build, 1 if call.is_small else 15, call.device)
                found += timed
            except (torch.OutOfMemoryError, RuntimeError) as error:
                names = ", ".join(f"{setting.module} {setting.path}" for setting in group)
                call.note(f"{title}, {names}: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
            call.free()
        for result in found:
            ratios = over_tsn(found, result)
            call.add(_row(work, result, None if ratios is None else ratios[0]))


def _row(work: Work, result: Any, over_tsn: float | None) -> Row:
    setting = result.setting
    return {
        "network": work.network,
        "module": setting.module,
        "ratio": setting.ratio,
        "path": setting.path.partition("+")[0],
        "execution": work.execution,
        "precision": work.precision,
        "batch": work.batch,
        "mode": work.mode,
        "median_ms": result.median_ms,
        "over_tsn": over_tsn,
        "memory_mb": result.memory_mb,
    }


def _times_tsm(rows: Sequence[Row], work: dict[str, Any], path: str) -> float | None:
    """GSF on a quarter of the channels, times TSM on the same path."""
    gsf, tsm = (find(rows, module=module, ratio=0.25, path=path, **work) for module in ("gsf", "tsm"))
    return None if gsf is None or tsm is None else gsf["median_ms"] / tsm["median_ms"]


def bars(rows: Sequence[Row]) -> list[Bar]:
    """GSF beside TSM on ResNet-50 with 16 clips in bf16, in each way that a network is run."""
    found = []
    for mode, at_most, goal in _BARS:
        for execution in EXECUTIONS:
            path = "plain" if execution == "compile" else "fast"
            measured = _times_tsm(rows, {**_BAR_AT, "mode": mode, "execution": execution}, path)
            found.append(Bar(f"GSF, ResNet-50, {mode}, 16 clips, bf16, {execution}", at_most, measured, " x TSM", goal))
    return found


def section(result: Result) -> Lines:
    columns = Work("", 0, "", 0, "", "eager").columns
    yield from ("ms (times TSN run likewise); GSF / TSM on the fast path, compiled on the plain one:", "")
    names = [module if ratio is None else f"{module} {path}" for module, ratio, path in columns]
    lines = []
    for work in plan(is_small=result.is_small):
        here = {name: getattr(work, name) for name in ("network", "precision", "batch", "mode", "execution")}
        line = [f"{work.network} {work.mode}, {work.precision}, {work.batch}, {work.execution}"]
        for module, ratio, path in columns:
            found = find(result.rows, module=module, ratio=ratio, path=path, **here)
            times = "" if found is None or module == "tsn" else f" ({cell(found, 'over_tsn')})"
            line.append(f"{cell(found, 'median_ms')}{times}" if (module, ratio, path) in work.columns else "")
        times = _times_tsm(result.rows, here, "plain" if work.execution == "compile" else "fast")
        lines.append([*line, cell(None if times is None else {"times": times}, "times")])
    yield from table(("network, mode, precision, clips, execution", *names, "GSF / TSM"), lines)
