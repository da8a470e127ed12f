"""A folder for videos, and an index that forgets."""

from pathlib import Path

import pytest

from gsfnas.data.video import _decode, _index


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    _index._remembered.clear()


@pytest.fixture
def kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as a long one."""
    monkeypatch.setattr(_index, "_KEEP_BYTES", 0)


@pytest.fixture
def no_rescan(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("read through again")

    monkeypatch.setattr(_decode, "read_packets", fail)
    monkeypatch.setattr(_index, "read_packets", fail)


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")
