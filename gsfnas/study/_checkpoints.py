"""Keeps the last checkpoint of each running run and the weights of Pareto front and anchors; removes all others."""

import errno
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from gsfnas.candidate import Candidate
from gsfnas.errors import UserError
from gsfnas.metrics import Metric
from gsfnas.record import Record, pareto_front
from gsfnas.storages.base import Run

WEIGHTS = "weights.safetensors"


def clean(folder: Path, runs: Iterable[Run], anchors: Iterable[Candidate], objectives: Sequence[Metric]) -> None:
    """Removes the checkpoints of ended runs under ``folder``, except for the weights of the Pareto front and the anchors."""
    runs = list(runs)
    main = [run.record for run in runs if run.part == "main"]
    wanted = {*anchors, *(record.candidate for record in pareto_front(main, objectives))}
    for run in runs:
        place = folder / run.folder_name
        if run.record.outcome == "running" or not place.exists():
            continue
        if run.part == "main" and run.record.outcome == "complete" and run.record.candidate in wanted:
            for path in place.iterdir():
                if path.name != WEIGHTS and path.is_file():
                    path.unlink(missing_ok=True)
        else:
            shutil.rmtree(place, ignore_errors=True)


def is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(folder: Path, record: Record | None = None) -> UserError:
    """The error for a full disk: names the folder, the free space, and the space that a checkpoint of ``record`` needs."""
    place = next(parent for parent in [folder, *folder.parents] if parent.exists())
    free = shutil.disk_usage(place).free / 2**20
    need = f"; a checkpoint of this candidate takes about {_checkpoint_bytes(record) / 2**20:.1f} MiB" if record else ""
    return UserError(f"no space left for {folder}: {free:.1f} MiB free{need}; make room, then the same command goes on")


def looks_full(folder: Path, record: Record) -> bool:
    """Whether the disk lacks the space for a checkpoint; for errors of libraries that hide the operating system's error."""
    return folder.exists() and shutil.disk_usage(folder).free < _checkpoint_bytes(record)


def _checkpoint_bytes(record: Record) -> int:
    """The size of two checkpoints (the last and the one before), each with weights and momentum in 32 bits."""
    return 2 * 8 * record.cost.get("params", 0)
