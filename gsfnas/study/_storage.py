"""The one truth about a study: an Optuna journal file, read and written as records.

Two studies live in one journal: ``<name>`` holds one trial a distinct candidate; ``<name>.measurements`` what is measured of
a candidate later (other seeds, latency, other protocols), since a finished trial cannot change. A trial is written whole, with
its candidate, in one line: there is no instant at which a kill leaves half of one.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gsfnas
from gsfnas.candidate import Site
from gsfnas.errors import UserError
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
)
from gsfnas.space import BoundRows, BoundSpace
from gsfnas.study._locks import JournalLock, exclusive

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

FORMAT = 1
JOURNAL = "journal.log"
_HEADER = "gsfnas"

Part = Literal["main", "measurements"]


@dataclass(frozen=True)
class Run:
    """A run as the storage knows it: its trial, which of the two studies it is in, its record, how often its process died."""

    trial: int
    part: Part
    record: Record
    deaths: int = 0

    @property
    def folder_name(self) -> str:
        """Where its evaluator writes, below the checkpoints' folder."""
        return f"{self.record.candidate.key}-{self.record.seed}"


class StudyStorage:
    """A study's journal. ``create`` makes it where there is none; otherwise one that is not a gsfnas study is refused."""

    def __init__(self, folder: Path, name: str, *, create: bool = False) -> None:
        self.folder, self.name = folder, name
        self.path = folder / JOURNAL
        if create and not self.path.exists():
            self.path.touch()
        with _readable(self.path):
            self._storage = _open(self.path)
            names = {study.study_name for study in self._storage.get_all_studies()}
        wanted: dict[Part, str] = {"main": name, "measurements": f"{name}.measurements"}
        if create and names <= set(wanted.values()):
            self._create([study for study in wanted.values() if study not in names])
        elif not set(wanted.values()) <= names:
            raise UserError(f"{self.path} holds no gsfnas study {name!r} (it has: {', '.join(sorted(names)) or 'nothing'})")
        self._ids = {part: self._storage.get_study_id_from_name(study) for part, study in wanted.items()}
        header = self.attributes.get(_HEADER)
        if header is None and (not create or self._trials("main")):
            raise UserError(f"{self.path} was not written by gsfnas: its study {name!r} carries no {_HEADER!r} attribute")
        if header is not None and header.get("format") != FORMAT:
            raise UserError(
                f"{self.path} was written by gsfnas {header.get('version')} in format {header.get('format')}, this is "
                f"{gsfnas.__version__} with format {FORMAT}; use that version, or another study.name"
            )

    def _create(self, names: list[str]) -> None:
        from optuna.study import StudyDirection

        for name in names:
            both = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
            self._storage.create_new_study(both if name == self.name else both[:1], name)

    @property
    def attributes(self) -> dict[str, Any]:
        """The study's own attributes."""
        return self._storage.get_study_user_attrs(self._ids["main"])

    def set_attribute(self, name: str, value: Any) -> None:
        """Writes an attribute of the study unless it stands there already."""
        if self.attributes.get(name) != json.loads(json.dumps(value)):
            self._storage.set_study_user_attr(self._ids["main"], name, value)

    @property
    def header(self) -> dict[str, Any] | None:
        """What the study is about, written once when it begins; None before."""
        return self.attributes.get(_HEADER)

    def write_header(self, space: BoundSpace, classes: int, identity: Mapping[str, Any]) -> None:
        """Says what the study is about."""
        header = {
            "format": FORMAT,
            "version": gsfnas.__version__,
            "space": space.name,
            "space_size": space.size,
            "sites": [asdict(site) for site in space.sites],
            "classes": classes,
            "identity": dict(identity),
            "rows": [[name, candidate.key] for name, candidate in space.rows] if isinstance(space, BoundRows) else [],
        }
        self._storage.set_study_user_attr(self._ids["main"], _HEADER, header)

    @property
    def sites(self) -> tuple[Site, ...]:
        assert self.header is not None
        return tuple(Site(**site) for site in self.header["sites"])

    def claiming(self) -> AbstractContextManager[None]:
        """The short lock under which workers decide who does what."""
        return exclusive(self.folder / "claim.lock")

    def runs(self) -> list[Run]:
        """All runs: the candidates in the order in which they began, then the replicates."""
        return [
            Run(trial._trial_id, part, from_attributes(trial.user_attrs, _outcome(trial)), trial.user_attrs.get("deaths", 0))
            for part in ("main", "measurements")
            for trial in self._trials(part)
            if "candidate" in trial.user_attrs
        ]

    def latencies(self) -> tuple[Latency, ...]:
        return tuple(
            latency_from_attributes(trial.user_attrs["latency"])
            for trial in self._trials("measurements")
            if "latency" in trial.user_attrs
        )

    def protocols(self) -> tuple[ProtocolScore, ...]:
        return tuple(
            protocol_from_attributes(trial.user_attrs["protocol"])
            for trial in self._trials("measurements")
            if "protocol" in trial.user_attrs
        )

    def last_change(self) -> float:
        """When the journal was last written, in seconds since the epoch."""
        return self.path.stat().st_mtime

    def start(self, record: Record, space: BoundSpace) -> Run:
        """A new running trial, written in one line."""
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

    def add_death(self, run: Run) -> Run:
        """One more process died while it evaluated this run."""
        self._storage.set_trial_user_attr(run.trial, "deaths", run.deaths + 1)
        return replace(run, deaths=run.deaths + 1)

    def finish(self, run: Run, record: Record) -> None:
        """Ends a trial: complete with its values, or failed. ``record`` carries the outcome."""
        from optuna.trial import TrialState

        for name, value in end_attributes(record).items():
            self._storage.set_trial_user_attr(run.trial, name, value)
        if record.outcome == "failed":
            self._storage.set_trial_state_values(run.trial, TrialState.FAIL)
        else:
            values = [record.top1, record.gmacs] if run.part == "main" else [record.top1]
            self._storage.set_trial_state_values(run.trial, TrialState.COMPLETE, values)

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
        return self._storage.get_all_trials(self._ids[part], deepcopy=False)


def _outcome(trial: Any) -> Outcome:
    outcomes: dict[str, Outcome] = {"COMPLETE": "complete", "FAIL": "failed"}
    return outcomes.get(trial.state.name, "running")


def _open(path: Path) -> "JournalStorage":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock: Any = JournalLock(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Says in one line which line of a journal is damaged; Optuna says it later and in many ways."""
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            is_entry = "op_code" in json.loads(line)
        except (ValueError, TypeError):
            is_entry = False
        if not is_entry:
            raise UserError(f"{path} is damaged at line {number}; restore a copy of it, or use another study.name")
    try:
        yield
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(f"{path} cannot be read as an Optuna journal ({type(error).__name__}: {error})") from None


def failed(record: Record, error: str, **changes: Any) -> Record:
    return replace(record, outcome="failed", error=error, **changes)
