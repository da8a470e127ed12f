"""Data sets of labelled clips: Twins (rendered), public data sets on disk, and those of users.

Names are imported on first use, so importing the settings is cheap; torch is imported with the first batch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsfnas.data._manifest import Entry as Entry
    from gsfnas.data._manifest import Manifest as Manifest
    from gsfnas.data._manifest import Problem as Problem
    from gsfnas.data._open import open_data as open_data
    from gsfnas.data._open import tasks_of as tasks_of
    from gsfnas.data._settings import DataSettings as DataSettings
    from gsfnas.data.sets._files import FileSet as FileSet
    from gsfnas.data.sets.base import DataSet as DataSet
    from gsfnas.data.sets.base import LabelledClip as LabelledClip
    from gsfnas.data.tools._check import Check as Check
    from gsfnas.data.tools._check import check as check
    from gsfnas.data.tools._export import export as export
    from gsfnas.data.tools._preview import preview as preview
    from gsfnas.data.video._clips import ClipSplit as ClipSplit
    from gsfnas.data.video._clips import VideoData as VideoData
    from gsfnas.data.video._clips import part_of as part_of

_MODULE_OF = {
    "Check": "tools._check",
    "ClipSplit": "video._clips",
    "DataSet": "sets.base",
    "DataSettings": "_settings",
    "Entry": "_manifest",
    "FileSet": "sets._files",
    "LabelledClip": "sets.base",
    "Manifest": "_manifest",
    "Problem": "_manifest",
    "VideoData": "video._clips",
    "check": "tools._check",
    "export": "tools._export",
    "open_data": "_open",
    "part_of": "video._clips",
    "preview": "tools._preview",
    "tasks_of": "_open",
}
__all__ = [
    "Check",
    "ClipSplit",
    "DataSet",
    "DataSettings",
    "Entry",
    "FileSet",
    "LabelledClip",
    "Manifest",
    "Problem",
    "VideoData",
    "check",
    "export",
    "open_data",
    "part_of",
    "preview",
    "tasks_of",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gsfnas.data' has no attribute {name!r}")
    return getattr(import_module(f"gsfnas.data.{_MODULE_OF[name]}"), name)
