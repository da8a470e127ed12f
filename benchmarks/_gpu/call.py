"""One call of a part: its device, its time, and the rows that it has found so far, saved as they come."""

import datetime
import gc
import importlib
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

from _gpu import PARTS, machine, results
from _gpu.results import Result, Row
from gsfnas.errors import one_line

_SAVE_SECONDS = 1.0

# timm and fvcore call torch.jit, which torch deprecates.
warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)


class Call:
    """What ``run(call)`` of a part is given. ``is_small``: on the CPU, as little as shows that all of it runs."""

    def __init__(self, result: Result, folder: Path, seconds: float) -> None:
        self.result, self.folder, self.is_small = result, folder, result.is_small
        self.device = torch.device("cpu") if result.is_small else torch.device("cuda", 0)
        self._began, self._seconds, self._saved = time.monotonic(), seconds, 0.0

    @property
    def left(self) -> float:
        """Seconds until the part should stop with what it has."""
        return self._seconds - (time.monotonic() - self._began)

    def has(self, seconds: float, what: str) -> bool:
        """Whether there is time for ``what``, which takes about that long; otherwise it is noted as not run."""
        if self.left >= seconds:
            return True
        self.note(f"not run for want of time: {what}")
        return False

    def add(self, row: Row) -> None:
        self.result.rows.append(row)
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def note(self, text: str) -> None:
        if text not in self.result.notes:
            print(f"{self.result.part}: {text}", file=sys.stderr, flush=True)
            self.result.notes.append(text)

    def say(self, text: str) -> None:
        print(f"{self.result.part}: {text} ({self.left:.0f} s left)", file=sys.stderr, flush=True)

    def save(self) -> None:
        self._saved = time.monotonic()
        self.result.seconds = round(self._saved - self._began, 1)
        results.save(self.result, self.folder)

    def free(self) -> None:
        """Gives back what the last piece of work held."""
        if "torch._dynamo" in sys.modules:
            torch.compiler.reset()  # what was compiled holds on to its networks
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def run(name: str, folder: Path, *, is_small: bool, seconds: float) -> int:
    """Runs a part and saves its result, however it ends; 1 where it failed."""
    device = torch.device("cpu") if is_small else torch.device("cuda", 0)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    result = Result(name, is_small, machine.describe(device), now)
    call = Call(result, folder, seconds)
    need = PARTS[name].gigabytes
    has = float("inf") if is_small else torch.cuda.get_device_properties(device).total_memory / machine.GIGABYTE
    if has < need:
        result.ended = f"skipped: it needs a card with {need:g} GB, and this one has {has:.1f}"
        print(f"{name}: {result.ended}", file=sys.stderr, flush=True)
        before = results.read(folder, name)
        if before is None or not before.rows:
            call.save()
        return 0
    call.save()
    part: Any = importlib.import_module(f"_gpu.{name}")
    try:
        part.run(call)
        is_cut = any(note.startswith("not run for want of time") for note in result.notes)
        result.ended = f"stopped after its time ({seconds:.0f} s) with what it had" if is_cut else results.WHOLE
    except Exception as error:
        traceback.print_exc()
        result.ended = f"failed: {one_line(error, 300)}"
    call.save()
    return int(result.has_failed)
