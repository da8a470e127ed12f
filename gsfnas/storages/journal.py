"""Keeps a study in an Optuna journal file, read and written as records.

A journal has two Optuna studies: ``<name>`` with one trial per distinct candidate, and ``<name>.measurements`` with what is
measured later (other seeds, latency, other protocols), since a finished trial cannot be changed. A trial is created with its
candidate in one line, so a kill never leaves half of one.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import gsfnas
from gsfnas import checked
from gsfnas.errors import UserError
from gsfnas.files import exclusive
from gsfnas.metrics import Metric, accuracy_of
from gsfnas.record import (
    Epoch,
    Latency,
    Outcome,
    ProtocolScore,
    Record,
    end_attributes,
    epoch_attribute,
    from_attributes,
    latency_from_attributes,
    latency_to_attributes,
    protocol_from_attributes,
    protocol_to_attributes,
    start_attributes,
    values_for_optuna,
)
from gsfnas.samplers.base import Point
from gsfnas.space import BoundSpace
from gsfnas.storages import _history
from gsfnas.storages._attributes import (
    ASKED,
    CONFIGURATION,
    DESIGN,
    ENDED,
    ENVIRONMENT,
    FORMAT,
    HEADER,
    Asked,
    Header,
    asked_from_attribute,
    design_from_attribute,
    header_from_attribute,
    header_to_attribute,
    named_from_attributes,
    objectives_of_identity,
)
from gsfnas.storages._journal_file import JOURNAL, Journal, open_for_writing
from gsfnas.storages._locks import FileLock, JournalLock, is_running, study_lock
from gsfnas.storages.base import Access, Claim, Part, Run, Storage, StudyStorage

Value = TypeVar("Value")

# The folder of the runs' claims, below a study's folder.
LOCKS = "locks"


@dataclass(frozen=True)
class JournalStorage(Storage):
    """Keeps each study in an Optuna journal file in the study's folder, shared by the processes of one machine."""

    def holds(self, folder: Path) -> bool:
        """Whether ``folder`` has an entry with the journal's name, of any file type; True for a folder that cannot be read."""
        try:
            os.lstat(folder / JOURNAL)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def open(self, folder: Path, name: str, access: Access = "read") -> StudyStorage:
        return JournalStudy(folder, name, access)

    def running(self, folder: Path, name: str) -> AbstractContextManager[None]:
        return study_lock(folder, name)

    def is_running(self, folder: Path) -> bool:
        return is_running(folder)


