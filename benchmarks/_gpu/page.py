"""The page: what every part found, in Markdown, put together anew after each; what nobody ran says so."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _gpu import PARTS, results
from _gpu.results import Result, Row
from gsfnas.files import write as write_file

NAME = "report.md"
NOT_RUN = "not run"
Lines = Iterator[str]
_BESIDE = ("device", "driver", "CUDA")


@dataclass(frozen=True)
class Bar:
    """What was measured beside the most that it may be; ``goal`` is better still."""

    what: str
    at_most: float
    measured: float | None
    unit: str = ""
    goal: float | None = None

    def __str__(self) -> str:
        asked = f"at most {self.at_most:g}{self.unit}" + ("" if self.goal is None else f" (goal {self.goal:g}{self.unit})")
        if self.measured is None:
            return f"{self.what}: {asked}: {NOT_RUN}"
        verdict = "met" if self.measured <= self.at_most else f"missed by {self.measured - self.at_most:.3g}{self.unit}"
        if self.goal is not None and self.measured <= self.goal:
            verdict = "met, and the goal too"
        return f"{self.what}: {asked}: {self.measured:.4g}{self.unit}, {verdict}"


def write(folder: Path) -> None:
    """Of all results in ``folder``."""
    found = {name: results.read(folder, name) for name in PARTS}
    write_file(folder / NAME, "\n".join(_lines(found)) + "\n")


def summary(name: str, result: Result | None) -> list[str]:
    """What a terminal shows of a part, which has told the rest already: its bars, unless it was a dry run."""
    return [] if result is None or result.is_small else [str(bar) for bar in _bars(name, result)]


def _lines(found: Mapping[str, Result | None]) -> Lines:
    latest = max((result for result in found.values() if result is not None), key=lambda result: result.when, default=None)
    yield from (f"# gsfnas on a GPU: {_title(latest)}", "")
    if latest is not None:
        yield from table(("", ""), [[name, value] for name, value in latest.machine.items()])
        yield "Made by `benchmarks/gpu.py`; the rows of each part are in its CSV file."
        yield ""
    bars = [bar for name, result in found.items() for bar in _bars(name, result)]
    yield from ("## Bars", "", *(f"- {bar}" for bar in bars), "")
    for name, part in PARTS.items():
        result = found[name]
        yield from (f"## {name}: {part.title}", "")
        if result is None:
            yield from (f"{NOT_RUN}", "")
            continue
        other = "" if latest is None or result.machine == latest.machine else f" on {_briefly(result.machine)}"
        yield from (f"{result.ended}; {result.seconds:.0f} s, {result.when}{other}", "")
        yield from _module(name).section(result)
        yield ""
        yield from (f"- {note}" for note in result.notes)
        yield ""


def _title(latest: Result | None) -> str:
    if latest is None:
        return "no card yet"
    return "a dry run on the CPU, in which nothing is measured" if latest.is_small else latest.machine["device"]


def _bars(name: str, result: Result | None) -> list[Bar]:
    """Those of a part; without a result each of them says that it was not run."""
    bars: Callable[[Sequence[Row]], list[Bar]] | None = getattr(_module(name), "bars", None)
    if bars is None:
        return []
    return bars([] if result is None or result.is_small else result.rows)


def _module(name: str) -> Any:
    return importlib.import_module(f"_gpu.{name}")


def _briefly(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{machine[name]}" for name in _BESIDE if name in machine)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    """A Markdown table; the first column is text, the others are right-aligned."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' + '---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def cell(row: Row | None, name: str, digits: int = 2) -> str:
    """A number of a row, empty where it has none; or that nobody ran it."""
    value = NOT_RUN if row is None else row.get(name)
    if value is None:
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def find(rows: Iterable[Row], **wanted: object) -> Row | None:
    """The first row whose cells are these."""
    return next((row for row in rows if all(row.get(name) == value for name, value in wanted.items())), None)
