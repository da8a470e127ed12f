"""The layouts, their settings, and the clips that they should give."""

from pathlib import Path

import numpy as np

from gsfnas.data import DataSettings, VideoData, open_data

LAYOUTS = ("something_v1", "something_v2", "kinetics400", "diving48", "epic_kitchens_100")

SIZES = {"train_clips": 96, "val_clips": 48, "test_clips": 48, "frames": 4, "resolution": 16}


def twins() -> VideoData:
    return open_data(DataSettings(**SIZES))


def settings(root: Path, name: str = "something_v2", **values: object) -> DataSettings:
    given = {
        "frames": 4,
        "resolution": 16,
        "skip_broken": True,
        "val_share": 1 / 3,
        "cache": str(root.parent / "cache"),
        **values,
    }
    return DataSettings(name=name, root=str(root), **given)  # type: ignore[arg-type]


def everything(data: VideoData, split: str, **seeds: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    ((clips, labels),) = data.splits[split].batches(1000, **seeds)
    return clips.numpy(), {task: values.numpy() for task, values in labels.items()}
