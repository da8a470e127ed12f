"""One candidate from settings to weights, from weights to scores, and what is printed of both."""

import csv
import dataclasses
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console

from gsfnas.backbone import backbone_ref
from gsfnas.candidate import Candidate
from gsfnas.cli import _show
from gsfnas.cli._candidate import find_candidate
from gsfnas.cli._wiring import open_and_say, protocol_name, score, tested, width_option
from gsfnas.config import RunConfig, compose_run
from gsfnas.cost import price
from gsfnas.errors import UserError, unknown
from gsfnas.evaluator import Context, Measurement
from gsfnas.record import Record, StudyRecord
from gsfnas.study import FileLock, differences, load_study, measure_study, num_cores
from gsfnas.train import ProtocolSettings, Trained, TrainEvaluator, VideoScores
from gsfnas.train._log import RunLog
from gsfnas.train._ranks import ProcessDiedError
from gsfnas.weights import import_weights as import_file

_RUN = "run.yaml"


def train(
    candidate: Candidate,
    overrides: Sequence[str],
    out: Path,
    seed: int,
    config_root: Path | None,
    base: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Trains a candidate to its end and tests it under the protocol. Ctrl-C leaves with exit code 130."""
    config = compose_run([*_cut_like(candidate, overrides), *overrides], config_root, base)
    folder = out / f"{candidate.key}-{seed}"
    resolved = {"candidate": candidate.to_dict(), "seed": seed, **config.resolved}
    with _alone(folder):
        _check_same(folder, resolved)
        data = open_and_say(config.data)
        # Views that there are not must not be found out after days of training.
        data.split("test").viewed(config.protocol.clips, config.protocol.crops)
        evaluator = TrainEvaluator(config.train, config.data, data)
        with _progress(config.train.epochs) as (on_progress, on_measurement):
            evaluator.prepare(None, Context(out, config.train.device, num_cores(), on_progress))
            _write(folder / _RUN, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120))
            log = RunLog(folder)
            last = folder / "last.pt"
            try:
                for measurement in evaluator.evaluate(
                    candidate, seed=seed, budget=config.train.epochs, resume_from=last if last.exists() else None
                ):
                    log.add(measurement)
                    on_measurement(measurement)
            except KeyboardInterrupt:
                print("stopped; the same command goes on at the last whole epoch", file=sys.stderr)
                sys.exit(130)
            except FloatingPointError as error:
                raise UserError(f"training cannot go on: {error}; a smaller train.lr may help") from None
            except ProcessDiedError as error:
                raise UserError(f"training stopped: {error}; the same command goes on at the last whole epoch") from None
            except torch.OutOfMemoryError:
                raise UserError(
                    f"memory runs out even where a batch of {config.train.batch_size} is computed clip by clip; more "
                    "train.devices or a smaller data.resolution may help"
                ) from None
        print(folder)
        _test(Trained.of(folder), config, "test", folder, data)


def train_again(record: Record, study: StudyRecord, overrides: Sequence[str], out: Path, seed: int) -> None:
    """Trains a study's candidate anew, on the study's data and with its recipe where the overrides say nothing else."""
    configuration = study.configurations.get(record.configuration, {})
    base = {section: configuration[section] for section in ("data", "train") if section in configuration}
    train(record.candidate, overrides, out, seed, None, base)


def test(path: Path, overrides: Sequence[str], split: str, out: Path | None, config_root: Path | None) -> None:
    """Tests a run's or a file's weights; a run is tested on its own data unless others are asked for."""
    trained = Trained.of(path)
    base = _settings_of(path) if path.is_dir() else None
    config = compose_run([*_cut_like(trained.candidate, overrides), *overrides], config_root, base)
    data = open_and_say(config.data)
    _test(trained, config, split, out or trained.path.parent, data)


def test_study(name: str, overrides: Sequence[str], runs: Path, split: str, config_root: Path | None) -> None:
    """Tests the kept weights of a study, which gets a record of each."""
    study = load_study(runs, name)
    configuration = next(iter(study.configurations.values()), {})
    base = {section: configuration[section] for section in ("data", "train") if section in configuration}
    config = compose_run(overrides, config_root, base)
    data = open_and_say(config.data)
    if split not in data.splits:
        raise unknown("split", split, data.splits)
    measure = partial(score, config.data, config.train, config.protocol, split, data)
    found = measure_study(runs, name, protocol_name(config.protocol, split), measure, Console(stderr=True))
    wanted = protocol_name(config.protocol, split)
    rows = [
        (
            one.key,
            *(f"{one.metrics[f'{split}_{what}']:.1%}" for what in ("top1", "top5", "mean_class")),
            f"{one.macs_fvcore / 1e9:.4g}",
        )
        for one in found.protocols
        if one.identity[2:] == wanted
    ]
    _show.table(("candidate", "top-1", "top-5", "mean class", "GMACs a video"), rows, wrap="", numeric={1, 2, 3, 4})
    print(f"{split}, {config.protocol}: the records are in the study; gsfnas report build {name} shows them")


def _test(trained: Trained, config: RunConfig, split: str, out: Path, data: Any) -> None:
    protocol = config.protocol
    scores = tested(trained, config.data, config.train, protocol, split, data, f"testing under {protocol}")
    save_scores(scores, protocol, split, out, trained)
    show_scores(scores, protocol, split, out, trained)


def save_scores(scores: VideoScores, protocol: ProtocolSettings, split: str, out: Path, trained: Trained) -> None:
    """Into ``out``: every score (npz), the metrics (JSON), and one line a class (CSV)."""
    stem = f"{split}-{protocol.name}"
    out.mkdir(parents=True, exist_ok=True)
    _write(out / f"{stem}.npz", scores.to_npz())
    told = {
        "candidate": trained.candidate.to_dict(),
        "weights": trained.path.name,
        "split": split,
        "protocol": dataclasses.asdict(protocol),
        "videos": len(scores.names),
        "gmacs": _gmacs(trained) * protocol.views,
        "metrics": scores.metrics(split),
    }
    _write(out / f"{stem}.json", json.dumps(told, indent=2))
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
            writer.writerow([task, name, int(confusion[number].sum()), share, taken, int(wrong.max())])
    _write(out / f"{stem}-classes.csv", text.getvalue())


def show_scores(scores: VideoScores, protocol: ProtocolSettings, split: str, out: Path, trained: Trained) -> None:
    rows = [
        (task, *(f"{value:.1%}" for value in (one.accuracy(), one.accuracy(5), one.mean_class_accuracy())))
        for task, one in scores.tasks.items()
    ]
    if (product := scores.product()) is not None:
        rows.append(("action, verb x noun", f"{product.accuracy():.1%}", f"{product.accuracy(5):.1%}", "-"))
    _show.table(("task", "top-1", "top-5", "mean class"), rows, wrap="", numeric={1, 2, 3})
    gmacs = _gmacs(trained)
    times = f" = {protocol.views} x {gmacs:.4g}" if protocol.views > 1 else ""
    print(
        f"{split}, {protocol}: {len(scores.names):,} videos, {protocol.views} view{'s' * (protocol.views > 1)} each, "
        f"{gmacs * protocol.views:.4g} GMACs a video{times}"
    )
    print(out / f"{split}-{protocol.name}.npz")


def import_weights(
    file: Path,
    out: Path | None,
    backbone: str | None,
    width: float | None,
    candidate: str | None,
    frames: int,
    resolution: int | None,
    task: str,
    is_all: bool,
    runs: Path,
) -> None:
    """Imports a file and says what of it fitted."""
    found = import_file(
        file,
        out or file.with_name(f"{file.name.removesuffix('.tar').removesuffix('.pth').removesuffix('.pt')}.safetensors"),
        backbone=None if backbone is None else backbone_ref(backbone, width_option(width)),
        candidate=None if candidate is None else find_candidate(candidate, runs),
        frames=frames,
        resolution=resolution,
        task=task,
    )
    candidate_said = f"{len(found.candidate.insertions)} modules in {found.candidate.backbone}"
    head = f"a head of {found.classes} classes" if found.classes else "no head"
    print(f"{found.candidate.key}: {candidate_said}, {head}")
    print(found.found.summary())
    for what, names in (
        ("reshaped", found.found.reshaped),
        ("missing", found.found.missing),
        ("left over", found.found.left_over),
    ):
        shown = names if is_all else names[:5]
        more = f" and {len(names) - len(shown)} more (--all lists them)" if len(names) > len(shown) else ""
        if names:
            print(f"{what}: {', '.join(shown)}{more}")
    print(found.path)


def _cut_like(candidate: Candidate, overrides: Sequence[str]) -> list[str]:
    """Clips as the candidate reads them, unless the user says otherwise."""
    named = {override.lstrip("+").partition("=")[0] for override in overrides}
    wanted = {"data.frames": candidate.frames, "data.resolution": candidate.resolution}
    return [f"{name}={value}" for name, value in wanted.items() if name not in named]


def _check_same(folder: Path, resolved: Mapping[str, Any]) -> None:
    """Raises UserError where the folder holds a run that was begun otherwise, with something in it to lose."""
    path = folder / _RUN
    if not path.exists() or not (folder / "last.pt").exists():
        return
    found = differences(_read(path), resolved)
    if found:
        shown = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
        raise UserError(f"{folder} holds a run that was begun with other settings ({shown}); for one of its own: --out DIR")


def _settings_of(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Data, recipe and protocol of a run."""
    path = folder / _RUN
    if not path.exists():
        return {}
    values = _read(path)
    found = {section: values[section] for section in ("data", "train") if isinstance(values.get(section), dict)}
    # Where and on what a test runs is the user's affair, not the training's.
    train = {name: value for name, value in found.get("train", {}).items() if name not in ("device", "devices")}
    return found | {"train": train}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must be a mapping, but it is a {type(values).__name__}")
    return values


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raises UserError where another process trains in the folder now."""
    lock = FileLock.take(folder / "lock")
    if lock is None:
        raise UserError(f"{folder} is being trained by {(folder / 'lock').read_text().strip()}; wait for it, or give --out DIR")
    try:
        lock.note(f"process {os.getpid()} on {os.uname().nodename}")
        yield
    finally:
        lock.release()


@contextmanager
def _progress(epochs: int) -> Iterator[tuple[Callable[[int, int, str], None], Callable[[Measurement], None]]]:
    """A bar with an estimate on a terminal; everywhere a line an epoch with what is left."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        speed_estimate_period=600,
    )
    task = bar.add_task("training", total=None)
    began, first = 0.0, 0

    def on_progress(done: int, total: int, text: str) -> None:
        bar.update(task, completed=done, total=total, description=text)

    def on_measurement(measurement: Measurement) -> None:
        nonlocal began, first
        if not first:
            # What came before it may be the opening of the data, or a checkpoint.
            began, first = time.monotonic(), measurement.epoch
        metrics = measurement.metrics
        done = measurement.epoch - first
        left = (time.monotonic() - began) / max(done, 1) * (epochs - measurement.epoch)
        parts = f", in {int(metrics['accumulate'])} parts" if "accumulate" in metrics else ""
        test = f", test {metrics['test_top1']:.1%}" if "test_top1" in metrics else ""
        estimate = f", about {_minutes(left)} left" if done and measurement.epoch < epochs else ""
        console.print(
            f"epoch {measurement.epoch}/{epochs}: loss {metrics['train_loss']:.3f}, val {metrics['val_top1']:.1%}{test}, "
            f"{metrics['seconds']:.0f} s{parts}{estimate}",
            highlight=False,
        )

    if console.is_terminal:
        with bar:
            yield on_progress, on_measurement
    else:
        yield (lambda done, total, text: None), on_measurement


def _minutes(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def _gmacs(trained: Trained) -> float:
    return price(trained.candidate, dict(trained.heads)).gmacs


def _write(path: Path, data: str | bytes) -> None:
    """The whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        beside.write_bytes(data.encode() if isinstance(data, str) else data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
