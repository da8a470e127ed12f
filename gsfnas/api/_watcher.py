"""Progress reports of long operations."""

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
    """Receives progress reports and ignores them; a subclass may show them. A study prints its progress to ``console``."""

    console = Console(quiet=True)

    def say(self, text: str) -> None:
        """Receives a line of text. Control characters from files are already escaped."""

    @contextmanager
    def counting(self, title: str) -> Iterator[OnProgress]:
        """A context for work with countable steps; yields a function to be called with (done, total)."""
        yield lambda done, total: None

    @contextmanager
    def training(self, epochs: int, is_resumed: bool) -> Iterator[tuple[OnSteps, OnMeasurement]]:
        """A context for a training run; yields a function of (steps done, total, text), and one of each epoch's measurement."""
        yield (lambda done, total, text: None), (lambda measurement: None)


class ConsoleWatcher(Watcher):
    """Prints lines to stderr, and shows progress bars if that is a terminal."""

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
        """Prints a line per epoch with the remaining time; on a terminal also shows a progress bar."""
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
    """Prints a line per epoch, with an estimate of the remaining time."""

    def __init__(self, watcher: Watcher, epochs: int, is_resumed: bool) -> None:
        self._watcher, self._epochs, self._is_resumed = watcher, epochs, is_resumed
        self._began, self._first = 0.0, 0

    def __call__(self, measurement: Measurement) -> None:
        epochs, metrics = self._epochs, measurement.metrics
        if not self._first:
            # Time is measured from the first epoch on: before it, the data may have been opened or a checkpoint loaded.
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
