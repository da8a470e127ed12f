"""Storages: what keeps the records of studies, and who evaluates which run."""

from collections.abc import Mapping

from gsfnas.storages.base import Claim, Storage, StudyStorage

# What `storage=` may name.
STORAGES: Mapping[str, str] = {"journal": "gsfnas.storages.journal:JournalStorage"}

__all__ = ["STORAGES", "Claim", "Storage", "StudyStorage"]
