"""Lists and loads studies from any storage, which is given by name."""

from pathlib import Path

from gsfnas import study
from gsfnas.api._parts import storage as _storage
from gsfnas.record import StudyRecord
from gsfnas.study import StudySummary


def load_study(runs: str | Path, name: str, storage: str = "journal") -> StudyRecord:
    """All results of a study so far. Raises UserError for an unknown study or storage, or if the study cannot be read."""
    return study.load_study(runs, name, _storage(storage))


def summarise_study(runs: str | Path, name: str, storage: str = "journal") -> StudySummary:
    """The progress of a study. Raises UserError as ``load_study`` does."""
    return study.summarise_study(runs, name, _storage(storage))


def list_studies(runs: str | Path = "runs", storage: str = "journal") -> list[StudySummary]:
    """Every study under ``runs``, newest first: those in built-in storages and those in ``storage``."""
    return study.list_studies(runs, _storage(storage))
