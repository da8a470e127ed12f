"""Storages keep the records of studies, and track which worker evaluates which run."""

from collections.abc import Mapping

from gsfnas.storages.base import Claim, Storage, StudyStorage

# The names that `storage=` accepts.
STORAGES: Mapping[str, str] = {"journal": "gsfnas.storages.journal:JournalStorage"}

__all__ = ["STORAGES", "Claim", "Storage", "StudyStorage"]
