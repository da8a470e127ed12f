"""Labelled clips: Twins, which is rendered, and folders of videos. Torch is imported when the first batch is asked for."""

from gsfnas.data._clips import ClipSplit, VideoData
from gsfnas.data._export import export
from gsfnas.data._open import open_data
from gsfnas.data._preview import preview
from gsfnas.data._settings import DataSettings

__all__ = ["ClipSplit", "DataSettings", "VideoData", "export", "open_data", "preview"]
