"""The default study, as its command runs it, with 2, 4 and 1 workers on the card."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _gpu.call import Call
from _gpu.machine import environment, watching
from _gpu.page import Bar, Lines, cell, find, table
from _gpu.results import Result, Row

# The default first, which the bar is for.
WORKERS = (2, 4, 1)
_AT_MOST_SECONDS = 180
_STOP_SECONDS = 30
_SMALL = ("study.trials=2", "study.replicates=1", "train.epochs=1", "train.warm_start=1")
_FEW_CLIPS = ("data.train_clips=24", "data.val_clips=24", "data.test_clips=24")


def run(call: Call) -> None:
    """Each number of workers has runs of its own, or one would take the others' over; the clips are rendered once."""
    from gsfnas.config import compose_data
    from gsfnas.data import open_data

    with tempfile.TemporaryDirectory() as folder:
        clips = [*(_FEW_CLIPS if call.is_small else ()), f"data.cache={folder}/cache"]
        started = time.monotonic()
        open_data(compose_data("twins", clips))
        call.note(f"the clips, which the first study of a machine renders, took {time.monotonic() - started:.1f} s")
        for workers in WORKERS[:1] if call.is_small else WORKERS:
            taken = [row["seconds"] for row in call.result.rows]
            if call.has(1.1 * taken[0] * WORKERS[0] / workers if taken else 1, f"the study with workers={workers}"):
                _run(call, workers, Path(folder) / str(workers), clips)


def _run(call: Call, workers: int, folder: Path, clips: Sequence[str]) -> None:
    from gsfnas.study import load_study

    call.say(f"workers={workers}")
    command = [sys.executable, "-m", "gsfnas", "study", "run", "placement", *clips, *(_SMALL if call.is_small else ())]
    command += [f"workers={workers}", f"study.runs={folder}/runs", f"train.device={call.device.type}"]
    command += ["--reports", f"{folder}/reports"]
    folder.mkdir()
    started = time.monotonic()
    with watching(call.device) as busy:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=sys.stderr)
        try:
            process.wait(max(1.0, call.left))
        except subprocess.TimeoutExpired:
            call.note(f"not run for want of time: the rest of the study with workers={workers}")
            process.send_signal(signal.SIGINT)
            process.wait(_STOP_SECONDS)
        finally:
            process.kill()
            process.wait()
    seconds = time.monotonic() - started
    if process.returncode not in (0, 130):
        raise RuntimeError(f"gsfnas study run ended with {process.returncode}")
    study = load_study(folder / "runs", "placement")
    runs = [*study.records, *study.replicates]
    complete = [run for run in runs if run.outcome == "complete"]
    for run in runs:
        if run.error:
            call.note(f"workers={workers}: {run.error}")
    call.add(
        {
            "workers": workers,
            "is_whole": process.returncode == 0,
            "seconds": seconds,
            "candidates": len(study.records),
            "complete": len(complete),
            "failed": sum(run.outcome == "failed" for run in runs),
            "seconds_a_run": sum(run.seconds for run in complete) / len(complete) if complete else None,
            "best_val_top1": max((run.value("val_top1") for run in complete), default=None),
            "busy_percent": busy.mean_percent,
            "most_gigabytes": busy.most_gigabytes,
            "candidate_keys": " ".join(sorted(run.candidate.key for run in study.records)),
        }
    )


def bars(rows: Sequence[Row]) -> list[Bar]:
    default = find(rows, workers=WORKERS[0], is_whole=True)
    return [Bar("the default study", _AT_MOST_SECONDS, None if default is None else default["seconds"], " s")]


def section(result: Result) -> Lines:
    first = find(result.rows, workers=WORKERS[0])
    lines = []
    for workers in WORKERS:
        row = find(result.rows, workers=workers)
        same = None
        if row is not None and first is not None:
            same = len(set(row["candidate_keys"].split()) & set(first["candidate_keys"].split()))
        whole = cell(row, "seconds", 0) + ("" if row is None or row["is_whole"] else " (stopped)")
        top1 = None if row is None else row.get("best_val_top1")
        best = None if row is None else {"percent": None if top1 is None else 100 * top1}
        runs = [cell(row, name) for name in ("candidates", "complete", "failed", "seconds_a_run")]
        card = [cell(row, name) for name in ("busy_percent", "most_gigabytes")]
        lines.append([str(workers), whole, *runs, cell(best, "percent", 1), *card, "" if same is None else str(same)])
    head = ("workers", "seconds", "candidates", "runs complete", "failed", "seconds a run", "best val top-1, %")
    yield from table((*head, "card busy, %", "its memory, GB", "candidates of the default's"), lines)
    yield "Busy is the share of time in which any kernel ran, by `nvidia-smi`, the mean of samples; empty where there is none."
    yield ""
