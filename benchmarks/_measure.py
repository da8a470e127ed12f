"""What the scripts here share: interleaved timing, the table, the CSV, and mistakes said in one line."""

import argparse
import csv
import ctypes
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gsfnas.errors import UserError, unknown
from gsfnas.modules.gate_shift_fuse import IMPLEMENTATIONS

COLUMNS = (
    "network",
    "module",
    "ratio",
    "path",
    "device",
    "precision",
    "batch",
    "mode",
    "median_ms",
    "over_tsn",
    "memory_mb",
)
MODES = ("forward", "training")
PRECISIONS = ("float32", "bfloat16", "float16")
WARM_UP = 2

# timm and fvcore call torch.jit, which torch deprecates; the scripts import them after this.
warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)


@dataclass(frozen=True)
class Setting:
    """What is timed: the columns of the CSV that say so."""

    network: str
    module: str
    ratio: float | None
    path: str
    precision: str
    batch: int
    mode: str


@dataclass(frozen=True)
class Task:
    """``call(prepare())`` is one run, of which ``call`` alone is timed; ``memory_bytes`` gives None where none was measured."""

    prepare: Callable[[], Any]
    call: Callable[[Any], object]
    memory_bytes: Callable[[], int | None]


@dataclass
class Result:
    """Times by round, the same rounds for all settings of a group."""

    setting: Setting
    times_ms: list[float] = field(default_factory=list)
    memory_mb: float | None = None

    @property
    def median_ms(self) -> float:
        return statistics.median(self.times_ms)


def measure(
    groups: Sequence[Sequence[Setting]], build: Callable[[Setting], Task], rounds: int, device: torch.device
) -> tuple[list[Result], bool]:
    """What was measured, and whether Ctrl-C ended it.

    In every round each setting of a group runs once, starting from the next one each time. The first rounds warm up and are
    not counted.
    """
    results: list[Result] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left:"), TimeRemainingColumn())
    total = sum(map(len, groups)) * (WARM_UP + rounds)
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=120) as progress:
        bar = progress.add_task("", total=total)
        try:
            for group in groups:
                progress.update(bar, description=f"{group[0].network} {group[0].mode}")
                tasks = [build(setting) for setting in group]
                times = [Result(setting) for setting in group]
                results += times
                for turn in range(WARM_UP + rounds):
                    for place in range(len(group)):
                        index = (turn + place) % len(group)
                        took = _time_ms(tasks[index], device)
                        if turn >= WARM_UP:
                            times[index].times_ms.append(took)
                        elif turn == 0:
                            times[index].memory_mb = _megabytes(tasks[index].memory_bytes())
                        progress.advance(bar)
        except KeyboardInterrupt:
            return [result for result in results if result.times_ms], True
    return results, False


def beside(results: Sequence[Result], result: Result, **changes: Any) -> Result | None:
    """The result of the setting that differs from this one's by ``changes``, if it was measured."""
    wanted = replace(result.setting, **changes)
    return next((other for other in results if other.setting == wanted), None)


def _time_ms(task: Task, device: torch.device) -> float:
    prepared = task.prepare()
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        output = task.call(prepared)
        end.record()
        torch.cuda.synchronize(device)
        del output
        return start.elapsed_time(end)
    begin = time.perf_counter()
    output = task.call(prepared)
    took = (time.perf_counter() - begin) * 1e3
    del output
    return took


def _megabytes(num_bytes: int | None) -> float | None:
    return None if num_bytes is None else num_bytes / 1e6


def cuda_peak_bytes(prepare: Callable[[], Any], call: Callable[[Any], object]) -> int:
    """What one run allocates at its peak beyond what was allocated before it, weights and inputs for instance."""
    prepared = prepare()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call(prepared)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def allow_recompiling() -> None:
    """Many networks in one process are as many versions of one function: past eight, torch would run it uncompiled."""
    import torch._dynamo  # takes a second, and only what is compiled needs it

    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 4096


def autocast(device: torch.device, precision: str, *, cache: bool = True) -> AbstractContextManager[Any]:
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision), cache_enabled=cache)


def show(title: str, results: Sequence[Result], extra: Mapping[str, Callable[[Result], str]]) -> None:
    """Prints a row for each result; ``extra`` gives the columns of one script alone."""
    table = Table(title=title, title_justify="left", title_style="")
    settings = ("network", "module", "ratio", "path", "precision", "batch", "mode")
    for name in (*settings, "rounds", "median_ms", *extra, "memory_mb"):
        table.add_column(name, justify="left" if name in settings else "right", no_wrap=True)
    for result in results:
        table.add_row(
            *(_cell(getattr(result.setting, name)) for name in settings),
            str(len(result.times_ms)),
            f"{result.median_ms:.2f}",
            *(cell(result) for cell in extra.values()),
            "" if result.memory_mb is None else f"{result.memory_mb:.2f}",
        )
    print_wide(table)


