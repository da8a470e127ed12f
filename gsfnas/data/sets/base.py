"""The interface of a data set, built-in or a user's own (``data.name=package.module:Class``).

A data set of files derives from ``FileSet`` and only lists its clips; ``FileSet`` does decoding, caching, sampling,
augmentation, checks and previews. Any other data set, such as one that renders its clips, implements ``DataSet``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gsfnas.data._settings import DataSettings
from gsfnas.data.video._clips import VideoData
from gsfnas.data.video._probe import OnProgress


class DataSet(Protocol):
    """A data set of labelled clips. The class is instantiated with the arguments in ``data.options``, if any."""

    def tasks(self, settings: DataSettings) -> Mapping[str, tuple[str, ...]]:
        """Task -> class names, without opening a clip. The first task is the main one, whose accuracy a study optimizes."""
        ...

    def open(self, settings: DataSettings, on_progress: OnProgress) -> VideoData:
        """Opens the splits ``train``, ``val`` and ``test``, with clips of ``settings.frames`` and ``settings.resolution``.

        The same settings must give the same clips, labels and fingerprint. ``on_progress(done, total)`` may be called to report
        progress in files. Raises UserError for unusable settings or files.
        """
        ...


@dataclass(frozen=True)
class LabelledClip:
    """A video or a folder of images with its class, or the part of it in [``start_s``, ``stop_s``) seconds.

    ``path`` is relative to the root and uses ``/``. A part of a folder of images needs ``fps``, since images have no time
    stamps.
    """

    path: str
    label: str
    split: str = "train"
    start_s: float | None = None
    stop_s: float | None = None
    fps: float | None = None
