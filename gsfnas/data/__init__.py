"""Labelled clips: Twins, which is rendered, and data sets on disk. Torch is imported when the first batch is asked for."""

from gsfnas.data._open import open_data, tasks_of
from gsfnas.data._settings import DataSettings
from gsfnas.data.tools._check import Check, check
from gsfnas.data.tools._export import export
from gsfnas.data.tools._preview import preview
from gsfnas.data.video._clips import ClipSplit, VideoData, part_of

__all__ = [
    "Check",
    "ClipSplit",
    "DataSettings",
    "VideoData",
    "check",
    "export",
    "open_data",
    "part_of",
    "preview",
    "tasks_of",
]
