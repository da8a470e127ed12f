"""Twins in the layout of each public data set, and a copy to spoil."""

import shutil
from pathlib import Path

import pytest

from gsfnas.data import DataSettings, export

from .exports import LAYOUTS, SIZES


@pytest.fixture(scope="package")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    for layout in LAYOUTS:
        export(DataSettings(**SIZES), folder / layout, layout)
    return folder


@pytest.fixture
def root(exports: Path, tmp_path: Path) -> Path:
    """Something-Something V2, a copy to spoil."""
    return Path(shutil.copytree(exports / "something_v2", tmp_path / "set"))
