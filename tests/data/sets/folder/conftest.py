"""A folder of clips, and a copy to spoil."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ...media import numbered, write_images, write_video
from .library import CLASSES


@pytest.fixture(scope="package")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rising and falling brightness, as CLASS/CLIP: four videos and two folders of images a class, 24 frames each."""
    root = tmp_path_factory.mktemp("library") / "set"
    for name in CLASSES:
        frames = numbered(24, 36, 48)
        frames = frames[::-1] if name == "fall" else frames
        for number, suffix in enumerate([".mp4", ".webm", ".avi", ".mkv"]):
            write_video(root / name / f"{number}{suffix}", frames + np.uint8(number % 2))
        for number in range(2):
            write_images(root / name / f"images {number}", list(frames + np.uint8(number)))
    (root / "README.txt").write_text("not a class")
    (root / ".hidden").mkdir()
    return root


@pytest.fixture
def root(library: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(library, tmp_path / "set"))
