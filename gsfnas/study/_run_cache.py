"""Finds runs of other studies by run id, a hash of a run's inputs, so that a run that several studies need is trained once."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gsfnas.errors import UserError
from gsfnas.files import replacing
from gsfnas.record import Record
from gsfnas.storages._attributes import CONFIGURATION, ENVIRONMENT
from gsfnas.storages.base import Run, Storage, StudyStorage
from gsfnas.study._checkpoints import WEIGHTS
from gsfnas.study._settings import check_name


@dataclass(frozen=True)
class CachedRun:
    """A complete run of another study, with its environment and configuration.

    ``weights`` is the path of its weights, which may be missing; it is None if a link there leads out of that study's folder.
    """

    record: Record
    environment: Mapping[str, Any]
    configuration: Mapping[str, Any]
    weights: Path | None

    def write(self, run: Run, storage: StudyStorage, checkpoints: Path) -> None:
        """Copies curve, environment, configuration and weights into the study that reuses it. The caller ends the run."""
        self.write_names(storage)
        for epoch in self.record.curve:
            storage.add_epoch(run, replace(epoch, checkpoint=None))
        if self.weights is not None and self.weights.is_file():
            with replacing(checkpoints / run.folder_name / WEIGHTS) as place:
                shutil.copyfile(self.weights, place)

    def write_names(self, storage: StudyStorage) -> None:
        """Stores the environment and configuration; needed before a record refers to them by hash."""
        storage.set_attribute(f"{ENVIRONMENT}{self.record.environment}", self.environment)
        storage.set_attribute(f"{CONFIGURATION}{self.record.configuration}", self.configuration)


class RunCache:
    """The complete runs with one recipe, data and budget in the sibling folders of ``folder``; read once, on first use."""

    def __init__(self, folder: Path, storage: Storage, recipe: str, data: str, budget: int) -> None:
        self.folder, self.storage = folder, storage
        self.wanted = {"recipe": recipe, "data": data, "budget": budget}

    def find(self, run_id: str) -> CachedRun | None:
        """The run with this id, or None if no other study has it."""
        return self._runs.get(run_id)

    @cached_property
    def _runs(self) -> dict[str, CachedRun]:
        found: dict[str, CachedRun] = {}
        for folder in sorted(self.folder.parent.glob("*/")):
            if folder.name == self.folder.name or not self.storage.holds(folder):
                continue
            try:
                storage = self.storage.open(folder, check_name(folder.name))
            except UserError:
                continue
            header, environments, configurations = storage.header, storage.environments, storage.configurations
            if header is None or any(header.identity.get(name) != value for name, value in self.wanted.items()):
                continue
            for run in storage.runs():
                record = run.record
                if record.outcome == "complete" and record.source is None:
                    found.setdefault(
                        record.run_id,
                        CachedRun(
                            replace(record, source=folder.name),
                            environments.get(record.environment, {}),
                            configurations.get(record.configuration, {}),
                            _inside(folder, folder / "checkpoints" / run.folder_name / WEIGHTS),
                        ),
                    )
        return found


def _inside(folder: Path, path: Path) -> Path | None:
    """The path, or None if a link leads out of the folder, since files elsewhere are not part of that study."""
    return path if path.resolve().is_relative_to(folder.resolve()) else None
