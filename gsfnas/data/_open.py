"""Data sets by name."""

from collections.abc import Callable, Mapping

from gsfnas.data._clips import VideoData
from gsfnas.data._folder import open_folder
from gsfnas.data._settings import DataSettings
from gsfnas.data._twins import open_twins

_OPEN: Mapping[str, Callable[[DataSettings], VideoData]] = {"twins": open_twins, "folder": open_folder}


def open_data(settings: DataSettings) -> VideoData:
    """The data set that ``settings`` name. Raises UserError where its files are not as they must be."""
    return _OPEN[settings.name](settings)
