"""One candidate from settings to weights, from weights to scores, and what is printed of both."""

import os
import shutil
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

from gsfnas import plain_yaml
from gsfnas.backbone import backbone_ref
from gsfnas.candidate import Candidate
from gsfnas.cli import _show
from gsfnas.cli._candidate import find_candidate
from gsfnas.cli._scores import save_scores, show_scores
from gsfnas.cli._wiring import check_init, open_and_say, protocol_name, score, tested, width_option
from gsfnas.config import RunConfig, compose_run
from gsfnas.errors import UserError, unknown
from gsfnas.escape import printable
from gsfnas.evaluator import Context, Measurement
from gsfnas.files import write
from gsfnas.record import Record, StudyRecord
from gsfnas.study import FileLock, data_of_study, differences, load_study, measure_study, num_cores
from gsfnas.train import Trained, TrainEvaluator
from gsfnas.train._checkpoint import LAST, PREVIOUS, WEIGHTS, is_whole
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
    # Code that nobody trusts is refused before anything is made or rendered.
    backbone_ref(candidate.backbone.name, dict(candidate.backbone.options), is_from_data=True)
    config = compose_run([*_cut_like(candidate, overrides), *overrides], config_root, base)
    folder = out / f"{candidate.key}-{seed}"
    resolved = {"candidate": candidate.to_dict(), "seed": seed, **config.resolved}
    with _alone(folder):
        _check_same(folder, resolved)
        data = open_and_say(config.data)
        # Views that there are not must not be found out after days of training.
        data.split("test").viewed(config.protocol.clips, config.protocol.crops)
        evaluator = TrainEvaluator(config.train, config.data, data)
        evaluator.check_clips(candidate)
        is_begun = _find_run(folder)
        if not is_begun and (said := check_init(config.train, candidate, evaluator.heads)):
            print(said, file=sys.stderr)
        with _progress(config.train.epochs, is_begun) as (on_progress, on_measurement), RunLog(folder) as log:
            evaluator.prepare(None, Context(out, config.train.device, num_cores(), on_progress))
            clips = len(data.splits["train"])
            print(f"{candidate.key}: {clips:,} clips of {data.name}, {config.train.epochs} epochs", file=sys.stderr)
            try:
                for measurement in evaluator.evaluate(
                    candidate, seed=seed, budget=config.train.epochs, resume_from=folder / LAST if is_begun else None
                ):
                    write(folder / _RUN, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120))
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


def _find_run(folder: Path) -> bool:
    """Whether a run was begun there; says what of it is damaged. Raises UserError where going on would lose its weights."""
    last, previous = folder / LAST, folder / PREVIOUS
    if (folder / WEIGHTS).exists() and not (last.exists() or previous.exists()):
        raise UserError(f"{folder} holds finished weights, but no {LAST}; remove it to train again, or give --out DIR")
    found = {path: is_whole(path) for path in (last, previous) if path.exists()}
    for path in [path for path, whole in found.items() if not whole]:
        where = "at the epoch before" if any(found.values()) else "at the beginning, there being no other"
        print(f"{path} is damaged and passed over; the run goes on {where}", file=sys.stderr)
    return any(found.values())


def train_again(record: Record, study: StudyRecord, overrides: Sequence[str], out: Path, seed: int) -> None:
    """Trains a study's candidate anew, on the study's data and with its recipe where the overrides say nothing else."""
    configuration = study.configurations.get(record.configuration, {})
    base = _base(configuration)
    train(record.candidate, overrides, out, seed, None, base)


def test(path: Path, overrides: Sequence[str], split: str, out: Path | None, config_root: Path | None) -> None:
    """Tests a run's or a file's weights; a run is tested on its own data unless others are asked for."""
    trained = Trained.of(path)
    base = _settings_of(trained.path.parent) if trained.path.name == WEIGHTS else {}
    if "data" not in base and not any(override.lstrip("+").startswith("data=") for override in overrides):
        raise UserError(f"{trained.path} does not say on what it is to be tested; name a data set, such as data=something_v2")
    config = compose_run([*_cut_like(trained.candidate, overrides), *overrides], config_root, base)
    data = open_and_say(config.data)
    _test(trained, config, split, out or trained.path.parent, data)


