"""What a test found: into files, and onto the terminal."""

import csv
import dataclasses
import hashlib
import io
import json
import math
import os
from pathlib import Path

import gsfnas
from gsfnas.cli import _show
from gsfnas.cost import price
from gsfnas.data import VideoData
from gsfnas.escape import csv_cell
from gsfnas.files import write
from gsfnas.train import ProtocolSettings, Trained, VideoScores
from gsfnas.train._checkpoint import WEIGHTS


def save_scores(
    scores: VideoScores, protocol: ProtocolSettings, split: str, out: Path, trained: Trained, data: VideoData
) -> Path:
    """Into ``out``: every score (npz, whose path is returned), the metrics (JSON), and one line a class (CSV).

    Their names say split, protocol and views, and of a file of weights that is no run's its name.
    """
    own = "" if trained.path.name == WEIGHTS else f"{trained.path.stem}-"
    stem = f"{own}{split}-{protocol.name}-{protocol.clips}x{protocol.crops}"
    out.mkdir(parents=True, exist_ok=True)
    write(out / f"{stem}.npz", scores.to_npz())
    told = {
        "candidate": trained.candidate.to_dict(),
        "weights": os.path.relpath(trained.path, out),
        "sha256": hashlib.sha256(trained.path.read_bytes()).hexdigest(),
        "gsfnas": gsfnas.__version__,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "left_out": len(data.skipped),
        "split": split,
        "protocol": dataclasses.asdict(protocol),
        "videos": len(scores.names),
        "gmacs": _gmacs(trained) * protocol.views,
        "metrics": scores.metrics(split),
    }
    write(out / f"{stem}.json", json.dumps(told, indent=2))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["task", "class", "videos", "top1", "most often taken for", "so often"])
    for task, one in scores.tasks.items():
        confusion, accuracy = one.confusion(), one.class_accuracy()
        for number, name in enumerate(one.classes):
            wrong = confusion[number].copy()
            wrong[number] = 0
            taken = one.classes[int(wrong.argmax())] if wrong.any() else ""
            share = "" if math.isnan(accuracy[number]) else repr(float(accuracy[number]))
            line = [task, name, int(confusion[number].sum()), share, taken, int(wrong.max())]
            writer.writerow([csv_cell(value) for value in line])
    write(out / f"{stem}-classes.csv", text.getvalue())
    return out / f"{stem}.npz"


def show_scores(scores: VideoScores, protocol: ProtocolSettings, split: str, trained: Trained, data: VideoData) -> None:
    """A line a task, and what was tested on what."""
    rows = [
        (task, *(f"{value:.1%}" for value in (one.accuracy(), one.accuracy(5), one.mean_class_accuracy())))
        for task, one in scores.tasks.items()
    ]
    if (product := scores.product()) is not None:
        rows.append(("action, verb x noun", f"{product.accuracy():.1%}", f"{product.accuracy(5):.1%}", "-"))
    _show.table(("task", "top-1", "top-5", "mean class"), rows, wrap="", numeric={1, 2, 3})
    gmacs = _gmacs(trained)
    views = protocol.views
    times = f" = {views} x {gmacs:.4g}" if views > 1 else ""
    print(
        f"{data.name} {split}, {protocol}: {len(scores.names):,} videos, {views} view{'s' * (views > 1)} each, "
        f"{gmacs * views:.4g} GMACs a video{times}"
    )


def _gmacs(trained: Trained) -> float:
    return price(trained.candidate, dict(trained.heads)).gmacs
