"""What a data set must provide, whether it is ours or a user's own (``data.name=package.module:Class``).

A set of files derives from ``FileSet`` and lists its clips; decoding, caching, sampling, augmentation, checks and previews
come with it. Anything else, such as clips that are rendered, has the two methods of ``DataSet``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gsfnas.data._settings import DataSettings
from gsfnas.data.video._clips import VideoData
from gsfnas.data.video._probe import OnProgress


class DataSet(Protocol):
    """Labelled clips. An instance is made without arguments, or with those of ``data.options``."""

    def tasks(self, settings: DataSettings) -> Mapping[str, tuple[str, ...]]:
        """Task -> class names, without opening a clip. The first task is the one that a study searches for."""
        ...

    def open(self, settings: DataSettings, on_progress: OnProgress) -> VideoData:
        """The splits ``train``, ``val`` and ``test``, cut to ``settings.frames`` and ``settings.resolution``.

        The same settings give the same clips, labels and fingerprint. ``on_progress(done, total)`` may be called with counts
        of files. Raises UserError where the settings or the files cannot be used.
        """
        ...


@dataclass(frozen=True)
class LabelledClip:
    """A video, or a folder of images, and its class; or the part of it from ``start_s`` to before ``stop_s`` seconds.

    ``path`` is relative to the root, with ``/``. ``fps`` is needed for a part of a folder of images, which has no clock.
    """

    path: str
    label: str
    split: str = "train"
    start_s: float | None = None
    stop_s: float | None = None
    fps: float | None = None
