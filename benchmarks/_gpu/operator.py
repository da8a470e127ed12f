"""The operator alone: each path on every shape of the paper's networks, with the copy of its bytes beside it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from _gpu.call import Call
from _gpu.page import Lines, cell, find, table
from _gpu.results import Result, Row

_COMPILED = ("gsf", 0.25, "compiled"), ("gsf", 1.0, "compiled")
# In the order in which they are measured and shown.
_COLUMNS = (
    ("copy", None, ""),
    *((module, 0.25, path) for module in ("tsm", "gsm", "gsf") for path in ("plain", "fast")),
    *(("gsf", 1.0, path) for path in ("plain", "fast")),
    *_COMPILED,
)


@dataclass(frozen=True)
class Work:
    """What is measured side by side: everything of one precision and batch, on all shapes, forward or in training."""

    precision: str
    batch: int
    mode: str
    columns: tuple[Any, ...]


def plan(*, is_small: bool) -> list[Work]:
    """The most important first."""
    if is_small:
        return [Work("float32", 1, mode, _COLUMNS[:-2]) for mode in ("forward", "training")]
    eager, compiled = (_COLUMNS[:-2], (("copy", None, ""), *_COMPILED))
    first = [Work("bfloat16", 16, mode, columns) for columns in (eager, compiled) for mode in ("forward", "training")]
    others = (("float16", 16), ("float32", 16), ("bfloat16", 1), ("float16", 1))
    return [*first, *(Work(*other, mode, eager) for other in others for mode in ("forward", "training"))]


def run(call: Call) -> None:
    from _measure import Result as Timed
    from _measure import Setting, allow_recompiling, beside, measure
    from temporal_operator import build_task, shapes_of

    frames = _frames(is_small=call.is_small)
    shapes = shapes_of(["micro"] if call.is_small else ["resnet50", "bninception"], 32 if call.is_small else 224)
    allow_recompiling()
    timed: list[Timed] = []
    for work in plan(is_small=call.is_small):
        for network, shape in shapes.items():
            title = f"{network}, {work.mode}, {work.precision}, {work.batch} clips, {work.columns[-1][2]}"
            if not call.has(2 + 10 * sum(path == "compiled" for _, _, path in work.columns), title):
                continue
            call.say(title)
            group = [Setting(network, *column, work.precision, work.batch, work.mode) for column in work.columns]

            def build(setting: Setting, shape: tuple[int, int, int] = shape) -> Any:
                return build_task(setting, shape, frames, call.device)

            try:
                found, _ = measure([group], build, 1 if call.is_small else 20, call.device)
            except RuntimeError as error:
                call.note(f"{title}: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
                call.free()
                continue
            timed += found
            for result in found:
                copy, plain = (
                    beside(timed, result, **changes)
                    for changes in ({"module": "copy", "ratio": None, "path": ""}, {"path": "plain"})
                )
                call.add(_row(result, copy, plain))
            call.free()


def _frames(*, is_small: bool) -> int:
    return 2 if is_small else 8


def _row(result: Any, copy: Any, plain: Any) -> Row:
    setting = result.setting
    return {
        "shape": setting.network,
        "module": setting.module,
        "ratio": setting.ratio,
        "path": setting.path,
        "precision": setting.precision,
        "batch": setting.batch,
        "mode": setting.mode,
        "median_ms": result.median_ms,
        "times_copy": result.median_ms / copy.median_ms if copy else None,
        "times_faster_than_plain": plain.median_ms / result.median_ms if plain else None,
        "memory_mb": result.memory_mb,
    }


def section(result: Result) -> Lines:
    works = {replace(work, columns=()) for work in plan(is_small=result.is_small)}
    shapes = list(dict.fromkeys(row["shape"] for row in result.rows))
    for work in sorted(works, key=lambda work: (work.precision, -work.batch, work.mode)):
        clips = f"{work.batch} clip{'s' * (work.batch != 1)} of {_frames(is_small=result.is_small)} frames"
        yield from (f"{work.mode}, {work.precision}, {clips}, ms (times the copy):", "")
        yield from table(("shape", *map(_name, _COLUMNS)), _lines(result.rows, work, shapes))


def _lines(rows: list[Row], work: Work, shapes: list[str]) -> Iterator[list[str]]:
    for shape in shapes:
        line = [shape]
        for module, ratio, path in _COLUMNS:
            wanted = {"shape": shape, "module": module, "ratio": ratio, "path": path, "mode": work.mode}
            found = find(rows, precision=work.precision, batch=work.batch, **wanted)
            times = "" if found is None or module == "copy" else f" ({cell(found, 'times_copy', 1)})"
            line.append(f"{cell(found, 'median_ms', 3)}{times}")
        yield line


def _name(column: tuple[str, float | None, str]) -> str:
    module, ratio, path = column
    return module if ratio is None else f"{module} {ratio:.0%} {path}"
