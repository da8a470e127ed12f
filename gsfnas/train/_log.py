"""The log of a run: a CSV file with one line per epoch and, if TensorBoard is installed, events with the same numbers."""

import csv
import importlib.util
import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from gsfnas.evaluators.base import Measurement
from gsfnas.files import read_text
from gsfnas.train._checkpoint import remove_partial

LOG = "log.csv"
EVENTS = "tensorboard"
INSTALL = 'pip install "gsfnas[tensorboard]"'


class RunLog:
    """Writes the log into a run's folder. An epoch that is reported again after an interruption is logged once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = _read(folder / LOG)
        self._writer: Any = None
        self._has_tensorboard = importlib.util.find_spec("tensorboard") is not None
        if not self._has_tensorboard:
            # Printed to standard error unless logging is configured.
            logging.getLogger("gsfnas").warning("TensorBoard is not installed, so the run keeps %s alone: %s", LOG, INSTALL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, measurement: Measurement) -> None:
        """Adds an epoch. Later epochs in the log are left from a run that was since restarted, and are removed."""
        is_new = measurement.epoch not in self._rows
        self._rows = {epoch: row for epoch, row in self._rows.items() if epoch < measurement.epoch}
        self._rows[measurement.epoch] = {name: repr(value) for name, value in measurement.metrics.items()}
        self._write()
        if is_new and self._has_tensorboard:
            self._add_to_tensorboard(measurement)

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self._rows.values() for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, ["epoch", *names], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"epoch": epoch, **row} for epoch, row in self._rows.items())
        remove_partial(self.folder / LOG)
        partial = self.folder / f"{LOG}.{os.getpid()}.partial"
        partial.write_text(text.getvalue(), encoding="utf-8")
        partial.replace(self.folder / LOG)

    def _add_to_tensorboard(self, measurement: Measurement) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:
            # Events of this epoch and later ones are left from a run that was since restarted: TensorBoard drops them.
            self._writer = SummaryWriter(str(self.folder / EVENTS), purge_step=measurement.epoch)
        for name, value in measurement.metrics.items():
            kind, _, what = name.partition("_")
            tag = f"{kind}/{what}" if kind in ("train", "val", "test") else name
            self._writer.add_scalar(tag, value, measurement.epoch)
        self._writer.flush()


def _read(path: Path) -> dict[int, Mapping[str, str]]:
    """The rows of a log by epoch; empty if it cannot be read."""
    try:
        rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
        return {int(row.pop("epoch")): {name: value for name, value in row.items() if value} for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
        return {}
