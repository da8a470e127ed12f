"""Saves the scores of a test."""

import csv
import dataclasses
import hashlib
import io
import json
import math
import os
from pathlib import Path

import gsfnas
from gsfnas.cost import price
from gsfnas.data import VideoData
from gsfnas.escape import csv_cell
from gsfnas.files import write
from gsfnas.train import ProtocolSettings, TrainedModel, VideoScores
from gsfnas.train._checkpoint import WEIGHTS


def save_scores(
    scores: VideoScores, protocol: ProtocolSettings, split: str, out: Path, trained: TrainedModel, data: VideoData
) -> Path:
    """Writes to ``out`` every score (npz; its path is returned), the metrics (JSON), and one line per class (CSV).

    The file names contain split, protocol and views, and also the name of a weights file that does not belong to a run.
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
        "gmacs": gmacs_of(trained) * protocol.views,
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


def gmacs_of(trained: TrainedModel) -> float:
    """fvcore's MACs of one view, in units of 10^9."""
    return price(trained.candidate, dict(trained.heads)).gmacs
