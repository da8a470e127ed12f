"""Data sets by name."""

from collections.abc import Mapping

from gsfnas.data._settings import DataSettings
from gsfnas.data.sets._files import open_files, read_manifest
from gsfnas.data.twins._actions import CLASSES
from gsfnas.data.twins._data_set import TASK, open_twins
from gsfnas.data.video._clips import VideoData
from gsfnas.data.video._probe import OnProgress


def tasks_of(settings: DataSettings) -> Mapping[str, tuple[str, ...]]:
    """Task -> class names, from the annotations alone. Raises UserError where they cannot be used."""
    return {TASK: CLASSES} if settings.name == "twins" else read_manifest(settings).tasks


def open_data(settings: DataSettings, on_progress: OnProgress = lambda done, total: None) -> VideoData:
    """The data set that ``settings`` name; ``on_progress(done, total)`` counts the files that are looked at.

    Raises UserError where its files are not as they must be.
    """
    return open_twins(settings) if settings.name == "twins" else open_files(settings, on_progress)
