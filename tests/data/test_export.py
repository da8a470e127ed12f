"""Twins as real files, and what comes back from them."""

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest

from gsfnas.data import DataSettings, VideoData, _export, export, open_data
from gsfnas.errors import UserError

COUNTS = {"train": 24, "val": 24, "test": 24}


def settings(folder: Path, **values: object) -> DataSettings:
    given = {f"{split}_clips": count for split, count in COUNTS.items()} | {"cache": str(folder / "cache")} | values
    return DataSettings(resolution=24, frames=5, difficulty=0.5, **given)  # type: ignore[arg-type]


def by_content(data: VideoData, split: str) -> list[tuple[str, np.ndarray]]:
    """The clips under their class names, in an order of their content."""
    ((clips, labels),) = data.splits[split].batches(1000)
    names = [data.tasks["class"][label] for label in labels["class"].tolist()]
    return sorted(zip(names, clips.numpy(), strict=True), key=lambda item: (item[0], item[1].astype(int).sum()))


@pytest.mark.parametrize("format", ["webm", "mp4"])
def test_what_is_written_is_read_back(tmp_path: Path, format: str) -> None:
    seen = []
    twins = settings(tmp_path)
    written = export(twins, tmp_path / "out", format=format, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 72) for number in range(1, 73)]
    assert len(list((tmp_path / "out").rglob(f"*.{format}"))) == 72
    read = open_data(dataclasses.replace(twins, name="folder", root=str(tmp_path / "out")))
    assert set(read.tasks["class"]) == set(written.tasks["class"])
    for split, count in COUNTS.items():
        assert len(read.splits[split]) == count
        for (name, clip), (name_back, clip_back) in zip(by_content(written, split), by_content(read, split), strict=True):
            assert name == name_back
            assert np.abs(clip.astype(int) - clip_back).mean() < 4


@pytest.mark.parametrize(("format", "codec"), [("webm", "libvpx"), ("mp4", "mpeg4")])
def test_a_poorer_encoder_still_keeps_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, codec: str
) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libvpx-vp9", "libx264rgb"})
    assert _export._codec(format)[0] == codec
    twins = settings(tmp_path)
    written = export(twins, tmp_path / "out", format=format)
    read = open_data(dataclasses.replace(twins, name="folder", root=str(tmp_path / "out")))
    clip, label = next(iter(written.splits["test"].batches(1)))
    name = written.tasks["class"][int(label["class"])]
    back = next(clip for other, clip in by_content(read, "test") if other == name)
    assert np.corrcoef(clip.numpy().ravel(), back.ravel())[0, 1] > 0.8


def test_an_interrupted_export_goes_on(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(settings(tmp_path), tmp_path / "out", on_progress=stop)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.webm")}
    assert len(files) == 10
    export(settings(tmp_path), tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.webm"))) == 72
    assert all(path.stat().st_mtime_ns == time for path, time in files.items())


def test_a_file_that_fails_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_export, "_write", fail)
    with pytest.raises(UserError, match="No space left on device"):
        export(settings(tmp_path), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != ".gsfnas-export.json"]


def test_refusals(tmp_path: Path) -> None:
    twins = settings(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        export(twins, tmp_path / "full")
    with pytest.raises(UserError, match="is a file"):
        export(twins, tmp_path / "full" / "thesis.tex")
    with pytest.raises(UserError, match="unknown video format 'gif'"):
        export(twins, tmp_path / "out", format="gif")
    with pytest.raises(UserError, match="unknown export 'zip'"):
        export(twins, tmp_path / "out", as_="zip")
    with pytest.raises(UserError, match="only twins"):
        export(dataclasses.replace(twins, name="folder", root="x"), tmp_path / "out")
    export(twins, tmp_path / "out")
    with pytest.raises(UserError, match="holds an export of other settings"):
        export(dataclasses.replace(twins, seed=3), tmp_path / "out")