def print_wide(table: Table) -> None:
    """At full width where it goes to a file or a pipe, which would count as 80 columns."""
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def write_csv(file: Path, results: Sequence[Result], device: str, over_tsn: Callable[[Result], float | None]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for result in results:
            setting, ratio = result.setting, over_tsn(result)
            writer.writerow(
                (
                    setting.network,
                    setting.module,
                    _cell(setting.ratio),
                    setting.path,
                    device,
                    setting.precision,
                    setting.batch,
                    setting.mode,
                    f"{result.median_ms:.4f}",
                    "" if ratio is None else f"{ratio:.4f}",
                    "" if result.memory_mb is None else f"{result.memory_mb:.4f}",
                )
            )


def _cell(value: object) -> str:
    return "" if value is None else str(value)


class Parser(argparse.ArgumentParser):
    """A mistake is raised as UserError, so that it is said in one line like any other."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parser_of(doc: str, *, modules: Sequence[str], rounds: int) -> Parser:
    """The options that all scripts have; ``doc`` is the script's own description."""
    parser = Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["resnet50", "bninception"], metavar="NAME")
    parser.add_argument("--modules", nargs="+", default=list(modules), metavar="NAME[:RATIO]", help="default: %(default)s")
    parser.add_argument(
        "--paths", nargs="+", default=["plain", "fast"], metavar="PATH", help=f"of {', '.join(IMPLEMENTATIONS)}"
    )
    parser.add_argument("--modes", nargs="+", default=list(MODES), metavar="MODE", help=f"of {', '.join(MODES)}")
    parser.add_argument("--rounds", type=positive, default=rounds, help=f"counted ones, after {WARM_UP} to warm up")
    parser.add_argument("--frames", type=positive, default=8)
    parser.add_argument("--resolution", type=positive, default=224)
    parser.add_argument("--batch", nargs="+", type=positive, metavar="CLIPS", help="clips a run; default: 1; on CUDA 1 and 16")
    parser.add_argument("--threads", type=positive, help="of the CPU; default: what torch takes")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:0; default: cpu")
    parser.add_argument(
        "--precision", nargs="+", metavar="NAME", help=f"of {', '.join(PRECISIONS)}; default: float32; on CUDA all"
    )
    parser.add_argument(
        "--keep-memory",
        action="store_true",
        help="freed memory stays with the process (CPU, glibc): no page faults in the times",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the results there too")
    return parser


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, but got {text!r}")
    return int(text)


def prepare_run(arguments: argparse.Namespace) -> torch.device:
    """Checks what all scripts take, fills in what depends on the device and sets torch up. Raises UserError."""
    try:
        device = torch.device(arguments.device)
    except RuntimeError:
        raise unknown("device", arguments.device, ("cpu", "cuda")) from None
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise unknown("device", arguments.device, ("cpu", "cuda"))
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise UserError(f"there is no device {arguments.device} here")
    cuda = device.type == "cuda"
    arguments.batch = distinct(arguments.batch or ([1, 16] if cuda else [1]))
    arguments.precision = distinct(arguments.precision or (PRECISIONS if cuda else PRECISIONS[:1]))
    for kind, names, choices in (
        ("path", arguments.paths, IMPLEMENTATIONS),
        ("mode", arguments.modes, MODES),
        ("precision", arguments.precision, PRECISIONS),
    ):
        for name in names:
            if name not in choices:
                raise unknown(kind, name, choices)
    arguments.backbones, arguments.paths, arguments.modes = map(
        distinct, (arguments.backbones, arguments.paths, arguments.modes)
    )
    if arguments.csv is not None and not arguments.csv.parent.is_dir():
        raise UserError(f"--csv: there is no folder {str(arguments.csv.parent)!r}")
    if arguments.csv is not None and arguments.csv.is_dir():
        raise UserError(f"--csv: {str(arguments.csv)!r} is a folder")
    if arguments.keep_memory:
        _keep_memory()
    if "compiled" in arguments.paths:
        allow_recompiling()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if device.index is not None:
        torch.cuda.set_device(device)
    torch.manual_seed(0)
    return device


def _keep_memory() -> None:
    """Tells glibc to map no block by itself and to give none back, for otherwise large tensors are faulted in page by page."""
    mmap_max, trim_threshold = -4, -1
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None or not (mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1)):
        raise UserError("--keep-memory: the C library must be glibc")


def distinct(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def modules_of(texts: Sequence[str], choices: Sequence[str]) -> list[tuple[str, float | None]]:
    """``NAME[:RATIO]`` to (name, ratio); a quarter where none is given, none for tsn. Raises UserError."""
    modules: list[tuple[str, float | None]] = []
    for text in texts:
        name, _, ratio = text.partition(":")
        if name not in choices:
            raise unknown("module", name, choices)
        try:
            modules.append((name, None if name == "tsn" else float(ratio or 0.25)))
        except ValueError:
            raise UserError(f"module {text!r}: the ratio must be a number, but got {ratio!r}") from None
        if modules[-1][1] is not None and not 0 < modules[-1][1] <= 1:
            raise UserError(f"module {text!r}: the ratio must be in (0, 1], but got {ratio}")
    return distinct(modules)


def conditions(arguments: argparse.Namespace, device: torch.device) -> str:
    where = device_name(device) if device.type == "cuda" else f"cpu, threads: {torch.get_num_threads()}"
    kept = ", freed memory kept" if arguments.keep_memory else ""
    return f"{arguments.frames} x {arguments.resolution} x {arguments.resolution}, {where}{kept}, torch {torch.__version__}"


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def run(main: Callable[[], bool]) -> int:
    """The exit code: 2 for a mistake of the user's, said in one line; 130 where Ctrl-C ended it (``main`` returns True)."""
    try:
        return 130 if main() else 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