class JournalStudy(StudyStorage):
    """A study in a journal; see ``Storage.open`` for ``access``.

    Raises UserError if the journal is not of a gsfnas study with that name, or is damaged.
    """

    def __init__(self, folder: Path, name: str, access: Access = "read") -> None:
        self.folder, self.name = folder, name
        self.path = folder / JOURNAL
        self._ended: dict[int, Run] = {}
        if access != "read" and self.path.is_symlink():
            raise UserError(f"{self.path} is a link; a study is run in the folder that holds its journal")
        if access == "create" and not self.path.exists():
            self.path.touch()
        journal = Journal(self.path)
        self._storage = journal.replay()
        found = {study.study_name: study._study_id for study in self._storage.get_all_studies()}
        self._names: dict[Part, str] = {"main": name, "measurements": f"{name}.measurements"}
        is_missing = not set(self._names.values()) <= found.keys()
        if is_missing and (access != "create" or not found.keys() <= set(self._names.values())):
            has = ", ".join(sorted(found)) or "nothing"
            raise UserError(f"{self.path} holds no gsfnas study {name!r} (it has: {has})")
        self._ids = {part: found[study] for part, study in self._names.items() if study in found}
        self._check_format(is_new=access == "create")
        _history.check(journal, name)
        if access != "read":
            self._storage = open_for_writing(self.path, JournalLock(self.path))

    def _check_format(self, *, is_new: bool) -> None:
        """Raises UserError if the study's header is missing or has another format."""
        header = self.attributes.get(HEADER) if "main" in self._ids else None
        if header is None and (not is_new or ("main" in self._ids and self._trials("main"))):
            raise UserError(f"{self.path} was not written by gsfnas: its study {self.name!r} carries no {HEADER!r} attribute")
        if header is None:
            return
        values = header if isinstance(header, dict) else {}
        if values.get("format") != FORMAT:
            raise UserError(
                f"{self.path} was written by gsfnas {values.get('version')} in format {values.get('format')}, this is "
                f"{gsfnas.__version__} with format {FORMAT}; use that version, or another study.name"
            )

    def _create(self, objectives: Sequence[Metric]) -> None:
        """Creates the two Optuna studies, or those that a killed process has not; Optuna wants to know their directions."""
        from optuna.study import StudyDirection

        of_part: dict[Part, Sequence[Metric]] = {"main": objectives, "measurements": [accuracy_of(objectives)]}
        for part, metrics in of_part.items():
            directions = [StudyDirection.MAXIMIZE if one.better == "higher" else StudyDirection.MINIMIZE for one in metrics]
            if part not in self._ids:
                self._ids[part] = self._storage.create_new_study(directions, self._names[part])
            elif self._storage.get_study_directions(self._ids[part]) != directions:
                raise UserError(f"{self.path} was begun with other objectives; remove it, or choose another study.name")

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the study, as stored in the journal."""
        return self._storage.get_study_user_attrs(self._ids["main"]) if "main" in self._ids else {}

    def set_attribute(self, name: str, value: Any) -> None:
        """Writes an attribute of the study, unless it has this value already."""
        if self.attributes.get(name) != json.loads(json.dumps(value)):
            self._storage.set_study_user_attr(self._ids["main"], name, value)

    @property
    def header(self) -> Header | None:
        """What the study searches, written once when it begins; None before."""
        value = self.attributes.get(HEADER)
        return None if value is None else header_from_attribute(value)

    def write_header(self, space: BoundSpace, classes: int, identity: Mapping[str, Any]) -> None:
        """Writes the header, see ``header``."""
        self._create(objectives_of_identity(identity))
        header = header_to_attribute(space, classes, identity, gsfnas.__version__)
        self._storage.set_study_user_attr(self._ids["main"], HEADER, header)

    @property
    def asked(self) -> Asked | None:
        """What the latest call requested; None before the first call."""
        value = self.attributes.get(ASKED)
        return None if value is None else asked_from_attribute(value)

    @property
    def is_complete(self) -> bool:
        """Whether everything that the latest call requested has ended."""
        return ENDED in self.attributes and self.attributes[ENDED] == self.attributes.get(ASKED)

    @property
    def design(self) -> list[Point]:
        """The points of the balanced design so far."""
        return design_from_attribute(self.attributes.get(DESIGN, []))

    @property
    def environments(self) -> dict[str, dict[str, Any]]:
        return named_from_attributes(self.attributes, ENVIRONMENT)

    @property
    def configurations(self) -> dict[str, dict[str, Any]]:
        return named_from_attributes(self.attributes, CONFIGURATION)

    def claiming(self) -> AbstractContextManager[None]:
        """The lock that a worker holds briefly while it is assigned a run or ends one."""
        return exclusive(self.folder / "claim.lock")

    def claim(self, folder_name: str) -> Claim | None:
        return FileLock.take(self.folder / LOCKS / folder_name)

    def sweep(self, running: Collection[str]) -> None:
        for path in files_of_runs(self.folder / LOCKS):
            lock = None if path.name in running else FileLock.take(path)
            # A worker may briefly outlive a call that was killed; its lock is then still taken.
            if lock is not None:
                lock.remove()

    def runs(self) -> list[Run]:
        """All runs: the first runs of candidates in the order in which they began, then the replicates."""
        parts: tuple[Part, ...] = ("main", "measurements")
        return [
            self._ended.get(trial._trial_id) or self._run(trial, part)
            for part in parts
            for trial in self._trials(part)
            if "candidate" in trial.user_attrs
        ]

    def _run(self, trial: Any, part: Part) -> Run:
        """The run of a trial. A run that has ended does not change any more, so it is cached."""
        run = self._read(trial, partial(_run, part))
        if run.record.outcome != "running":
            self._ended[trial._trial_id] = run
        return run

    def latencies(self) -> tuple[Latency, ...]:
        return tuple(
            self._read(trial, lambda trial: latency_from_attributes(trial.user_attrs["latency"]))
            for trial in self._trials("measurements")
            if "latency" in trial.user_attrs
        )

    def protocols(self) -> tuple[ProtocolScore, ...]:
        return tuple(
            self._read(trial, lambda trial: protocol_from_attributes(trial.user_attrs["protocol"]))
            for trial in self._trials("measurements")
            if "protocol" in trial.user_attrs
        )

    def _read(self, trial: Any, what: Callable[[Any], Value]) -> Value:
        """Reads a trial with ``what``; adds file and trial to the message of a UserError."""
        try:
            return what(trial)
        except UserError as error:
            raise UserError(f"{self.path}, trial {trial._trial_id}: {error}") from None

    def last_change(self) -> float:
        """The time of the last write to the journal, in seconds since the Unix epoch."""
        return self.path.stat().st_mtime

    def start(self, record: Record, space: BoundSpace) -> Run:
        """Creates a running trial, written in one line."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import TrialState, create_trial

        part: Part = "measurements" if record.replicate else "main"
        indices = space.encode(record.candidate) if part == "main" and record.candidate in space else {}
        sizes = {site.name: len(options) for site, options in zip(space.sites, space.options, strict=True)}
        trial = create_trial(
            state=TrialState.RUNNING,
            params=indices,
            distributions={site: CategoricalDistribution(tuple(range(sizes[site]))) for site in indices},
            user_attrs={"kind": "run", **start_attributes(record)},
        )
        return Run(self._storage.create_new_trial(self._ids[part], trial), part, record)

    def add_epoch(self, run: Run, epoch: Epoch) -> None:
        self._storage.set_trial_user_attr(run.trial, *epoch_attribute(epoch))

    def add_crash(self, run: Run) -> Run:
        """Counts one more process that died while it evaluated this run."""
        self._storage.set_trial_user_attr(run.trial, _history.CRASHES, run.num_crashes + 1)
        return replace(run, num_crashes=run.num_crashes + 1)

    def finish(self, run: Run, record: Record) -> None:
        """Ends a trial; ``record`` has the outcome: complete (stored with its values), failed or stopped."""
        from optuna.trial import TrialState

        for name, value in end_attributes(record).items():
            self._storage.set_trial_user_attr(run.trial, name, value)
        if record.outcome == "failed":
            self._storage.set_trial_state_values(run.trial, TrialState.FAIL)
        elif record.outcome == "stopped":
            self._storage.set_trial_state_values(run.trial, TrialState.PRUNED)
        else:
            header = self.header
            assert header is not None
            objectives = header.objectives if run.part == "main" else [accuracy_of(header.objectives)]
            self._storage.set_trial_state_values(run.trial, TrialState.COMPLETE, values_for_optuna(record, objectives))

    def add_latency(self, latency: Latency) -> None:
        from optuna.trial import create_trial

        attributes = {"kind": "latency", "key": latency.key, "latency": latency_to_attributes(latency)}
        trial = create_trial(value=latency.median_ms, user_attrs=attributes)
        self._storage.create_new_trial(self._ids["measurements"], trial)

    def add_protocol(self, score: ProtocolScore) -> None:
        from optuna.trial import create_trial

        attributes = {"kind": "protocol", "key": score.key, "protocol": protocol_to_attributes(score)}
        trial = create_trial(value=score.metrics[f"{score.split}_top1"], user_attrs=attributes)
        self._storage.create_new_trial(self._ids["measurements"], trial)

    def _trials(self, part: Part) -> list[Any]:
        return self._storage.get_all_trials(self._ids[part], deepcopy=False) if part in self._ids else []


def _run(part: Part, trial: Any) -> Run:
    outcomes: dict[str, Outcome] = {"COMPLETE": "complete", "FAIL": "failed", "PRUNED": "stopped"}
    record = from_attributes(trial.user_attrs, outcomes.get(trial.state.name, "running"))
    return Run(trial._trial_id, part, record, checked.integer(trial.user_attrs.get(_history.CRASHES, 0), "deaths"))


def files_of_runs(folder: Path) -> list[Path]:
    """The entries of a folder that have the name of a run."""
    return [path for path in folder.iterdir() if re.fullmatch(r"c1-[0-9a-f]{16}-[0-9]+", path.name)] if folder.is_dir() else []
