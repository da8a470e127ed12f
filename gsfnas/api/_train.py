"""Trains a candidate, and tests trained weights."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from gsfnas import plain_yaml
from gsfnas.api._data import open_and_say
from gsfnas.api._scores import save_scores
from gsfnas.api._testing import protocol_name, score, tested
from gsfnas.api._watcher import Watcher
from gsfnas.backbone import backbone_ref
from gsfnas.candidate import Candidate
from gsfnas.config import RunConfig, compose_run
from gsfnas.data import VideoData
from gsfnas.errors import UserError, unknown
from gsfnas.evaluators import Context
from gsfnas.evaluators.train import TrainEvaluator, check_init
from gsfnas.executors.local import num_cores
from gsfnas.files import write
from gsfnas.record import ProtocolScore, Record, StudyRecord
from gsfnas.study import FileLock, data_of_study, differences, load_study, measure_study
from gsfnas.train import ProtocolSettings, TrainedModel, VideoScores
from gsfnas.train._checkpoint import LAST, PREVIOUS, WEIGHTS, is_whole
from gsfnas.train._distributed import ProcessDiedError
from gsfnas.train._log import RunLog

_RUN = "run.yaml"


@dataclass(frozen=True)
class Tested:
    """The result of a test, with model, protocol and data; ``path`` is the file with every score."""

    scores: VideoScores
    trained: TrainedModel
    protocol: ProtocolSettings
    split: str
    data: VideoData
    path: Path


def train(
    candidate: Candidate,
    overrides: Sequence[str] = (),
    *,
    out: Path = Path("runs/trained"),
    seed: int = 0,
    config_root: Path | None = None,
    base: Mapping[str, Mapping[str, Any]] | None = None,
    watcher: Watcher | None = None,
) -> Tested:
    """Trains a candidate in the folder ``<out>/<key>-<seed>``, and tests it under the protocol.

    The same call resumes a stopped run after its last complete epoch. ``base`` are settings over which ``overrides`` take
    precedence. Raises UserError for an error that the user must fix. A KeyboardInterrupt gets a message on how to resume the
    run, which is also shown.
    """
    watcher = watcher or Watcher()
    # Refuse untrusted code before anything is written, or a data set rendered.
    backbone_ref(candidate.backbone.name, dict(candidate.backbone.options), is_from_data=True)
    config = compose_run([*_cut_like(candidate, overrides), *overrides], config_root, base)
    folder = out / f"{candidate.key}-{seed}"
    resolved = {"candidate": candidate.to_dict(), "seed": seed, **config.resolved}
    with _alone(folder):
        _check_same(folder, resolved)
        data = open_and_say(config.data, watcher)
        # Refuse clips and crops that the data cannot give now, not after days of training.
        data.split("test").viewed(config.protocol.clips, config.protocol.crops)
        evaluator = TrainEvaluator(config.train, config.data, data)
        evaluator.check_clips(candidate)
        is_begun = _find_run(folder, watcher)
        if not is_begun and (said := check_init(config.train, candidate, evaluator.heads)):
            watcher.say(said)
        with watcher.training(config.train.epochs, is_begun) as (on_steps, on_measurement), RunLog(folder) as log:
            evaluator.prepare(None, Context(out, config.train.device, num_cores(), on_steps))
            clips = len(data.splits["train"])
            watcher.say(f"{candidate.key}: {clips:,} clips of {data.name}, {config.train.epochs} epochs")
            resume_from = folder / LAST if is_begun else None
            try:
                for measurement in evaluator.evaluate(
                    candidate, seed=seed, budget=config.train.epochs, resume_from=resume_from
                ):
                    write(folder / _RUN, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120))
                    log.add(measurement)
                    on_measurement(measurement)
            except KeyboardInterrupt as stop:
                told = "stopped; the same command goes on at the last whole epoch"
                watcher.say(told)
                stop.args = (told,)
                raise
            except FloatingPointError as error:
                raise UserError(f"training cannot go on: {error}; a smaller train.lr may help") from None
            except ProcessDiedError as error:
                raise UserError(f"training stopped: {error}; the same command goes on at the last whole epoch") from None
            except torch.OutOfMemoryError:
                raise UserError(
                    f"memory runs out even where a batch of {config.train.batch_size} is computed clip by clip; more "
                    "train.devices or a smaller data.resolution may help"
                ) from None
        return _test(TrainedModel.of(folder), config, "test", folder, data, watcher)


def _find_run(folder: Path, watcher: Watcher) -> bool:
    """Whether ``folder`` has a run to resume; reports damaged checkpoints.

    Raises UserError if there are finished weights without a checkpoint, which a new run would overwrite.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    if (folder / WEIGHTS).exists() and not (last.exists() or previous.exists()):
        raise UserError(f"{folder} holds finished weights, but no {LAST}; remove it to train again, or give --out DIR")
    found = {path: is_whole(path) for path in (last, previous) if path.exists()}
    for path in [path for path, whole in found.items() if not whole]:
        where = "at the epoch before" if any(found.values()) else "at the beginning, there being no other"
        watcher.say(f"{path} is damaged and passed over; the run goes on {where}")
    return any(found.values())


