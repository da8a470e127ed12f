"""What long work tells while it goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from gsfnas.evaluators import Measurement

OnProgress = Callable[[int, int], None]
OnSteps = Callable[[int, int, str], None]
OnMeasurement = Callable[[Measurement], None]


class Watcher:
    """Tells nobody; a subclass shows what it likes. ``console`` is where the progress of a study goes."""

    console = Console(quiet=True)

    def say(self, text: str) -> None:
        """A line of news. What comes from files is printable already."""

    @contextmanager
    def counting(self, title: str) -> Iterator[OnProgress]:
        """Work whose steps are counted: what it gives is called with (done, total)."""
        yield lambda done, total: None

    @contextmanager
    def training(self, epochs: int, is_resumed: bool) -> Iterator[tuple[OnSteps, OnMeasurement]]:
        """One run: what it gives is called with (steps done, total, text), and with the measurement of each epoch."""
        yield (lambda done, total, text: None), (lambda measurement: None)


class ConsoleWatcher(Watcher):
    """Tells people on stderr: lines, and bars where that is a terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def counting(self, title: str) -> Iterator[OnProgress]:
        if not self.console.is_terminal:
            yield lambda done, total: None
            return
        from rich.progress import Progress

        with Progress(console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    @contextmanager
    def training(self, epochs: int, is_resumed: bool) -> Iterator[tuple[OnSteps, OnMeasurement]]:
        """A bar with an estimate on a terminal; everywhere a line an epoch with what is left."""
        on_measurement = _Epochs(self, epochs, is_resumed)
        if not self.console.is_terminal:
            yield (lambda done, total, text: None), on_measurement
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
        with Progress(*columns, console=self.console, transient=True, speed_estimate_period=600) as bar:
            task = bar.add_task("training", total=None)
            yield (lambda done, total, text: bar.update(task, completed=done, total=total, description=text)), on_measurement


class _Epochs:
    """A line an epoch, with an estimate of the time that is left."""

    def __init__(self, watcher: Watcher, epochs: int, is_resumed: bool) -> None:
        self._watcher, self._epochs, self._is_resumed = watcher, epochs, is_resumed
        self._began, self._first = 0.0, 0

    def __call__(self, measurement: Measurement) -> None:
        epochs, metrics = self._epochs, measurement.metrics
        if not self._first:
            # What came before it may be the opening of the data, or a checkpoint.
            self._began, self._first = time.monotonic(), measurement.epoch
            if self._is_resumed and not measurement.is_last:
                self._watcher.say(f"going on after epoch {self._first} of {epochs}")
                return
        done = measurement.epoch - self._first
        left = (time.monotonic() - self._began) / max(done, 1) * (epochs - measurement.epoch)
        parts = f", in {int(metrics['accumulate'])} parts" if "accumulate" in metrics else ""
        test = f", test {metrics['test_top1']:.1%}" if "test_top1" in metrics else ""
        estimate = f", about {_duration(left)} left" if done and measurement.epoch < epochs else ""
        self._watcher.say(
            f"epoch {measurement.epoch}/{epochs}: loss {metrics['train_loss']:.3f}, val {metrics['val_top1']:.1%}{test}, "
            f"{metrics['seconds']:.0f} s{parts}{estimate}"
        )


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
