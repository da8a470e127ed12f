"""The benchmarks that can be run at a tiny size: what they write, what they refuse, which bars they read off."""

import csv
import importlib
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


def run_gpu(*options, **environment):
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *map(str, options)]
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=given, check=False)


@pytest.mark.extra
def test_gpu_runs_a_part_and_keeps_what_another_found(tmp_path):
    out = tmp_path / "gpu"
    done = run_gpu("--small", "--part", "operator", "--apart", "--out", out)
    assert done.returncode == 0, done.stderr
    with (out / "operator.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["shape"] for row in rows} == {"micro 16x8x8", "micro 32x4x4", "micro 64x2x2"}
    assert {(row["module"], row["path"]) for row in rows} >= {("copy", ""), ("gsf", "plain"), ("gsf", "fast"), ("tsm", "fast")}
    assert all(float(row["median_ms"]) > 0 for row in rows)
    before = (out / "operator.csv").read_text(encoding="utf-8")

    done = run_gpu("--small", "--part", "networks", "--out", out)
    assert done.returncode == 0, done.stderr
    assert (out / "operator.csv").read_text(encoding="utf-8") == before
    page = (out / "report.md").read_text(encoding="utf-8")
    parts = {part.split()[0].rstrip(":"): part for part in page.split("\n## ")[1:]}
    assert list(parts) == ["Bars", "tests", "operator", "networks", "table12", "study", "resnet50"]
    assert "| micro 16x8x8 | " in parts["operator"]
    assert "| micro training, float32, 1, eager | " in parts["networks"]
    # The compiled path is left out on a CPU; nobody ran the other parts.
    assert "| not run |" in parts["operator"]
    assert all("not run" in parts[part] for part in ("tests", "table12", "study", "resnet50"))
    assert "torch" in page
    # The bars are a card's, and a dry run meets none.
    assert page.count(": not run") >= 7
    assert page.startswith("# gsfnas on a GPU: a dry run on the CPU, in which nothing is measured\n")
    assert "forward, float32, 1 clip of 2 frames, ms" in parts["operator"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--part", "netwroks", "--out", "x"], "unknown part 'netwroks'; the parts are tests, operator, networks"),
        ([], "--out DIR is missing"),
        (["--out", __file__], "--out must be a folder"),
        (["--out", f"{__file__}/gpu"], f"--out must be a folder, but {__file__} is a file"),
        (["--out", "x", "--lrage"], "--lrage"),
    ],
)
def test_gpu_says_a_mistake_in_one_line(options, said, tmp_path):
    done = run_gpu(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_gpu_without_a_gpu_names_the_dry_run(tmp_path):
    done = run_gpu("--out", tmp_path / "gpu", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr == "error: torch finds no CUDA device; --small runs every part on the CPU, tiny\n"
    assert not (tmp_path / "gpu").exists()


@pytest.fixture
def gpu(monkeypatch):
    """Imports a module of the GPU's benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield lambda name: importlib.import_module(f"_gpu.{name}" if name else "_gpu")
    for name in [name for name in sys.modules if name.partition(".")[0] in {"_gpu", "gpu"}]:
        del sys.modules[name]


def test_all_packages_that_are_missing_are_named_at_once(gpu, monkeypatch):
    needs = gpu("needs")
    assert needs.find_missing(["tests"]) == []
    find = importlib.util.find_spec
    monkeypatch.setattr(
        needs.importlib.util, "find_spec", lambda name: None if name in ("optuna", "antlr4", "pytest") else find(name)
    )
    monkeypatch.setattr(needs, "version", lambda name: "2.8.1+cu128" if name == "torch" else "99")
    assert needs.find_missing(["tests"]) == [
        "optuna>=5.0",
        "torch>=2.9 (found 2.8.1+cu128)",
        "antlr4-python3-runtime",
        "pytest",
    ]
    assert needs.find_missing(["operator"])[-1] == "antlr4-python3-runtime"


def a_card(monkeypatch, gpu, gigabytes):
    import torch

    properties = type("Properties", (), {"total_memory": int(gigabytes * 1e9)})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(gpu("machine"), "describe", lambda device: {"device": "Card"})


def test_a_card_that_is_too_small_is_told_what_it_lacks(gpu, monkeypatch, tmp_path):
    a_card(monkeypatch, gpu, 8.1)
    assert gpu("call").run("networks", tmp_path, is_small=False, seconds=1) == 0
    found = gpu("results").read(tmp_path, "networks")
    assert found.ended == "skipped: it needs a card with 22 GB, and this one has 8.1"
    gpu("page").write(tmp_path)
    assert found.ended in (tmp_path / "report.md").read_text()


def test_a_part_that_fails_keeps_what_it_had(gpu, monkeypatch, tmp_path):
    a_card(monkeypatch, gpu, 80)

    def run(call):
        call.add({"workers": 2, "is_whole": True, "seconds": 200.0, "candidate_keys": "c1-a c1-b", "best_val_top1": 0.8364})
        raise RuntimeError("CUDA error: an illegal memory access\nand more")

    monkeypatch.setattr(gpu("study"), "run", run)
    assert gpu("call").run("study", tmp_path, is_small=False, seconds=1) == 1
    found = gpu("results").read(tmp_path, "study")
    assert found.ended == "failed: RuntimeError: CUDA error: an illegal memory access"
    gpu("page").write(tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "- the default study: at most 180 s: 200 s, missed by 20 s" in page
    assert "| 2 | 200 | " in page
    assert "| 4 | not run | " in page
    assert "| 83.6 |" in page  # top-1 in percent


def test_a_part_whose_process_dies_is_said_to_have_failed(gpu, monkeypatch, tmp_path):
    results, script = gpu("results"), importlib.import_module("gpu")

    def dies(name, arguments):
        results.save(results.Result(name, False, {"device": "Card"}, "now", [{"stage": "reading"}]), tmp_path)
        return -9

    monkeypatch.setattr(script, "check", lambda arguments: None)
    monkeypatch.setattr(script, "run_apart", dies)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--part", "resnet50", "--out", str(tmp_path)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert script.main() == 1
    assert "failed: its process died (signal 9)" in (tmp_path / "report.md").read_text()
    assert results.read(tmp_path, "resnet50").rows == [{"stage": "reading"}]


def test_results_of_a_card_and_of_a_dry_run_are_not_mixed(gpu, tmp_path):
    results = gpu("results")
    for is_small, said in ((True, "a dry run (--small)"), (False, "a Card")):
        results.save(results.Result("study", is_small, {"device": "Card"}, "now"), tmp_path)
        assert results.clash(tmp_path, is_small=is_small) is None
        assert results.clash(tmp_path, is_small=not is_small) == said


def test_the_bars_of_a_card_are_read_off_its_rows(gpu):
    def row(module, mode, execution, path, median_ms):
        where = {"network": "resnet50", "precision": "bfloat16", "batch": 16, "mode": mode, "execution": execution}
        return {**where, "module": module, "ratio": 0.25, "path": path, "median_ms": median_ms}

    rows = [
        row("tsm", "forward", "eager", "fast", 10.0),
        row("gsf", "forward", "eager", "fast", 10.8),
        row("gsf", "forward", "eager", "plain", 99.0),
        row("tsm", "training", "compile", "plain", 10.0),
        row("gsf", "training", "compile", "plain", 12.0),
    ]
    said = list(map(str, gpu("networks").bars(rows)))
    assert said[0] == "GSF, ResNet-50, forward, 16 clips, bf16, eager: at most 1.1 x TSM (goal 1.05 x TSM): 1.08 x TSM, met"
    assert said[1].endswith("graph: at most 1.1 x TSM (goal 1.05 x TSM): not run")
    assert said[5] == "GSF, ResNet-50, training, 16 clips, bf16, compile: at most 1.15 x TSM: 1.2 x TSM, missed by 0.05 x TSM"
    rows[1]["median_ms"] = 10.4
    assert str(gpu("networks").bars(rows)[0]).endswith("1.04 x TSM, met, and the goal too")


def test_the_limit_of_an_epoch_is_its_slowest_stage(gpu):
    rows = [
        {"stage": stage, "clips_a_second": speed}
        for stage, speed in (("reading", 300.0), ("copying", 9000.0), ("computing", 200.0), ("all of it", 180.0))
    ]
    assert gpu("resnet50").limit(rows) == (
        "the limit is computing (reading 300, copying 9000, computing 200 clips a second, each by itself); "
        "all of it reaches 180, 90% of that"
    )
    assert gpu("resnet50").limit(rows[:3]).endswith("each by itself)")


def test_each_test_of_a_report_is_a_row(gpu, tmp_path):
    report = tmp_path / "report.xml"
    cases = (
        '<testcase classname="tests.gpu.test_a" name="test_x[cuda]" time="1.5" />',
        '<testcase classname="tests.gpu.test_a" name="test_y" time="0.5"><failure message="1 == 2&#10;more" /></testcase>',
        '<testcase classname="tests.gpu.test_b" name="test_z" time="0"><skipped message="needs 2 GPUs" /></testcase>',
    )
    report.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    assert gpu("tests").read_report(report) == [
        {"test": "test_a::test_x[cuda]", "outcome": "passed", "seconds": 1.5, "said": ""},
        {"test": "test_a::test_y", "outcome": "failed", "seconds": 0.5, "said": "1 == 2 more"},
        {"test": "test_b::test_z", "outcome": "skipped", "seconds": 0.0, "said": "needs 2 GPUs"},
    ]


def test_every_part_is_planned_within_its_time(gpu):
    """The most important first: what the bars ask stands before everything else."""
    parts = gpu("")
    assert all((parts.ROOT / "benchmarks" / "_gpu" / f"{name}.py").is_file() for name in parts.PARTS)
    works = gpu("networks").plan(is_small=False)
    assert [(work.network, work.precision, work.batch, work.mode, work.execution) for work in works[:2]] == [
        ("resnet50", "bfloat16", 16, mode, "eager") for mode in ("forward", "training")
    ]
    asked = {
        (batch, precision, execution)
        for batch in (1, 16)
        for precision in ("bfloat16", "float16")
        for execution in ("eager", "graph")
    }
    assert asked <= {(work.batch, work.precision, work.execution) for work in works if work.network == "resnet50"}
