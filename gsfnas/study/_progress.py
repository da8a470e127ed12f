"""Shows the progress of a running study: progress bars on a terminal, and a line per run."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric, accuracy_of
from gsfnas.record import Record, best
from gsfnas.study._worker import Event


class StudyProgress:
    """Shows the number of runs, the current run of each worker, the best result so far and the estimated time left.

    ``num_left(records)`` is the number of runs that remain, given the records so far. ``names`` maps the keys of named
    candidates to their names. One line per run is printed whether or not the console is a terminal.
    """

    def __init__(
        self,
        console: Console,
        records: Sequence[Record],
        num_left: Callable[[Sequence[Record]], int],
        workers: int,
        names: Mapping[str, str],
        objectives: Sequence[Metric] = DEFAULT_OBJECTIVES,
    ) -> None:
        self.console = console
        self._names, self._objectives = names, objectives
        self._known = {(record.candidate, record.seed): record for record in records}
        self._num_left, self._workers = num_left, workers
        self._began: dict[int, float] = {}
        self._durations: list[float] = []
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), console=console, transient=True
        )
        self._study: TaskID | None = None
        self._rows: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bars.start()
            self._study = self._bars.add_task("study", note="")
            self._refresh()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._study is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    def on_event(self, worker: int, event: Event) -> None:
        """Handles an event of a worker."""
        if event.kind == "begin" and event.record is not None:
            self._began[worker] = time.monotonic()
            self._known[event.record.candidate, event.record.seed] = event.record
            if event.record.curve:
                self.say(f"{self._title(event.record)} goes on after epoch {event.record.curve[-1].epoch}")
            self._show(worker, self._title(event.record), 0, event.total, "")
        elif event.kind == "progress":
            self._show(worker, None, event.done, event.total, event.text)
        elif event.record is not None:
            began = self._began.pop(worker, time.monotonic())
            if event.record.source is None:
                self._durations.append(time.monotonic() - began)
            self._known[event.record.candidate, event.record.seed] = event.record
            self.say(self._line(event.record))
        self._refresh()

    @property
    def seconds_left(self) -> float | None:
        """Remaining runs x mean duration of this call's runs / workers; None before the first run has ended."""
        if not self._durations:
            return None
        mean = sum(self._durations) / len(self._durations)
        return self._num_left(list(self._known.values())) * mean / self._workers

    def _line(self, record: Record) -> str:
        ended = sum(known.outcome != "running" for known in self._known.values())
        left = self._num_left(list(self._known.values()))
        result = record.error or ""
        if record.outcome == "complete":
            took = f"{record.seconds:.0f} s" if record.source is None else f"from study {record.source}"
            result = "  ".join([*(metric.said(record.value(metric), width=6) for metric in self._objectives), took])
        parts = [f"[{ended}/{ended + left}] {self._title(record)}: {result}", self._best(), self._time_left(left)]
        return "; ".join(part for part in parts if part)

    def _title(self, record: Record) -> str:
        replicate = f" {record.replicate + 1}" if record.replicate else ""
        modules = len(record.candidate.insertions)
        name = self._names.get(record.candidate.key, record.candidate.key)
        return f"{record.phase}{replicate} {name} ({modules} module{'' if modules == 1 else 's'})"

    def _best(self) -> str:
        top = best((record for record in self._known.values() if record.phase != "replicate"), self._objectives)
        accuracy = accuracy_of(self._objectives)
        return f"best {accuracy.said(top.value(accuracy))}" if top else ""

    def _time_left(self, left: int) -> str:
        seconds = self.seconds_left
        return f"about {duration(seconds)} left" if left and seconds is not None else ""

    def _show(self, worker: int, title: str | None, done: int, total: int, note: str) -> None:
        if not self.console.is_terminal:
            return
        if worker not in self._rows:
            self._rows[worker] = self._bars.add_task("", note="")
        self._bars.update(self._rows[worker], completed=done, total=total or None, note=escape(note))
        if title is not None:
            self._bars.update(self._rows[worker], description=escape(title))

    def _refresh(self) -> None:
        if self._study is None:
            return
        ended = sum(known.outcome != "running" for known in self._known.values())
        left = self._num_left(list(self._known.values()))
        note = "; ".join(part for part in (f"{ended}/{ended + left} runs", self._best(), self._time_left(left)) if part)
        self._bars.update(self._study, completed=ended, total=ended + left, note=note)


def duration(seconds: float) -> str:
    """Formats a time in seconds: 40 s, 12 min, 3 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
