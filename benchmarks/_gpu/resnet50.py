"""An epoch of ResNet-50 with GSF from video files with the paper's recipe: clips a second, and what limits them."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from _gpu.call import Call
from _gpu.machine import cores, watching
from _gpu.page import Lines, cell, find, table
from _gpu.results import Result, Row
from _gpu.videos import write_videos

# The steps of a training loop, each by itself, and then together.
STAGES = ("reading", "copying", "computing", "all of it")
_STEPS = 12


def run(call: Call) -> None:
    """What it needs is written first: Twins as WebM, each video under several names, since what counts is their number."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        started = time.monotonic()
        clips = write_videos(root / "clips", cores(), is_small=call.is_small)
        call.note(f"{clips} training clips as WebM files without loss, written in {time.monotonic() - started:.0f} s")
        _measure(call, root)


@dataclass
class Training:
    """ResNet-50 with GSF at its default sites, ready to be trained as the paper says, and its data."""

    split: Any
    settings: Any
    model: Any
    optimiser: Any
    fabric: Any

    def fit(self, split: Any, epoch: int) -> float:
        """Seconds of an epoch."""
        from gsfnas.train import fit_epoch

        started = time.monotonic()
        fit_epoch(self.model, self.optimiser, self.fabric, split, self.settings, epoch=epoch, seed=0)
        return time.monotonic() - started

    def fits(self, split: Any) -> bool:
        """Whether memory is enough for an epoch in as many parts as the settings say; raises where no more parts can be."""
        import torch

        try:
            self.fit(split, 1)
        except torch.OutOfMemoryError:
            if 2 * self.settings.accumulate > self.settings.batch_size:
                raise
            return False
        return True


def _prepare(call: Call, root: Path, workers: int) -> Training:
    from gsfnas.backbone import backbone_ref, backbone_sites
    from gsfnas.candidate import Candidate
    from gsfnas.config import compose_run
    from gsfnas.data import open_data
    from gsfnas.model import build_model
    from gsfnas.modules import resolve
    from gsfnas.train._batch import channels_last
    from gsfnas.train._device import make_fabric, resolve_precision
    from gsfnas.train._optimiser import build_optimiser

    # From scratch: ImageNet's weights would have to be fetched.
    wanted = ["data=folder", f"data.root={root}/clips", f"data.cache={root}/cache", "data.cache_gb=0", "train=paper"]
    wanted += ["train.init=scratch", f"data.workers={workers}", f"train.device={call.device.type}"]
    wanted += ["data.frames=2", "data.resolution=32", "train.batch_size=4"] if call.is_small else ["data.resolution=224"]
    config = compose_run(wanted)
    started = time.monotonic()
    data = open_data(config.data)
    call.note(f"looked at {sum(map(len, data.splits.values()))} files in {time.monotonic() - started:.1f} s")

    backbone = backbone_ref("micro" if call.is_small else "resnet50")
    sites = [site for site in backbone_sites(backbone, config.data.resolution) if site.is_default]
    insertions = tuple((site.name, resolve(site, {"module": "gsf", "ratio": 0.25})) for site in sites)
    candidate = Candidate(backbone, config.data.frames, config.data.resolution, insertions)
    heads = {task: len(names) for task, names in data.tasks.items()}
    network = build_model(candidate, heads, dropout=config.train.dropout)
    channels_last(network)
    fabric = make_fabric(call.device, resolve_precision(config.train.precision, call.device))
    model, optimiser = fabric.setup(network, build_optimiser(network, config.train, fabric))
    return Training(data.splits["train"], config.train, model, optimiser, fabric)


def _measure(call: Call, root: Path) -> None:
    """Each stage by itself, and then the epoch."""
    workers = 2 if call.is_small else cores()
    training = _prepare(call, root, workers)
    split, steps = training.split, 2 if call.is_small else _STEPS

    def add(stage: str, clips: int, seconds: float, **more: Any) -> None:
        call.add({"stage": stage, "clips": clips, "seconds": seconds, "clips_a_second": clips / seconds, **more})
        call.say(f"{stage}: {clips / seconds:.0f} clips a second")

    (clips, labels), seconds = read(split, training.settings.batch_size, is_pinned=call.device.type == "cuda")
    add("reading", len(split), seconds, workers=workers)
    add("copying", steps * len(clips), copy(clips, call.device, steps))
    same = repeated(split, (clips.to(call.device), labels), steps)
    while not training.fits(same):
        training.settings = replace(training.settings, accumulate=2 * training.settings.accumulate)
        call.note(f"memory ran out: the batch is computed in {training.settings.accumulate} parts")
        call.free()
    for stage, some, epoch in (("computing", same, 2), ("all of it", split, 3)):
        if not call.has(1.3 * seconds, f"{stage} of an epoch"):
            continue
        with watching(call.device, 0.5) as busy:
            took = training.fit(some, epoch)
        told = {"busy_percent": busy.mean_percent, "most_gigabytes": busy.most_gigabytes}
        add(stage, len(some), took, parts=training.settings.accumulate, **told)
    call.note(limit(call.result.rows))


def read(split: Any, batch_size: int, *, is_pinned: bool) -> tuple[tuple[Any, Any], float]:
    """The first batch of an epoch, and the seconds that all of them take to read, decode and augment."""
    started = time.monotonic()
    batches = split.batches(batch_size, shuffle_seed=0, augment_seed=0, pinned=is_pinned)
    first = next(batches)
    for _ in batches:
        pass
    return first, time.monotonic() - started


def copy(clips: Any, device: Any, times: int) -> float:
    """Seconds to bring a batch to the device so many times, and to make a network's input of it."""
    import torch

    from gsfnas.train._batch import to_frames

    def work() -> None:
        for _ in range(times):
            to_frames(clips, device)
        if device.type == "cuda":
            torch.cuda.synchronize()

    work()
    started = time.monotonic()
    work()
    return time.monotonic() - started


def repeated(split: Any, batch: Any, times: int) -> Any:
    """A split whose batches are all this one, on the device already."""
    from gsfnas.data import ClipSplit

    clips, labels = batch

    class Repeated(ClipSplit):
        def batches(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            return iter([(clips, labels)] * times)

    many = {task: values.numpy().repeat(times) for task, values in labels.items()}
    return Repeated(labels=many, read=split.read)


def limit(rows: Sequence[Row]) -> str:
    """Which stage is the slowest, and how near the whole comes to it."""
    alone = [row for row in rows if row["stage"] != STAGES[-1]]
    slowest = min(alone, key=lambda row: row["clips_a_second"])
    others = ", ".join(f"{row['stage']} {row['clips_a_second']:.0f}" for row in alone)
    said = f"the limit is {slowest['stage']} ({others} clips a second, each by itself)"
    whole = find(rows, stage=STAGES[-1])
    if whole is None:
        return said
    share = whole["clips_a_second"] / slowest["clips_a_second"]
    return f"{said}; all of it reaches {whole['clips_a_second']:.0f}, {share:.0%} of that"


def section(result: Result) -> Lines:
    names = ("clips", "seconds", "clips_a_second", "busy_percent", "most_gigabytes", "parts", "workers")
    lines = []
    for stage in STAGES:
        row = find(result.rows, stage=stage)
        lines.append([stage, *(cell(row, name, 1) for name in names)])
    head = (
        "stage",
        "clips",
        "seconds",
        "clips a second",
        "card busy, %",
        "its memory, GB",
        "parts of a batch",
        "reading processes",
    )
    yield from table(head, lines)
