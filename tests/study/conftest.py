"""A study in a temporary folder, on the fake evaluator."""

import functools
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gsfnas.record import Latency, StudyRecord
from gsfnas.space import BoundSpace
from gsfnas.study import StudySettings, run_study

from .edited import Journal
from .fake import BUDGET, FakeEvaluator, fake_price, make_space


@dataclass
class Lab:
    """Runs studies under ``folder`` and keeps what they printed."""

    folder: Path
    printed: list[str] = field(default_factory=list)

    def settings(self, **changes: Any) -> StudySettings:
        return StudySettings(**({"name": "placement", "trials": 8, "workers": 1, "runs": str(self.folder / "runs")} | changes))

    def run(self, space: BoundSpace | None = None, *, make: Callable[[], Any] | None = None, **changes: Any) -> StudyRecord:
        options = {name: changes.pop(name) for name in list(changes) if name not in StudySettings.__dataclass_fields__}
        text = io.StringIO()
        arguments: dict[str, Any] = {
            "budget": BUDGET,
            "classes": 20,
            "recipe": "r1-a",
            "data": "d1-a",
            "environment": {"python": "3.11"},
            "configuration": {"train": {"epochs": BUDGET}, "study": {"trials": changes.get("trials", 8)}},
            "study_yaml": "study: {}\n",
            "device": "cpu",
            "console": Console(file=text, width=200),
        }
        make = make or functools.partial(FakeEvaluator, self.folder)
        try:
            return run_study(self.settings(**changes), space or make_space(), make, fake_price, **(arguments | options))
        finally:
            self.printed.append(text.getvalue())

    def order(self, name: str, value: str) -> None:
        (self.folder / name).write_text(value)

    @property
    def log(self) -> list[dict[str, Any]]:
        path = self.folder / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def evaluations(self) -> list[tuple[str, int]]:
        return [(entry["key"], entry["seed"]) for entry in self.log if entry["what"] == "evaluate"]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> list[str]:
    """A study that was interrupted twice, latencies included, and then extended."""
    lab = Lab(tmp_path_factory.mktemp("written"))

    def measure(candidate):
        return Latency(candidate.key, 1.0, 0.5, 1.5, "cpu", 1, "float32")

    for after in ("5", "9"):
        lab.order("interrupt", after)
        with pytest.raises(KeyboardInterrupt):
            lab.run(trials=4, replicates=2, measure_latency=measure)
    lab.run(trials=4, replicates=2, measure_latency=measure)
    lab.run(trials=6, replicates=2, measure_latency=measure)
    return (lab.folder / "runs" / "placement" / "journal.log").read_text().splitlines()


@pytest.fixture
def journal(tmp_path, written) -> Journal:
    return Journal(tmp_path, written)
