"""Which checkpoints stay: the last one of a run that goes on, the weights of the front and the anchors, nothing else."""

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from gsfnas.candidate import Candidate
from gsfnas.errors import UserError
from gsfnas.record import Record, pareto_front
from gsfnas.storages.base import Run

WEIGHTS = "weights.safetensors"


def clean(folder: Path, runs: Iterable[Run], anchors: Iterable[Candidate]) -> None:
    """Removes what ended runs have left under ``folder``, but for the weights of front and anchors."""
    runs = list(runs)
    main = [run.record for run in runs if run.part == "main"]
    wanted = {*anchors, *(record.candidate for record in pareto_front(main))}
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
    """The one line for a full disk: which folder, what is free, and what a run is likely to need."""
    place = next(parent for parent in [folder, *folder.parents] if parent.exists())
    free = shutil.disk_usage(place).free / 2**20
    need = f"; a checkpoint of this candidate takes about {_checkpoint_bytes(record) / 2**20:.1f} MiB" if record else ""
    return UserError(f"no space left for {folder}: {free:.1f} MiB free{need}; make room, then the same command goes on")


def looks_full(folder: Path, record: Record) -> bool:
    """Whether there is no room for a checkpoint; for libraries that hide what the system said."""
    return folder.exists() and shutil.disk_usage(folder).free < _checkpoint_bytes(record)


def _checkpoint_bytes(record: Record) -> int:
    """Weights and momentum in 32 bits, and the checkpoint before."""
    return 2 * 8 * record.cost.get("params", 0)
