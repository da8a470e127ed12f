"""A study, made of a space, an evaluator, a sampler, a stopper, an executor and a storage."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from gsfnas.api._data import open_and_say
from gsfnas.api._environment import describe
from gsfnas.api._folders import check_writable
from gsfnas.api._measure import latency
from gsfnas.api._parts import part, parts_of
from gsfnas.api._space import DryRun, bind, plan
from gsfnas.api._testing import protocol_name, score
from gsfnas.api._watcher import ConsoleWatcher, Watcher
from gsfnas.candidate import Candidate
from gsfnas.component import blaming, trust
from gsfnas.config import StudyConfig, compose_study
from gsfnas.data import VideoData
from gsfnas.errors import UserError, shown
from gsfnas.evaluators import Evaluator
from gsfnas.record import Latency, Record, StudyRecord, best_of
from gsfnas.report import SectionLike, build_report, check_sections
from gsfnas.space import BoundSpace
from gsfnas.study import (
    Afterwards,
    Circumstances,
    Parts,
    StudySettings,
    StudySummary,
    load_study,
    run_study,
    summarise_study,
)
from gsfnas.study._configuration import without_defaults
from gsfnas.train import resolve_device


class Study:
    """A study: evaluates candidates of a space, records the results, and reports them.

    ``settings`` are the name and the size of the study (a string is the name alone). Each of ``sampler``, ``stopper``,
    ``executor`` and ``storage`` is a built-in name, ``package.module:object``, a class or an instance. ``sampler`` may also be
    a list of samplers; then only these are asked, in this order. ``bounds``, such as ``["params<=2e5"]``, restrict the space;
    by default ``settings.bounds``. ``measures_latency`` is whether the latency of every candidate is measured on this machine
    after the search; by default ``settings.latency``. ``objectives`` replaces those of ``settings``. Raises UserError for an
    invalid part.
    """

    def __init__(
        self,
        space: BoundSpace,
        evaluator: Evaluator,
        settings: StudySettings | str,
        *,
        sampler: Any = "tpe",
        stopper: Any = "none",
        executor: Any = "local",
        storage: Any = "journal",
        bounds: Sequence[str] | None = None,
        device: str = "auto",
        measures_latency: bool | None = None,
        watcher: Watcher | None = None,
        objectives: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(space, BoundSpace):
            raise UserError(f"`space` must be a space on a backbone, as gsfnas.api.bind_space makes it, but got {shown(space)}")
        self.space = space
        self.settings = StudySettings(settings) if isinstance(settings, str) else settings
        if bounds is not None:
            self.settings = dataclasses.replace(self.settings, bounds=tuple(bounds))
        if objectives is not None:
            self.settings = dataclasses.replace(self.settings, objectives=tuple(objectives))
        is_chain = isinstance(sampler, list | tuple)
        self.parts = Parts(
            evaluator=part("evaluator", evaluator),
            sampler=tuple(part("sampler", one) for one in sampler) if is_chain else part("sampler", sampler),
            stopper=part("stopper", stopper),
            executor=part("executor", executor),
            storage=part("storage", storage),
        )
        self.device = device
        self.measures_latency = self.settings.latency if measures_latency is None else measures_latency
        self.watcher = watcher or ConsoleWatcher()
        self.config: StudyConfig | None = None

    @classmethod
    def from_config(
        cls,
        name: str,
        overrides: Sequence[str] = (),
        *,
        config_root: Path | None = None,
        watcher: Watcher | None = None,
    ) -> Self:
        """The study that ``gsfnas study run NAME OVERRIDES`` runs. Raises UserError for what the command refuses."""
        if isinstance(overrides, str):
            raise UserError(f"`overrides` must be a list of texts, such as [{overrides!r}], but got {shown(overrides)}")
        return cls.composed(compose_study(name, overrides, config_root), watcher)

    @classmethod
    def composed(cls, config: StudyConfig, watcher: Watcher | None = None) -> Self:
        """The study of a composed configuration."""
        parts = parts_of(config)
        if "data" in config.named_by_user:
            trust(config.data.name)
        study = cls(
            bind(config),
            parts.evaluator,
            config.study,
            **{name: getattr(parts, name) for name in ("sampler", "stopper", "executor", "storage")},
            device=config.train.device,
            watcher=watcher,
        )
        study.config = config
        return study

    def run(self) -> StudyRecord:
        """Runs the study to its end. The same call resumes a stopped study, and only reads a complete one.

        Raises UserError for an error that the user must fix. A KeyboardInterrupt gets a message on how to resume the study,
        which is also shown.
        """
        evaluator = self.parts.evaluator
        if self.config is not None:
            # Checked now, since otherwise an error would only be found after all runs.
            check_sections(self.config.report_sections, is_from_data=True)
        data = self._open() if evaluator.takes_data else None
        with blaming(evaluator, "evaluator"):
            news = evaluator.check(self.space, self.device)
        for line in news:
            self.watcher.say(line)
        environment = describe(self.device)
        if data is not None and data.skipped:
            environment["files_left_out"] = list(data.skipped)
        return run_study(
            self.settings,
            self.space,
            self.parts,
            Circumstances(environment, self._configuration, "" if self.config is None else self.config.yaml),
            self._afterwards(data, environment["device"]),
            device=self.device,
            console=self.watcher.console,
        )

    def plan(self) -> DryRun:
        """Estimates costs and time of the study without running it; only for a study made with ``from_config``."""
        if self.config is None:
            raise UserError("a study is planned from its configuration; make it with Study.from_config")
        return plan(self.config, self.watcher)

    def record(self) -> StudyRecord:
        """The results of the study so far. Raises UserError if it was not started."""
        return load_study(self.settings.runs, self.settings.name, self.parts.storage)

    def status(self) -> StudySummary:
        """The progress of the study. Raises UserError if it was not started."""
        return summarise_study(self.settings.runs, self.settings.name, self.parts.storage)

    def best(self) -> Record:
        """The record that is best in the first accuracy among the objectives. Raises UserError if no candidate is complete."""
        return best_of(self.record())

    def report(self, reports: str | Path = "reports", sections: Sequence[SectionLike] | None = None) -> Path:
        """Writes the report into a folder below ``reports`` with the study's name, and returns the path of its page.

        ``sections`` are names, classes or instances of sections; by default those of the configuration.
        """
        folder = Path(reports) / self.settings.name
        check_writable(folder)
        if sections is None and self.config is not None:
            # Sections that the user has named are trusted already; others must not be.
            return build_report(self.record(), folder, self.config.report_sections, is_from_data=True)
        return build_report(self.record(), folder, sections)

    def _open(self) -> VideoData:
        evaluator: Any = self.parts.evaluator
        data = open_and_say(evaluator.data, self.watcher)
        if self.config is not None:
            # Checked now, since otherwise unavailable views would only be found after training.
            data.split("test").viewed(self.config.protocol.clips, self.config.protocol.crops)
        with blaming(evaluator, "evaluator"):
            evaluator.take(data)
        return data

    @property
    def _configuration(self) -> Mapping[str, Any]:
        if self.config is not None:
            return self.config.resolved
        study = without_defaults("study", dataclasses.asdict(self.settings))
        study = {name: value for name, value in study.items() if value != []}
        return {"study": study, "executor": {"workers": self.parts.executor.workers}}

    def _afterwards(self, data: VideoData | None, device_name: str | None) -> Afterwards:
        with blaming(self.parts.evaluator, "evaluator"):
            heads = dict(self.parts.evaluator.heads)
        evaluator = self.parts.evaluator
        measured: Callable[[Candidate], Latency | None] | None = None
        if self.measures_latency:
            is_known = type(evaluator).known_latency is not Evaluator.known_latency
            measured = evaluator.known_latency if is_known else partial(latency, heads, str(resolve_device(self.device)))
            device_name = None if is_known else device_name
        config = self.config
        if config is None or data is None or config.protocol.views == 1:
            return Afterwards(measured, device_name)
        scores = self.settings.folder / "scores"
        measure = partial(score, config.data, config.train, config.protocol, "test", data, scores, self.watcher)
        return Afterwards(measured, device_name, protocol_name(config.protocol, "test", data), measure)
