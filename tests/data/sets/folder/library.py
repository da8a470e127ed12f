"""The classes of the folder, its settings, and its clips as splits."""

from pathlib import Path

import numpy as np
import pytest

from gsfnas.data import DataSettings, VideoData, open_data
from gsfnas.errors import UserError

CLASSES = ("fall", "rise")


def settings(root: Path, **values: object) -> DataSettings:
    given = {"frames": 4, "resolution": 16, "cache": str(root.parent / "cache"), **values}
    return DataSettings(name="folder", root=str(root), **given)  # type: ignore[arg-type]


def divide(root: Path, val: int = 4, test: int = 5) -> Path:
    """CLASS/CLIP to SPLIT/CLASS/CLIP, the numbers being where each split begins."""
    target = root.with_name("divided")
    for name in CLASSES:
        for number, clip in enumerate(sorted((root / name).iterdir())):
            split = "train" if number < val else "val" if number < test else "test"
            (target / split / name).mkdir(parents=True, exist_ok=True)
            clip.rename(target / split / name / clip.name)
    return target


def everything(data: VideoData, split: str) -> tuple[np.ndarray, np.ndarray]:
    ((clips, labels),) = data.splits[split].batches(100)
    return clips.numpy(), labels["class"].numpy()


def refused(data_settings: DataSettings) -> str:
    with pytest.raises(UserError) as caught:
        open_data(data_settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)
