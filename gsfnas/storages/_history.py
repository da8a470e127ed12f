"""Checks the order of the lines of a journal, which reveals lines that are missing, duplicated or misplaced.

A study writes, in this order: the two Optuna studies, the header, environment, configuration, request (``asked``), design; then
for each run its trial, its epochs, its final attributes and its final state. Several runs may be in progress at once, and the
sequence may be cut off anywhere by a kill. A resumed run may write its last epoch again, or all epochs if its checkpoint was
lost. So an epoch is either a repetition or the next one, and no epoch is ever skipped.

Optuna records in each line which storage object wrote it (``worker_id``): that of a worker, or of the process that runs the
study. A worker evaluates one run at a time, in order, and writes no more of a run that another worker has resumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gsfnas import checked
from gsfnas.errors import UserError
from gsfnas.metrics import Metric
from gsfnas.record import (
    Epoch,
    Outcome,
    Record,
    end_attribute,
    epoch_from_attribute,
    from_attributes,
    is_epoch,
    latency_from_attributes,
    protocol_from_attributes,
)
from gsfnas.storages._attributes import (
    ASKED,
    CONFIGURATION,
    DESIGN,
    ENDED,
    ENVIRONMENT,
    HEADER,
    check_attribute,
    header_from_attribute,
)
from gsfnas.storages._journal_file import Journal

# Optuna's codes of operations and of trial states.
_CREATE_STUDY, _DELETE_STUDY, _STUDY_ATTRIBUTE, _CREATE_TRIAL, _TRIAL_STATE, _TRIAL_ATTRIBUTE = 0, 1, 2, 4, 6, 8
_RUNNING = 0
_ENDS: dict[int, Outcome] = {1: "complete", 2: "stopped", 3: "failed"}
# The name is stored in journals, so it keeps its old spelling.
CRASHES = "deaths"
_SAID_AT_END = {
    "complete": ("device", "seconds", "metrics"),
    "failed": ("device", "seconds", "error"),
    "stopped": ("device", "seconds", "error"),
}
# The order in which one writer writes the final attributes.
_END_ORDER = ("device", "seconds", "error", "source", "metrics")
_STUDY_ORDER = (HEADER, ASKED, DESIGN, ENDED)


@dataclass
class _Trial:
    """The state of a trial after the lines so far; ``record`` is None for a trial that is not a run.

    ``writer`` is the worker that evaluates it now; ``told`` is the last epoch and ``stage`` the position in ``_END_ORDER`` of
    the last final attribute that this worker has written. ``left`` are the workers that had the run before.
    """

    record: Record | None
    writer: str = ""
    outcome: Outcome = "running"
    epochs: dict[int, Epoch] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    num_crashes: int = 0
    told: int = 0
    stage: int = -1
    left: set[str] = field(default_factory=set)


def check(journal: Journal, name: str) -> None:
    """Raises UserError for the first line that is invalid at its place in the journal of study ``name``."""
    history = _History(name)
    seen: dict[bytes, int] = {}
    for number, (line, entry) in enumerate(zip(journal.lines, journal.entries, strict=True), start=1):
        try:
            # No process writes the same line twice, and lines of different processes differ in the worker id.
            if (first := seen.setdefault(line, number)) != number and history.is_ours(entry):
                raise UserError(f"it is line {first} once more")
            history.add(entry)
        except UserError as error:
            raise journal.damaged(number, str(error)) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise journal.damaged(number, f"it is no entry of a study ({type(error).__name__}: {error})") from None


class _History:
    """The state of a study after the lines so far; ``add`` raises UserError for a line that cannot come next."""

    def __init__(self, name: str) -> None:
        self._main, self._later = name, f"{name}.measurements"
        self._studies: list[str] = []
        self._attributes: dict[str, Any] = {}
        self._objectives: tuple[Metric, ...] = ()
        self._trials: list[_Trial] = []
        # (key, replicate) of all runs, (key, seed) of the complete ones, keys of the complete first runs.
        self._begun: set[tuple[str, int]] = set()
        self._complete: set[tuple[str, int]] = set()
        self._evaluated: set[str] = set()
        self._num_main = self._num_design = self._num_open = 0
        # Writer -> the trial that it evaluates; writer -> position in _STUDY_ORDER of the last attribute that it wrote.
        self._busy: dict[str, int] = {}
        self._stages: dict[str, int] = {}

    def is_ours(self, entry: dict[str, Any]) -> bool:
        """Whether gsfnas writes such lines. Others, which a user added through Optuna, are not checked for duplicates."""
        code = entry["op_code"]
        if code in (_STUDY_ATTRIBUTE, _TRIAL_ATTRIBUTE):
            (name,) = entry["user_attr"]
            of_study = name in (HEADER, ASKED, DESIGN, ENDED) or name.startswith((ENVIRONMENT, CONFIGURATION))
            return of_study or is_epoch(name) or name == CRASHES or name in _END_ORDER
        return code in (_CREATE_STUDY, _CREATE_TRIAL, _TRIAL_STATE)

    def add(self, entry: dict[str, Any]) -> None:
        code, writer = entry["op_code"], entry["worker_id"]
        if code == _CREATE_STUDY:
            name = entry["study_name"]
            if name in self._studies:
                raise UserError(f"study {name!r} begins a second time")
            self._studies.append(name)
        elif code == _DELETE_STUDY:
            self._study(entry)
            self._studies[entry["study_id"]] = ""
        elif code == _STUDY_ATTRIBUTE:
            if self._study(entry) == self._main:
                ((name, value),) = entry["user_attr"].items()
                self._add_attribute(name, value, writer)
        elif code == _CREATE_TRIAL:
            self._trials.append(self._begin(self._study(entry), entry))
            if self._trials[-1].record is not None:
                self._take(len(self._trials) - 1, writer)
        elif code in (_TRIAL_STATE, _TRIAL_ATTRIBUTE):
            number = checked.integer(entry["trial_id"], "trial_id")
            if number >= len(self._trials):
                raise UserError(f"it is of trial {number}, which has not begun")
            trial = self._trials[number]
            if trial.outcome != "running":
                raise UserError(f"it is of trial {number}, which has ended before")
            try:
                if code == _TRIAL_STATE:
                    if trial.record is not None:
                        self._take(number, writer)
                    self._end(trial, checked.integer(entry["state"], "state"))
                elif trial.record is not None:
                    ((name, value),) = entry["user_attr"].items()
                    if is_epoch(name) or name in _END_ORDER:
                        self._take(number, writer)
                    _add(trial, name, value)
            except UserError as error:
                raise UserError(f"trial {number}: {error}") from None

    def _take(self, number: int, writer: str) -> None:
        """Notes that ``writer`` has written a line of a run, as the worker that evaluates it from now on.

        Raises UserError if the writer has another run that has not ended, or if another worker had taken this one over from it.
        """
        trial = self._trials[number]
        busy = self._busy.get(writer, number)
        if busy != number and self._trials[busy].writer == writer and self._trials[busy].outcome == "running":
            raise UserError(f"its process goes on although trial {busy}, which it evaluates, has not ended")
        if writer in trial.left:
            raise UserError("its process goes on although another had taken the run up")
        if trial.writer != writer:
            trial.left.add(trial.writer)
            trial.writer, trial.told, trial.stage = writer, 0, -1
        self._busy[writer] = number

    def _study(self, entry: dict[str, Any]) -> str:
        number = checked.integer(entry["study_id"], "study_id")
        if number >= len(self._studies) or not self._studies[number]:
            raise UserError(f"it is of study {number}, which has not begun")
        return self._studies[number]

    def _add_attribute(self, name: str, value: Any, writer: str) -> None:
        check_attribute(name, value)
        if name == HEADER and (HEADER in self._attributes or self._later not in self._studies):
            raise UserError("the study begins a second time, or before both parts of it are there")
        if name == HEADER:
            self._objectives = header_from_attribute(value).objectives
        if name in (ASKED, DESIGN, ENDED) or name.startswith((ENVIRONMENT, CONFIGURATION)):
            self._require(HEADER, *([ASKED] if name == DESIGN else []))
        if name in _STUDY_ORDER:
            stage = _STUDY_ORDER.index(name)
            if stage <= self._stages.get(writer, -1):
                raise UserError(f"{name!r} comes after {_STUDY_ORDER[self._stages[writer]]!r} of the same process")
            self._stages[writer] = stage
        if name == ASKED and f"{CONFIGURATION}{value['configuration']}" not in self._attributes:
            raise UserError(f"the configuration {value['configuration']!r} that it names is missing")
        known = self._attributes.get(DESIGN, [])
        if name == DESIGN and value[: len(known)] != known:
            raise UserError("the design does not go on from the one before")
        if name == ENDED:
            self._require_ended()
            if value != self._attributes.get(ASKED):
                raise UserError("what has ended is not what was asked")
        self._attributes[name] = value

    def _require(self, *names: str) -> None:
        for name in names:
            if name not in self._attributes:
                raise UserError(f"{name!r} is missing before it")

    def _require_ended(self) -> None:
        """Raises UserError if a run has not ended: lines that follow the search follow the end of every run."""
        if self._num_open:
            open_runs = (n for n, trial in enumerate(self._trials) if trial.record and trial.outcome == "running")
            raise UserError(f"trial {next(open_runs)} has not ended before it")

    def _begin(self, study: str, entry: dict[str, Any]) -> _Trial:
        attributes = checked.mapping(entry.get("user_attrs", {}), "user_attrs")
        is_run = study in (self._main, self._later) and "candidate" in attributes
        if is_run:
            self._require(HEADER, ASKED, DESIGN)
            record = from_attributes(attributes, "running")
            self._check_new(record, is_main=study == self._main)
            if checked.integer(entry.get("state"), "state") != _RUNNING:
                raise UserError("a run ends in the line in which it begins")
            self._begun.add((record.candidate.key, record.replicate))
            self._num_main += study == self._main
            self._num_design += record.phase == "design"
            self._num_open += 1
            return _Trial(record)
        if study == self._later and "latency" in attributes:
            self._require_ended()
            latency = latency_from_attributes(attributes["latency"])
            if latency.key not in self._evaluated:
                raise UserError(f"a latency of {latency.key}, which was not evaluated before it")
        if study == self._later and "protocol" in attributes:
            score = protocol_from_attributes(attributes["protocol"])
            if (score.key, score.seed) not in self._complete:
                raise UserError(f"a score of {score.key} with seed {score.seed}, which was not evaluated before it")
        return _Trial(None, "running" if entry.get("state", _RUNNING) == _RUNNING else "complete")

    def _check_new(self, record: Record, *, is_main: bool) -> None:
        for metric in self._objectives:
            if metric.known == "before" and record.value(metric) is None:
                raise UserError(f"`cost.{metric.key}` is missing")
        key = record.candidate.key
        if is_main != (record.phase != "replicate") or is_main != (record.replicate == 0):
            raise UserError(f"phase {record.phase} and replicate {record.replicate} do not go together")
        due = self._num_main if is_main else len(self._begun)
        if record.number != due:
            raise UserError(f"run {record.number} begins where {due} is due")
        if record.phase == "design" and self._num_design >= len(self._attributes[DESIGN]):
            raise UserError("it is of the design, which has no more points")
        if (key, record.replicate) in self._begun:
            raise UserError(f"candidate {key} begins a second time")
        if not is_main and key not in self._evaluated:
            raise UserError(f"a replicate of {key}, which was not evaluated before it")

    def _end(self, trial: _Trial, state: int) -> None:
        record = trial.record
        if record is None:
            trial.outcome = _ENDS.get(state, "running")
            return
        if state not in _ENDS:
            raise UserError(f"state {state} is none that a run ends in")
        outcome = _ENDS[state]
        missing = [name for name in _SAID_AT_END[outcome] if name not in trial.said]
        missing += [
            f"{prefix}{value}"
            for prefix, value in ((ENVIRONMENT, record.environment), (CONFIGURATION, record.configuration))
            if f"{prefix}{value}" not in self._attributes
        ]
        if missing:
            raise UserError(f"it ends, but {missing[0]!r} is missing before it")
        if outcome == "complete":
            _check_result(trial, self._objectives)
            self._complete.add((record.candidate.key, record.seed))
            self._evaluated.update([] if record.replicate else [record.candidate.key])
        self._num_open -= 1
        trial.outcome = outcome


def _add(trial: _Trial, name: str, value: Any) -> None:
    """Adds an attribute of a run to its trial; raises UserError if it is out of order."""
    if is_epoch(name):
        epoch = epoch_from_attribute(name, value)
        last = max(trial.epochs, default=0)
        if epoch.epoch > last + 1:
            raise UserError(f"epoch {epoch.epoch} comes after {last or 'none'}; epoch {last + 1} is missing")
        if epoch.epoch <= trial.told or trial.stage >= 0:
            told = f"epoch {trial.told}" if trial.stage < 0 else f"{_END_ORDER[trial.stage]!r}"
            raise UserError(f"epoch {epoch.epoch} comes after {told} of the same process")
        trial.epochs[epoch.epoch] = epoch
        trial.told = epoch.epoch
    elif name == CRASHES:
        deaths = checked.integer(value, name)
        if deaths > trial.num_crashes + 1:
            raise UserError(f"death {deaths} comes after {trial.num_crashes or 'none'}")
        trial.num_crashes = deaths
    elif name in _END_ORDER:
        if _END_ORDER.index(name) <= trial.stage:
            raise UserError(f"{name!r} comes after {_END_ORDER[trial.stage]!r} of the same process")
        trial.said[name] = end_attribute(name, value)
        trial.stage = _END_ORDER.index(name)


def _check_result(trial: _Trial, objectives: Sequence[Metric]) -> None:
    """Raises UserError unless the final metrics equal those of the last epoch and have the objectives known after it."""
    metrics = trial.said["metrics"]
    for metric in objectives:
        if metric.known == "after" and metric.key not in metrics:
            raise UserError(f"`metrics.{metric.key}` is missing")
    last = max(trial.epochs, default=0)
    if not last or trial.epochs[last].metrics != metrics:
        raise UserError("it is complete, but its last epoch is missing")
