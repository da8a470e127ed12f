"""What is in the wheel. Builds it, so it needs the checkout and the build backend."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "gsfnas").is_dir(), reason="no package beside the tests to build a wheel of"),
]


def test_the_wheel_holds_the_package_its_groups_and_what_is_shipped(tmp_path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "gsfnas").rglob("*") if path.suffix in {".py", ".yaml", ".typed"}
    }
    shipped = {
        f"gsfnas/{path.relative_to(ROOT).as_posix()}"
        for group in ("spaces", "studies")
        for path in (ROOT / group).rglob("*.yaml")
    }
    assert {"gsfnas/py.typed", "gsfnas/config/data/twins.yaml", "gsfnas/studies/placement.yaml"} <= package | shipped
    assert package | shipped <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"gsfnas"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
