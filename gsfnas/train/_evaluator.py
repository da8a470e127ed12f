"""The evaluator that trains each candidate from its initialisation with one recipe."""

import dataclasses
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gsfnas.candidate import Candidate
from gsfnas.data import DataSettings, VideoData, open_data
from gsfnas.errors import UserError
from gsfnas.evaluator import Context, Measurement
from gsfnas.model import build_model
from gsfnas.train import _checkpoint
from gsfnas.train._batch import channels_last
from gsfnas.train._checkpoint import Checkpoint, RunIdentity
from gsfnas.train._device import make_fabric, resolve_device, resolve_precision
from gsfnas.train._evaluate import evaluate_split, metrics_of
from gsfnas.train._fit import fit_epoch, num_steps
from gsfnas.train._optimiser import build_optimiser, learning_rate
from gsfnas.train._settings import TrainSettings


class TrainEvaluator:
    """Trains and scores candidates; ``gsfnas.evaluator.Evaluator`` says what a study asks of it.

    Both arguments can be pickled; the data are opened by ``prepare``. A run writes into ``<context.folder>/<key>-<seed>/``:
    ``last.pt`` after each epoch, ``weights.safetensors`` at the end.
    """

    def __init__(self, train: TrainSettings, data: DataSettings) -> None:
        self.train = train
        self.data = data
        self._context: Context | None = None
        self._opened: VideoData | None = None

    @property
    def recipe_hash(self) -> str:
        return self.train.recipe_hash()

    @property
    def opened(self) -> VideoData:
        """The data, opened once."""
        if self._opened is None:
            self._opened = open_data(self.data)
        return self._opened

    @property
    def data_fingerprint(self) -> str:
        return self.opened.fingerprint

    @property
    def heads(self) -> dict[str, int]:
        """Classes of each task."""
        return {task: len(names) for task, names in self.opened.tasks.items()}

    def prepare(self, space: Any, context: Context) -> None:
        """Opens the data and takes the device; ``space`` is not looked at, since nothing is shared between candidates."""
        self._context = context
        self._device = resolve_device(self.train.device if context.device == "auto" else context.device)
        torch.set_num_threads(context.threads)
        assert self.opened.tasks

    def evaluate(
        self, candidate: Candidate, *, seed: int, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        """One measurement an epoch: ``train_loss``, ``val_top1``, ``val_top5``, ``val_loss``, ``lr`` and the run's ``seconds``.

        The last one adds ``test_top1``, ``test_top5`` and ``test_loss`` of the last epoch's weights; the test split is scored
        nowhere else. ``budget`` takes the place of ``train.epochs``, so the schedule always ends with the run.

        A run goes on after the last epoch found in ``resume_from`` or, where none is given, in its own folder. The measurement
        of that epoch comes first, once more, in case it was not recorded; for a finished run it is the only one. A checkpoint
        that cannot be read counts as none. Raises UserError where ``resume_from`` is of another run and where the data's clips
        do not fit the candidate; FloatingPointError where a loss is not finite; OSError where a checkpoint cannot be written.
        """
        assert self._context is not None, "prepare comes first"
        settings = dataclasses.replace(self.train, epochs=budget)
        self._check_clips(candidate)
        identity = RunIdentity.of(candidate.to_json(), self.heads, seed, settings.recipe_hash(), self.data_fingerprint)
        folder = self._context.folder / f"{candidate.key}-{seed}"
        found = self._find(folder, identity, resume_from)
        if found is not None:
            path = resume_from or folder / _checkpoint.LAST
            yield Measurement(found.epoch, found.curve[-1], path, is_last=found.is_finished)
            if found.is_finished:
                return
        yield from self._run(candidate, identity, settings, folder, found)

    def _run(
        self, candidate: Candidate, identity: RunIdentity, settings: TrainSettings, folder: Path, found: Checkpoint | None
    ) -> Iterator[Measurement]:
        assert self._context is not None
        torch.set_num_threads(self._context.threads)
        fabric = make_fabric(self._device, resolve_precision(settings.precision, self._device))
        network = build_model(candidate, self.heads, seed=identity.seed, dropout=settings.dropout)
        channels_last(network)
        model, optimiser = fabric.setup(network, build_optimiser(network, settings))
        curve = []
        if found is not None:
            assert found.model is not None
            assert found.optimiser is not None
            network.load_state_dict(found.model)
            optimiser.load_state_dict(found.optimiser)
            curve = list(found.curve)

        splits = self.opened.splits
        steps = num_steps(len(splits["train"]), settings.batch_size)
        earlier = curve[-1]["seconds"] if curve else 0.0
        started = time.monotonic()
        for epoch in range(len(curve) + 1, settings.epochs + 1):
            loss = fit_epoch(
                model,
                optimiser,
                fabric,
                splits["train"],
                settings,
                epoch=epoch,
                seed=identity.seed,
                on_step=partial(self._tell, epoch, settings.epochs, steps * settings.epochs),
            )
            is_last = epoch == settings.epochs
            metrics = {"train_loss": loss, "lr": learning_rate(epoch * steps - 1, settings, steps)}
            for split in ("val", "test") if is_last else ("val",):
                scores = evaluate_split(model, splits[split], device=fabric.device, batch_size=2 * settings.batch_size)
                metrics |= metrics_of(scores, split)
            if not abs(metrics["val_loss"]) < float("inf"):
                raise FloatingPointError(f"the validation loss is {metrics['val_loss']} after epoch {epoch}")
            metrics["seconds"] = earlier + time.monotonic() - started
            curve.append(metrics)
            path = self._save(folder, identity, curve, is_last, network, optimiser)
            yield Measurement(epoch, metrics, path, is_last)

    def _save(
        self,
        folder: Path,
        identity: RunIdentity,
        curve: list[Any],
        is_last: bool,
        network: torch.nn.Module,
        optimiser: Any,
    ) -> Path:
        state = network.state_dict()
        if is_last:
            metadata = {name: str(value) for name, value in dataclasses.asdict(identity).items()}
            _checkpoint.save_weights(folder, state, metadata)
            return _checkpoint.save(folder, Checkpoint(identity, len(curve), tuple(curve), is_finished=True))
        checkpoint = Checkpoint(identity, len(curve), tuple(curve), model=state, optimiser=optimiser.state_dict())
        return _checkpoint.save(folder, checkpoint)

    def _find(self, folder: Path, identity: RunIdentity, resume_from: Path | None) -> Checkpoint | None:
        found = _checkpoint.load(resume_from or folder / _checkpoint.LAST, self._device)
        if found is None or found.identity == identity:
            return found
        if resume_from is None:
            return None
        differing = [
            field.name
            for field in dataclasses.fields(identity)
            if getattr(found.identity, field.name) != getattr(identity, field.name)
        ]
        raise UserError(f"checkpoint {resume_from} is of another run: its {', '.join(differing)} differ")

    def _check_clips(self, candidate: Candidate) -> None:
        asked, given = (candidate.frames, candidate.resolution), (self.data.frames, self.data.resolution)
        if asked != given:
            raise UserError(
                f"the candidate reads {asked[0]} frames at {asked[1]} px, but the data give {given[0]} frames at {given[1]} px"
            )

    def _tell(self, epoch: int, epochs: int, total: int, step: int, loss: float) -> None:
        assert self._context is not None
        self._context.on_progress(step, total, f"epoch {epoch}/{epochs}, loss {loss:.3f}")

    def close(self) -> None:
        """Lets the data go."""
        self._opened = None
        self._context = None
