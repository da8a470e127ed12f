"""The benchmarks that can be run at a tiny size: what they write, what they refuse, which bars they read off."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COLUMNS = "network,module,ratio,path,device,precision,batch,mode,median_ms,over_tsn,memory_mb"
TINY = ("--backbones", "micro", "--resolution", "32", "--frames", "2", "--rounds", "1")

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="no benchmarks beside the tests")


def rows_of(script, folder, *options):
    file = folder / "rows.csv"
    command = [sys.executable, str(BENCHMARKS / script), *TINY, *options, "--csv", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with file.open(encoding="utf-8", newline="") as stream:
        assert stream.readline() == f"{COLUMNS}\n"
        rows = list(csv.DictReader(stream, COLUMNS.split(",")))
    assert all(float(row["median_ms"]) > 0 for row in rows)
    assert all((row["device"], row["precision"], row["batch"]) == ("cpu", "float32", "1") for row in rows)
    return done.stdout, rows


def settings(rows):
    return sorted((row["module"], row["ratio"], row["path"], row["mode"]) for row in rows)


def test_networks_writes_a_row_for_each_configuration(tmp_path):
    modules = ("tsn", "tsm-published", "gsf:1")
    printed, rows = rows_of("networks.py", tmp_path, "--modules", *modules)
    with_path = [("tsm-published", "0.25"), ("gsf", "1.0")]
    assert settings(rows) == sorted(
        [("tsn", "", "plain", mode) for mode in ("forward", "training")]
        + [(*module, path, mode) for module in with_path for path in ("plain", "fast") for mode in ("forward", "training")]
    )
    medians = {(row["module"], row["path"], row["mode"]): float(row["median_ms"]) for row in rows}
    for row in rows:
        tsn = medians["tsn", "plain", row["mode"]]
        assert float(row["over_tsn"]) == pytest.approx(float(row["median_ms"]) / tsn, rel=1e-2)
        assert float(row["memory_mb"]) > 0
    assert "quartiles" in printed
    assert "Bars" not in printed  # they are for 8 x 224 x 224


def test_temporal_operator_writes_a_row_for_each_configuration(tmp_path):
    printed, rows = rows_of("temporal_operator.py", tmp_path, "--modules", "gsf", "tsm")
    # Micro's default sites at 32 px.
    assert {row["network"] for row in rows} == {"micro 16x8x8", "micro 32x4x4", "micro 64x2x2"}
    for network in {row["network"] for row in rows}:
        assert settings(row for row in rows if row["network"] == network) == sorted(
            [("copy", "", "", mode) for mode in ("forward", "training")]
            + [
                (module, "0.25", path, mode)
                for module in ("gsf", "tsm")
                for path in ("plain", "fast")
                for mode in ("forward", "training")
            ]
        )
    assert all(row["over_tsn"] == "" for row in rows)
    # What GSF keeps for the backward pass is not nothing.
    assert all(float(row["memory_mb"]) > 0 for row in rows if row["module"] == "gsf")
    assert "x plain" in printed


def test_decode_compares_the_readers():
    command = [sys.executable, str(BENCHMARKS / "decode.py"), "--rounds", "1", "--clips", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for suffix in ("webm", "mp4"):
        rows = [line for line in done.stdout.splitlines() if f" {suffix} " in line]
        assert [name for name in ("gsfnas", "PyAV", "PyAV, thread_type AUTO") if any(f" {name} " in row for row in rows)] == [
            "gsfnas",
            "PyAV",
            "PyAV, thread_type AUTO",
        ]
    assert ("OpenCV is left out" in done.stdout) == (importlib.util.find_spec("cv2") is None)


@pytest.fixture
def script(request, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module(request.param)
    for name in (request.param, "_measure"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backbones", "micr"], "micro"),
        (["--modules", "gsfx"], "'gsf'"),
        (["--modules", "gsf:2"], "(0, 1]"),
        (["--paths", "fats"], "'fast'"),
        (["--rounds", "0"], "positive integer"),
        (["--csv", "no/such/folder.csv"], "no/such"),
    ],
)
@pytest.mark.parametrize("script", ["networks", "temporal_operator"], indirect=True)
def test_a_mistake_is_said_in_one_line_and_exits_with_2(script, options, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script", *TINY, *options])
    assert script.run(script.main) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


@pytest.mark.parametrize("script", ["networks"], indirect=True)
def test_bars_are_compared_with_the_ratio_of_medians(script, capsys):
    def result(module, ratio, path, times_ms, batch=1):
        return script.Result(script.Setting("resnet50", module, ratio, path, "float32", batch, "forward"), times_ms)

    results = [
        result("tsn", None, "plain", [100.0, 90.0, 110.0]),
        result("gsf", 0.25, "plain", [300.0, 300.0, 300.0]),
        result("gsf", 0.25, "fast", [120.0, 119.0, 500.0]),
        result("gsf", 1.0, "fast", [161.5, 1.0, 162.0]),
        result("tsm", 0.25, "fast", [100.0, 100.0, 100.0], batch=2),
    ]
    met = script.bars_met(results)
    assert [(bar.module, bar.ratio, bar.at_most, path) for bar, path, _ in met] == [
        ("gsf", 0.25, 1.20, "fast"),
        ("gsf", 1.0, 1.60, "fast"),
    ]
    assert [ratio for _, _, ratio in met] == pytest.approx([1.2, 1.615])
    script.show_bars(met)
    first, second = (line for line in capsys.readouterr().out.splitlines() if "gsf" in line)
    assert "met" in first
    assert "missed by 0.015" in second
