"""The evaluator that trains each candidate from its initialisation, all with the same recipe."""

import dataclasses
import gc
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from lightning_fabric import Fabric

from gsfnas.candidate import Candidate
from gsfnas.data import DataSettings, VideoData, open_data
from gsfnas.errors import UserError, shown, unknown
from gsfnas.evaluators.base import Context, Evaluator, Identity, Measurement
from gsfnas.files import exclusive
from gsfnas.model import build_model
from gsfnas.seeds import derive
from gsfnas.train import _checkpoint
from gsfnas.train._checkpoint import Checkpoint, RunIdentity
from gsfnas.train._device import devices_from, make_fabric, resolve_device, resolve_precision
from gsfnas.train._distributed import ProcessDiedError, Tell, launch
from gsfnas.train._graphs import can_replay
from gsfnas.train._run import RunPlan, run_epochs
from gsfnas.train._settings import TrainSettings
from gsfnas.weights import initialise

_TELL_SECONDS = 0.2
_OPTIONS = ("test_each_epoch",)


class TrainEvaluator(Evaluator):
    """Trains and scores candidates.

    With ``test_each_epoch`` every epoch is scored on the test split too, not the last alone; nothing is selected by it. With
    ``train.warm_start`` the network without modules is trained for so many epochs first, once for all candidates, and each
    begins with its weights; modules begin as they always do.

    The data are opened on first use, unless ``opened`` is given; only the settings are pickled. A run writes into
    ``<context.folder>/<key>-<seed>/``: ``last.pt`` after each epoch, ``weights.safetensors`` at the end; the warm start into
    such a folder below ``<context.folder>/warm-start/``.
    """

    takes_data = True

    def __init__(
        self,
        train: TrainSettings,
        data: DataSettings,
        opened: VideoData | None = None,
        *,
        test_each_epoch: bool = False,
    ) -> None:
        if not isinstance(test_each_epoch, bool):
            raise UserError(f"`evaluator.test_each_epoch` must be true or false, but got {shown(test_each_epoch)}")
        self.train = train
        self.data = data
        self.test_each_epoch = test_each_epoch
        self._context: Context | None = None
        self._opened = opened

    @classmethod
    def from_settings(cls, train: TrainSettings, data: DataSettings, options: Mapping[str, Any]) -> Self:
        for option in options:
            if option not in _OPTIONS:
                raise unknown("setting", f"evaluator.{option}", [f"evaluator.{name}" for name in _OPTIONS])
        return cls(train, data, **options)

    def __getstate__(self) -> dict[str, Any]:
        # Each process opens the data itself.
        return {**vars(self), "_context": None, "_opened": None}

    @property
    def budget(self) -> int:  # type: ignore[override]
        return self.train.epochs

    @property
    def devices(self) -> int:  # type: ignore[override]
        return self.train.devices

    @property
    def identity(self) -> Identity:
        # A run without these scores cannot stand in for one with them.
        tested = "-tested" if self.test_each_epoch else ""
        return Identity(f"{self.train.recipe_hash()}{tested}", self.data_fingerprint)

    def take(self, data: Any) -> None:
        self._opened = data

    def check(self, space: Any, device: str) -> Sequence[str]:
        self.check_settings(resolve_device(device))
        said = check_init(self.train, space.empty, self.heads)
        return [said] if said else []

    @property
    def opened(self) -> VideoData:
        """The data set, opened on first use."""
        if self._opened is None:
            self._opened = open_data(self.data)
        return self._opened

    @property
    def data_fingerprint(self) -> str:
        return self.opened.fingerprint

    @property
    def heads(self) -> dict[str, int]:
        """Task -> number of classes."""
        return {task: len(names) for task, names in self.opened.tasks.items()}

    def prepare_once(self, space: Any, context: Context) -> None:
        """Trains the network that all candidates of ``space`` begin with, if there is a warm start; resumes it after a kill."""
        if self.train.warm_start:
            try:
                self._warm_weights(space.empty, context)
            except FloatingPointError as error:
                raise UserError(f"the warm start cannot go on: {error}; a smaller train.lr may help") from None
            except ProcessDiedError as error:
                raise UserError(f"the warm start stopped: {error}; the same command goes on at its last whole epoch") from None

    def _warm_weights(self, candidate: Candidate, context: Context) -> Path:
        """The weights that ``candidate`` begins with, trained unless they are there; the seed is that of recipe and data."""
        plain = dataclasses.replace(candidate, insertions=())
        seed = derive("warm start", self.train.recipe_hash(), self.data_fingerprint)
        folder = context.folder / "warm-start"
        path = folder / f"{plain.key}-{seed}" / _checkpoint.WEIGHTS
        if path.is_file():
            return path
        epochs = self.train.warm_start
        warm_up = min(self.train.warmup_epochs, epochs / 2)
        settings = dataclasses.replace(self.train, epochs=epochs, warmup_epochs=warm_up, warm_start=0)
        trainer = TrainEvaluator(settings, self.data, self.opened)

        def on_progress(done: int, total: int, text: str) -> None:
            context.on_progress(done, total, f"warm start, {text}")

        trainer.prepare(None, dataclasses.replace(context, folder=folder, on_progress=on_progress))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Runs side by side may need it at once: one trains it, the others wait.
        with exclusive(folder / f"{path.parent.name}.lock"):
            if not path.is_file():
                last = _checkpoint.load(path.parent / _checkpoint.LAST)
                if last is not None and last.is_finished:
                    # Its weights were removed.
                    shutil.rmtree(path.parent)
                for _ in trainer.evaluate(plain, seed=seed, budget=epochs):
                    pass
        return path

    def prepare(self, space: Any, context: Context) -> None:
        """Opens the data and selects the device; ``space`` is not used."""
        self._context = context
        self._device = resolve_device(self.train.device if context.device == "auto" else context.device)
        torch.set_num_threads(context.threads)
        self.check_settings(self._device)

    def check_settings(self, device: torch.device) -> None:
        """Raises UserError if the batch has more clips than the training split, or for unavailable devices or precision."""
        devices_from(device, self.train.devices)
        resolve_precision(self.train.precision, device)
        clips = len(self.opened.splits["train"])
        if self.train.batch_size > clips:
            raise UserError(
                f"train: `batch_size` must be at most the {clips} clips of the training split, but got {self.train.batch_size}"
            )

    def evaluate(
        self, candidate: Candidate, *, seed: int, replicate: int = 0, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        """Yields per epoch: ``train_loss``, ``val_top1``, ``val_top5``, ``val_loss``, ``lr`` and the run's ``seconds``.

        Where there is a warm start, it is trained first unless ``prepare_once`` has done so. The last measurement adds
        ``test_top1``, ``test_top5`` and ``test_loss`` of the last epoch's weights; the test split is not used otherwise, unless
        the evaluator tests each epoch. ``budget`` replaces ``train.epochs``, so the schedule always ends with the run.

        A run is resumed from ``resume_from`` or, if that is None, from the last checkpoint in its own folder. The measurement
        of the checkpoint's epoch is yielded first, in case it was not recorded; for a finished run it is the only one. A
        checkpoint that cannot be read is ignored. If memory runs out, training continues after the last epoch with batches in
        twice as many parts; the metric ``accumulate`` is the number of parts.

        Raises UserError if ``resume_from`` is of another run, or the data's clips do not fit the candidate; FloatingPointError
        if a loss is not finite; OSError if a checkpoint cannot be written; RuntimeError if one of several processes dies.
        """
        assert self._context is not None, "prepare comes first"
        settings = dataclasses.replace(self.train, epochs=budget)
        self.check_clips(candidate)
        identity = RunIdentity.of(candidate.to_json(), self.heads, seed, settings.recipe_hash(), self.data_fingerprint)
        folder = self._context.folder / f"{candidate.key}-{seed}"
        path = resume_from or folder / _checkpoint.LAST
        found = self._find(path, identity, is_asked_for=resume_from is not None)
        if found is not None:
            yield Measurement(found.epoch, found.curve[-1], path, is_last=found.is_finished)
            if found.is_finished:
                return
        begin = str(self._warm_weights(candidate, self._context)) if settings.warm_start and found is None else settings.init
        plan = RunPlan(candidate, identity, settings, begin, tuple(self.heads.items()), folder, self.test_each_epoch)
        yield from self._run(plan, found, path)

    def _run(self, plan: RunPlan, found: Checkpoint | None, path: Path) -> Iterator[Measurement]:
        """Trains from ``found``, the checkpoint at ``path``; if memory runs out, again from the last one with smaller parts."""
        parts = int(found.curve[-1].get("accumulate", plan.settings.accumulate)) if found else plan.settings.accumulate
        graphs = plan.settings.cuda_graphs
        while True:
            changed = dataclasses.replace(plan.settings, accumulate=parts, cuda_graphs=graphs)
            plan = dataclasses.replace(plan, settings=changed)
            try:
                yield from self._attempt(plan, found, path)
                return
            except torch.OutOfMemoryError:
                if can_replay(plan.settings, self._device):
                    # Captured passes keep the memory of a step; launched ones may fit, and give the same numbers.
                    graphs = False
                else:
                    parts *= 2
                if parts * plan.settings.devices > plan.settings.batch_size:
                    raise
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            # The checkpoint must be read again, since the failed attempt has changed the momentum buffers in place.
            last = plan.folder / _checkpoint.LAST
            newest = self._find(last, plan.identity)
            found, path = (newest, last) if newest is not None else (self._find(path, plan.identity), path)

    def _attempt(self, plan: RunPlan, found: Checkpoint | None, path: Path) -> Iterator[Measurement]:
        assert self._context is not None
        context, precision = self._context, resolve_precision(plan.settings.precision, self._device)
        if plan.settings.devices == 1:
            torch.set_num_threads(context.threads)
            yield from run_epochs(plan, self.opened, make_fabric(self._device, precision), found, context.on_progress)
            return
        devices = devices_from(self._device, plan.settings.devices)
        work = _RankWork(plan, self.data, None if found is None else path)
        for told in launch(work, self._device, precision, devices, max(1, context.threads // len(devices))):
            if isinstance(told, Measurement):
                yield told
            else:
                context.on_progress(*told)

    def _find(self, path: Path, identity: RunIdentity, *, is_asked_for: bool = False) -> Checkpoint | None:
        found = _checkpoint.load(path)
        if found is None or found.identity == identity:
            return found
        if not is_asked_for:
            return None
        differing = [
            field.name
            for field in dataclasses.fields(identity)
            if getattr(found.identity, field.name) != getattr(identity, field.name)
        ]
        raise UserError(f"checkpoint {path} is of another run: its {', '.join(differing)} differ")

    def check_clips(self, candidate: Candidate) -> None:
        """Raises UserError if frames or resolution of the data differ from those of the candidate."""
        asked, given = (candidate.frames, candidate.resolution), (self.data.frames, self.data.resolution)
        if asked != given:
            raise UserError(
                f"the candidate reads {asked[0]} frames at {asked[1]} px, but the data give {given[0]} frames at {given[1]} px"
            )

    def close(self) -> None:
        """Releases the data."""
        self._opened = None
        self._context = None


def check_init(settings: TrainSettings, candidate: Candidate, heads: Mapping[str, int]) -> str:
    """A sentence on what a candidate gets from the initial weights; empty if it is trained from scratch.

    Raises UserError if these weights do not exist, or are of another network.
    """
    _, found = initialise(build_model(candidate, heads), candidate, settings.init)
    if found is None:
        return ""
    fresh = [what for what in ("insertions", "heads") if any(name.startswith(what) for name in found.missing)]
    begun = [f"some {' and '.join(fresh)} start fresh"] if fresh else []
    return f"train.init={settings.init}: {'; '.join([found.summary(), *begun, *found.notes])}"


@dataclass(frozen=True)
class _RankWork:
    """The work of each process of a distributed run: opens the data and runs the epochs."""

    plan: RunPlan
    data: DataSettings
    resume_from: Path | None

    def __call__(self, fabric: Fabric, tell: Tell) -> None:
        found = None if self.resume_from is None else _checkpoint.load(self.resume_from)
        latest = 0.0

        def on_progress(done: int, total: int, text: str) -> None:
            nonlocal latest
            if time.monotonic() - latest > _TELL_SECONDS:
                latest = time.monotonic()
                tell((done, total, text))

        for measurement in run_epochs(self.plan, open_data(self.data), fabric, found, on_progress):
            tell(measurement)
