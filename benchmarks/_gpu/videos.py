"""Twins as video files, written by several processes at once; a module of its own, so that these need not import torch."""

import itertools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

_FRAMES = 16
# Under so many names each training video stands: what counts is how many are decoded.
_COPIES = 4
_MOST_PROCESSES = 16


def write_videos(root: Path, processes: int, *, is_small: bool) -> int:
    """Class folders of WebM files, each process's of another seed. Returns the number of training clips."""
    parts, copies = (2, 1) if is_small else (min(_MOST_PROCESSES, processes), _COPIES)
    with ProcessPoolExecutor(parts, multiprocessing.get_context("spawn")) as pool:
        folders = list(pool.map(partial(_write_part, root.parent, is_small=is_small), range(parts)))
    for part, copy in itertools.product(range(parts), range(copies)):
        for video in sorted(folders[part].rglob("*.webm")):
            place = root / video.relative_to(folders[part]).with_name(f"{part}-{copy}-{video.name}")
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(video, place)
    return sum(1 for _ in (root / "train").rglob("*.webm"))


def _write_part(folder: Path, seed: int, *, is_small: bool) -> Path:
    from gsfnas.data import DataSettings, export

    settings = DataSettings(
        frames=_FRAMES // (4 if is_small else 1),
        resolution=32 if is_small else 224,
        train_clips=24,
        val_clips=2,
        test_clips=2,
        seed=seed,
        cache=str(folder / f"cache-{seed}"),
    )
    made = folder / f"part-{seed}"
    export(settings, made, "folder", "webm")
    return made
