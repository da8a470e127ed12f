"""What is known of studies, whatever keeps them."""

from pathlib import Path

from gsfnas import study
from gsfnas.api._parts import storage as _storage
from gsfnas.record import StudyRecord
from gsfnas.study import StudySummary


def load_study(runs: str | Path, name: str, storage: str = "journal") -> StudyRecord:
    """Everything a study says so far. Raises UserError where there is none, it cannot be read, or the storage is none."""
    return study.load_study(runs, name, _storage(storage))


def summarise_study(runs: str | Path, name: str, storage: str = "journal") -> StudySummary:
    """How far a study is. Raises UserError as ``load_study``."""
    return study.summarise_study(runs, name, _storage(storage))


def list_studies(runs: str | Path = "runs", storage: str = "journal") -> list[StudySummary]:
    """Every study under ``runs``, newest first: those of the shipped storages, and those of this one."""
    return study.list_studies(runs, _storage(storage))