def train_again(
    record: Record,
    study: StudyRecord,
    overrides: Sequence[str],
    *,
    out: Path = Path("runs/trained"),
    seed: int = 0,
    watcher: Watcher | None = None,
) -> Tested:
    """Trains a study's candidate again; data and recipe are those of the study, unless overridden."""
    configuration = study.configurations.get(record.configuration, {})
    return train(record.candidate, overrides, out=out, seed=seed, base=_base(configuration), watcher=watcher)


def test(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    split: str = "test",
    out: Path | None = None,
    config_root: Path | None = None,
    watcher: Watcher | None = None,
) -> Tested:
    """Tests the weights of a run or a file.

    A run is tested on its own data, unless overridden; for a file, the overrides must name the data. Raises UserError if they
    do not.
    """
    watcher = watcher or Watcher()
    trained = TrainedModel.of(path)
    base = _settings_of(trained.path.parent) if trained.path.name == WEIGHTS else {}
    if "data" not in base and not any(override.lstrip("+").startswith("data=") for override in overrides):
        raise UserError(f"{trained.path} does not say on what it is to be tested; name a data set, such as data=something_v2")
    config = compose_run([*_cut_like(trained.candidate, overrides), *overrides], config_root, base)
    data = open_and_say(config.data, watcher)
    return _test(trained, config, split, out or trained.path.parent, data, watcher)


@dataclass(frozen=True)
class TestedStudy:
    """The scores of a study's kept weights under a protocol; ``num_new`` of them were measured by this call.

    ``folder`` has the files with every score.
    """

    scores: tuple[ProtocolScore, ...]
    protocol: ProtocolSettings
    split: str
    data: VideoData
    num_new: int
    folder: Path


def test_study(
    name: str,
    overrides: Sequence[str] = (),
    *,
    runs: Path = Path("runs"),
    split: str = "test",
    out: Path | None = None,
    config_root: Path | None = None,
    watcher: Watcher | None = None,
) -> TestedStudy:
    """Tests the kept weights of a study on the study's data, and records the scores in the study.

    Raises UserError if overrides change the data, or the split does not exist.
    """
    watcher = watcher or Watcher()
    study = load_study(runs, name)
    configuration = next(iter(study.configurations.values()), {})
    base = _base(configuration)
    config = compose_run(overrides, config_root, base)
    own = {name: value for name, value in base.get("data", {}).items() if name not in ("short_side", "skip_broken")}
    found = differences({"data": own}, {"data": {each: config.resolved["data"][each] for each in own}})
    data = open_and_say(config.data, watcher)
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
    measure = partial(score, config.data, config.train, config.protocol, split, data, folder, watcher)
    wanted = protocol_name(config.protocol, split, data)
    after = measure_study(runs, name, wanted, measure, watcher.console)
    scores = tuple(one for one in after.protocols if one.identity[2:] == wanted)
    return TestedStudy(scores, config.protocol, split, data, len(after.protocols) - len(study.protocols), folder)


def _test(trained: TrainedModel, config: RunConfig, split: str, out: Path, data: VideoData, watcher: Watcher) -> Tested:
    protocol = config.protocol
    scores = tested(trained, config.data, config.train, protocol, split, data, f"testing under {protocol}", watcher)
    path = save_scores(scores, protocol, split, out, trained, data)
    return Tested(scores, trained, protocol, split, data, path)


def _cut_like(candidate: Candidate, overrides: Sequence[str]) -> list[str]:
    """Overrides that set frames and resolution of the data to those of the candidate, unless the user has set them."""
    named = {override.lstrip("+").partition("=")[0] for override in overrides}
    wanted = {"data.frames": candidate.frames, "data.resolution": candidate.resolution}
    return [f"{name}={value}" for name, value in wanted.items() if name not in named]


def _check_same(folder: Path, resolved: Mapping[str, Any]) -> None:
    """Raises UserError if the folder has a run with a checkpoint that was started with other settings."""
    path = folder / _RUN
    if not path.exists() or not (folder / LAST).exists():
        return
    found = differences(_read(path), resolved)
    if found:
        shown = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
        raise UserError(f"{folder} holds a run that was begun with other settings ({shown}); for one of its own: --out DIR")


def _settings_of(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """The data and train settings of a run, without its devices."""
    path = folder / _RUN
    if not path.exists():
        return {}
    found = _base(_read(path))
    # The devices of a test need not be those of the training.
    train = {name: value for name, value in found.get("train", {}).items() if name not in ("device", "devices")}
    return found | {"train": train}


def _base(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The data and train settings in the configuration of a run or a study, without the folder of the cache."""
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
    """Holds the folder's lock. Raises UserError if another process is training in the folder."""
    lock = FileLock.take(folder / "lock")
    if lock is None:
        raise UserError(f"{folder} is being trained by {(folder / 'lock').read_text().strip()}; wait for it, or give --out DIR")
    try:
        lock.note(f"process {os.getpid()} on {os.uname().nodename}")
        yield
    finally:
        lock.release()
        # Leave no folder behind if the call was refused.
        if [path.name for path in folder.iterdir()] == ["lock"]:
            shutil.rmtree(folder)
