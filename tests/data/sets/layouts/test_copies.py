"""Clips of which there are two files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from gsfnas.data import check, open_data
from gsfnas.data.video import _probe

from ...media import numbered, write_video
from .exports import settings


def kinetics(exports: Path, tmp_path: Path) -> tuple[Path, Path, str]:
    """A copy, and of one of its clips the file and the path where another copy may lie."""
    root = Path(shutil.copytree(exports / "kinetics400", tmp_path / "set"))
    video = sorted(root.glob("train/*/*.mp4"))[5]
    return root, video, f"more/{video.name}"


def test_of_two_files_of_a_clip_the_one_that_opens_is_taken(
    exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, video, other = kinetics(exports, tmp_path)
    before = open_data(settings(root, "kinetics400"))
    for copy in (other, f"zzz/{video.name}", f"also/{video.name}"):
        (root / copy).parent.mkdir()
        shutil.copy(video, root / copy)
    (root / "also" / video.name).write_bytes(b"cut off")
    video.write_bytes(b"")
    opened: list[Path] = []
    probe = _probe.probe

    def probing(path: Path, names: Sequence[str]) -> object:
        opened.append(path)
        return probe(path, names)

    monkeypatch.setattr(_probe, "probe", probing)
    for _ in range(2):
        data = open_data(settings(root, "kinetics400", skip_broken=False))
        assert (data.fingerprint, data.skipped) == (before.fingerprint, ())
        assert any(name.startswith("more/") for name in data.splits["train"].names + data.splits["val"].names)
    assert opened == [root / "also" / video.name, root / other], "other files of clips that open are left alone"
    assert check(settings(root, "kinetics400")).rows == ()
    # If all are damaged it is the first one that is named.
    for copy in (other, f"zzz/{video.name}"):
        (root / copy).write_bytes(b"cut off")
    (reason,) = open_data(settings(root, "kinetics400")).skipped
    assert reason.startswith(f"also/{video.name}: it cannot be opened")


def test_of_two_files_of_a_clip_a_check_finds_the_one_that_is_whole(exports: Path, tmp_path: Path) -> None:
    root, video, _ = kinetics(exports, tmp_path)
    whole = open_data(settings(root, "kinetics400")).fingerprint
    (root / "train" / "zzz").mkdir()
    shutil.copy(video, root / "train" / "zzz" / video.name)
    write_video(video.with_suffix(".mkv"), numbered(40))
    content = video.with_suffix(".mkv").read_bytes()
    video.unlink()
    # Its first half opens.
    video.with_suffix(".mkv").write_bytes(content[: len(content) // 2])
    assert open_data(settings(root, "kinetics400")).fingerprint != whole
    assert check(settings(root, "kinetics400")).rows == ()
    assert open_data(settings(root, "kinetics400")).fingerprint == whole
