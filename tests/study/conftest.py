"""A study in a temporary folder, on the fake evaluator."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gsfnas.component import find
from gsfnas.executors.local import LocalExecutor
from gsfnas.record import Latency, StudyRecord
from gsfnas.samplers import SAMPLERS
from gsfnas.space import BoundSpace
from gsfnas.stoppers import NoStopper
from gsfnas.storages.journal import JournalStorage
from gsfnas.study import Afterwards, Circumstances, Parts, StudySettings, run_study
from gsfnas.testing.fake import BUDGET, FakeEvaluator, fake_price, make_space

from .edited import Journal


@dataclass
class Lab:
    """Runs studies under ``folder`` and keeps what they printed."""

    folder: Path
    printed: list[str] = field(default_factory=list)

    def settings(self, **changes: Any) -> StudySettings:
        return StudySettings(**({"name": "placement", "trials": 8, "runs": str(self.folder / "runs")} | changes))

    def run(self, space: BoundSpace | None = None, **changes: Any) -> StudyRecord:
        """``changes`` are settings of the study, its parts (``evaluator``, ``sampler``, ``workers``), or what follows it."""

        def take(cls: type[Any]) -> dict[str, Any]:
            return {name: changes.pop(name) for name in list(changes) if name in cls.__dataclass_fields__}

        space = space or make_space()
        text = io.StringIO()
        console = changes.pop("console", Console(file=text, width=200))
        sampler = changes.pop("sampler", "tpe")
        search = find(sampler, SAMPLERS, "sampler")() if isinstance(sampler, str) else sampler
        executor = LocalExecutor(changes.pop("workers", 1))
        configuration = {"train": {"epochs": BUDGET}, "study": {"trials": changes.get("trials", 8)}}
        circumstances = {"environment": {"python": "3.11"}, "configuration": configuration, "study_yaml": "study: {}\n"}
        circumstances |= take(Circumstances)
        evaluator = changes.pop("evaluator", None) or FakeEvaluator(self.folder, **take(FakeEvaluator))
        stopper = changes.pop("stopper", NoStopper())
        afterwards = Afterwards(**take(Afterwards))
        parts = Parts(evaluator, search, stopper, executor, JournalStorage(), fake_price, changes.pop("latencies", None))
        settings = self.settings(**changes)
        try:
            return run_study(settings, space, parts, Circumstances(**circumstances), afterwards, device="cpu", console=console)
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
            lab.run(trials=4, replicates=2, latency=measure)
    lab.run(trials=4, replicates=2, latency=measure)
    lab.run(trials=6, replicates=2, latency=measure)
    return (lab.folder / "runs" / "placement" / "journal.log").read_text().splitlines()


@pytest.fixture
def journal(tmp_path, written) -> Journal:
    return Journal(tmp_path, written)