def test_study(name: str, overrides: Sequence[str], runs: Path, split: str, out: Path | None, config_root: Path | None) -> None:
    """Tests the kept weights of a study on the study's data; the study gets a record of each."""
    study = load_study(runs, name)
    configuration = next(iter(study.configurations.values()), {})
    base = _base(configuration)
    config = compose_run(overrides, config_root, base)
    own = {name: value for name, value in base.get("data", {}).items() if name not in ("short_side", "skip_broken")}
    found = differences({"data": own}, {"data": {each: config.resolved["data"][each] for each in own}})
    data = open_and_say(config.data)
    is_cut_alike = config.resolved["data"]["short_side"] == base.get("data", {}).get("short_side")
    if not found and is_cut_alike and data.fingerprint != data_of_study(runs, name):
        found = ["its clips are others"]
    if found:
        raise UserError(
            f"a study is tested on its own data, but these differ ({', '.join(found[:3])}); test a run or a file of "
            "weights on others"
        )
    if split not in data.splits:
        raise unknown("split", split, data.splits)
    data.split(split).viewed(config.protocol.clips, config.protocol.crops)
    folder = out or runs / name / "scores"
    measure = partial(score, config.data, config.train, config.protocol, split, data, folder)
    wanted = protocol_name(config.protocol, split, data)
    after = measure_study(runs, name, wanted, measure, Console(stderr=True))
    rows = [
        (
            one.key,
            *(f"{one.metrics[f'{split}_{what}']:.1%}" for what in ("top1", "top5", "mean_class")),
            f"{one.macs_fvcore / 1e9:.4g}",
        )
        for one in after.protocols
        if one.identity[2:] == wanted
    ]
    _show.table(("candidate", "top-1", "top-5", "mean class", "GMACs a video"), rows, wrap="", numeric={1, 2, 3, 4})
    print(f"{data.name} {split}, {config.protocol}: the records are in the study; gsfnas report build {name} shows them")
    if len(after.protocols) == len(study.protocols):
        print("all were measured before; nothing was tested again", file=sys.stderr)
    else:
        print(folder)


def _test(trained: Trained, config: RunConfig, split: str, out: Path, data: Any) -> None:
    protocol = config.protocol
    scores = tested(trained, config.data, config.train, protocol, split, data, f"testing under {protocol}")
    path = save_scores(scores, protocol, split, out, trained, data)
    show_scores(scores, protocol, split, trained, data)
    print(path)


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
    stem = file.name
    for suffix in (".tar", ".pth", ".pt", ".pyth", ".ckpt", ".bin"):
        stem = stem.removesuffix(suffix)
    out = out or file.with_name(f"{stem}.safetensors")
    if out.exists():
        raise UserError(f"{out} is there already; remove it, or name another file with --out")
    found = import_file(
        file,
        out,
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
    for note in found.notes:
        print(printable(note))
    for what, names in (
        ("reshaped", found.found.reshaped),
        ("missing", found.found.missing),
        ("left over", found.found.left_over),
    ):
        shown = names if is_all else names[:5]
        more = f" and {len(names) - len(shown)} more (--all lists them)" if len(names) > len(shown) else ""
        if names:
            print(printable(f"{what}: {', '.join(shown)}{more}"))
    print(found.path)


def _cut_like(candidate: Candidate, overrides: Sequence[str]) -> list[str]:
    """Clips as the candidate reads them, unless the user says otherwise."""
    named = {override.lstrip("+").partition("=")[0] for override in overrides}
    wanted = {"data.frames": candidate.frames, "data.resolution": candidate.resolution}
    return [f"{name}={value}" for name, value in wanted.items() if name not in named]


def _check_same(folder: Path, resolved: Mapping[str, Any]) -> None:
    """Raises UserError where the folder holds a run that was begun otherwise, with something in it to lose."""
    path = folder / _RUN
    if not path.exists() or not (folder / LAST).exists():
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
    found = _base(_read(path))
    # On what a test runs is the user's affair, not the training's.
    train = {name: value for name, value in found.get("train", {}).items() if name not in ("device", "devices")}
    return found | {"train": train}


def _base(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Data and recipe of a run or a study, as its file says; where a cache is written is said by this call alone."""
    found = {section: dict(values[section]) for section in ("data", "train") if isinstance(values.get(section), dict)}
    if "data" in found:
        found["data"].pop("cache", None)
    return found


def _read(path: Path) -> dict[str, Any]:
    values = plain_yaml.load(plain_yaml.read(path), str(path))
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
        # A call that was refused leaves nothing.
        if [path.name for path in folder.iterdir()] == ["lock"]:
            shutil.rmtree(folder)


@contextmanager
def _progress(epochs: int, is_begun: bool) -> Iterator[tuple[Callable[[int, int, str], None], Callable[[Measurement], None]]]:
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
            if is_begun and not measurement.is_last:
                console.print(f"going on after epoch {first} of {epochs}", highlight=False)
                return
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
