"""Runs that other studies have made. A run is named by what it is, so that what several studies ask is trained once."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gsfnas.errors import UserError
from gsfnas.record import Record
from gsfnas.study._checkpoints import WEIGHTS
from gsfnas.study._storage import JOURNAL, Run, StudyStorage


@dataclass(frozen=True)
class Known:
    """A complete run of another study, what its hashes stand for, and where its weights may lie."""

    record: Record
    environment: Mapping[str, Any]
    configuration: Mapping[str, Any]
    weights: Path

    def write(self, run: Run, storage: StudyStorage, checkpoints: Path) -> None:
        """Its curve, hashes and weights into the study that takes it over; ending the run is the caller's."""
        storage.set_attribute(f"environment:{self.record.environment}", self.environment)
        storage.set_attribute(f"configuration:{self.record.configuration}", self.configuration)
        for epoch in self.record.curve:
            storage.add_epoch(run, replace(epoch, checkpoint=None))
        if self.weights.is_file():
            place = checkpoints / run.folder_name / WEIGHTS
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.weights, place)


class Elsewhere:
    """The complete runs of the studies beside ``folder``, of one recipe, data and budget, as they are when first asked for."""

    def __init__(self, folder: Path, recipe: str, data: str, budget: int) -> None:
        self.folder = folder
        self.wanted = {"recipe": recipe, "data": data, "budget": budget}

    def find(self, run_id: str) -> Known | None:
        """The run of that name; None where nobody made it."""
        return self._runs.get(run_id)

    @cached_property
    def _runs(self) -> dict[str, Known]:
        found: dict[str, Known] = {}
        for path in sorted(self.folder.parent.glob(f"*/{JOURNAL}")):
            folder = path.parent
            if folder.name == self.folder.name:
                continue
            try:
                storage = StudyStorage(folder, folder.name)
            except UserError:
                continue
            identity = (storage.header or {}).get("identity", {})
            if any(identity.get(name) != value for name, value in self.wanted.items()):
                continue
            attributes = storage.attributes
            for run in storage.runs():
                record = run.record
                if record.outcome == "complete" and record.source is None:
                    found.setdefault(
                        record.run_id,
                        Known(
                            replace(record, source=folder.name),
                            attributes.get(f"environment:{record.environment}", {}),
                            attributes.get(f"configuration:{record.configuration}", {}),
                            folder / "checkpoints" / run.folder_name / WEIGHTS,
                        ),
                    )
        return found
