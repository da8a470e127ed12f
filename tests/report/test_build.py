"""A report appears whole or not at all, and drags in neither torch nor optuna."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gsfnas.errors import UserError
from gsfnas.report import build_report
from gsfnas.report.pages import html
from gsfnas.testing import records as synthetic


def test_writes_where_it_is_told_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = build_report(synthetic.anchors_study(), tmp_path / "reports" / "anchors")
    assert path == tmp_path / "reports" / "anchors" / "report.html"
    assert [entry.name for entry in (tmp_path / "reports").iterdir()] == ["anchors"]


def test_a_second_report_replaces_the_first_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    build_report(synthetic.bare_study(), folder)
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    build_report(synthetic.anchors_study(), folder)
    assert "Nothing has run yet" not in (folder / "report.md").read_text(encoding="utf-8")
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_where_making_it_fails_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "study"
    build_report(synthetic.bare_study(), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def broken(*given: object) -> str:
        raise RuntimeError("broken")

    monkeypatch.setattr(html, "page", broken)
    with pytest.raises(RuntimeError, match="broken"):
        build_report(synthetic.anchors_study(), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["study"]


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"the report cannot be written to .*taken") as caught:
        build_report(synthetic.bare_study(), tmp_path / "taken")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_imports_neither_torch_nor_optuna_and_little_before_it_is_asked(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from gsfnas.report import build_report\n"
        "early = {'torch', 'optuna', 'pandas', 'matplotlib', 'plotly', 'scipy', 'numpy'} & set(sys.modules)\n"
        "assert not early, early\n"
        "from gsfnas.testing import records as synthetic\n"
        f"build_report(synthetic.anchors_study(), __import__('pathlib').Path({str(tmp_path / 'x')!r}))\n"
        "late = {'torch', 'optuna', 'torchvision'} & set(sys.modules)\n"
        "assert not late, late\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
