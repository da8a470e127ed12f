import csv
import io
import json
import re
import subprocess
import sys

import pytest
import yaml

from gsfnas import Candidate, api, price
from gsfnas.api import _space
from gsfnas.config import compose_study, find_roots

SMALL = ("data.train_clips=48", "data.val_clips=48", "data.test_clips=48", "data.resolution=16", "backbone.width=0.25")
TINY = (
    *SMALL,
    *("train.epochs=1", "train.warmup_epochs=0", "train.warm_start=0", "study.replicates=1", "study.name=tiny", "workers=1"),
)


def test_version(gsfnas):
    assert gsfnas("--version")[:2] == (0, "gsfnas 0.1.0\n")


def test_no_command_shows_the_help(gsfnas):
    code, out, _ = gsfnas()
    assert code == 0
    assert "study" in out


def test_lists_show_the_question_of_each_file(gsfnas):
    assert "Which of the backbone's default sites should hold a GSF module?" in gsfnas("space", "list")[1]
    assert "Which sites of a small video CNN should hold a GSF module" in gsfnas("study", "list")[1]


def test_show_prints_what_can_be_run_again(gsfnas, tmp_path):
    _, out, _ = gsfnas("study", "show", "placement", "train.epochs=3")
    (tmp_path / "again.yaml").write_text(out)
    assert gsfnas("study", "show", "again.yaml")[1] == out
    assert yaml.safe_load(out)["train"]["epochs"] == 3
    assert gsfnas("space", "show", "full")[1].startswith("# Which module")


def test_size_counts_a_large_space_and_names_each_choice(gsfnas):
    _, out, _ = gsfnas("space", "size", "full", "--backbone", "micro_bottleneck", "--resolution", "32")
    space = api.bind_space(compose_study("full").space, "micro_bottleneck", {}, 8, 32)
    assert f"{space.size:,} candidates of 16 sites" in out
    assert "gsf:" in out


def test_samples_are_candidates_that_cost_accepts(gsfnas, monkeypatch):
    _, out, _ = gsfnas("space", "sample", "full", "-n", "2", "--seed", "3")
    first, second = out.splitlines()
    assert first != second
    assert gsfnas("space", "sample", "full", "-n", "2", "--seed", "3")[1] == out
    expected = price(Candidate.from_json(first), {"class": 24}).as_record()
    monkeypatch.setattr("sys.stdin", io.StringIO(first))
    _, out, _ = gsfnas("cost", "-", "--classes", 24, "--format", "json")
    assert json.loads(out)["cost"]["total"] == {"module": "", **expected} | {"module": ""}
    assert json.loads(out)["candidate"] == json.loads(first)


def test_the_parts_of_a_cost_add_up(gsfnas):
    _, out, _ = gsfnas("cost", "--space", "placement", "--format", "csv")
    *parts, total = csv.DictReader(io.StringIO(out))
    assert total["part"] == "total"
    for column in ("params", "macs_fvcore", "macs_ptflops", "activations"):
        assert sum(int(part[column]) for part in parts) == int(total[column])


def test_the_head_is_that_of_the_study_and_named(gsfnas):
    _, out, _ = gsfnas("cost", "--study", "placement")
    assert "a head of 20 classes" in out
    full = price(api.bind(compose_study("placement")).full, {"class": 20})
    assert f"{full.total.macs_fvcore:,}" in out
    assert "a head of 1000 classes" in gsfnas("cost", "--space", "placement")[1]


def test_a_built_candidate_is_measured(gsfnas):
    asked = ("cost", "--space", "placement", "--classes", 24, "--measure", "--device", "cpu")
    measured = json.loads(gsfnas(*asked, "--precision", "bfloat16", "--format", "json")[1])["measured"]
    assert 0 < measured["low_ms"] <= measured["median_ms"] <= measured["high_ms"]
    assert (measured["device"], measured["precision"], measured["batch"]) == ("cpu", "bfloat16", 1)
    space = api.bind_space(compose_study("placement").space, "micro", {}, 8, 32)
    weights = 4 * price(space.full, {"class": 24}).total.params
    assert weights < measured["peak_bytes"] < 2 * weights
    assert "MB of tensors at the peak" in gsfnas(*asked)[1]


def test_files_that_are_left_out_are_named(gsfnas, tmp_path):
    assert gsfnas("data", "export", "twins", "--out", "clips", *SMALL[:4])[0] == 0
    broken = next(tmp_path.glob("clips/train/*/*.webm"))
    broken.write_bytes(b"no video")
    asked = ("study", "run", "placement", "--dry-run", "data=folder", "data.root=clips", *SMALL[3:])
    code, _, err = gsfnas(*asked)
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = gsfnas(*asked, "data.skip_broken=true")
    assert code == 0
    assert err.startswith("1 clip is left out: ")
    assert broken.name in err


def test_a_table_is_never_cut(gsfnas):
    _, out, _ = gsfnas("cost", "--study", "placement", "--classes", 174)
    full = price(api.bind(compose_study("placement")).full, {"class": 174})
    assert f"{full.total.macs_ptflops:,}" in out
    assert "layer1.0.conv1" in out


@pytest.mark.parametrize("name", sorted(find_roots().files("studies")))
def test_every_shipped_study_can_be_dry_run(gsfnas, name, tmp_path):
    code, out, _ = gsfnas("study", "run", name, "--dry-run", *SMALL, "data.resolution=32")
    assert code == 0
    assert ("candidates (every row)" if re.fullmatch(r"table[0-9]+", name) else "candidates (2 anchors") in out
    assert "about" in out
    assert not (tmp_path / "runs").exists()


def test_a_space_within_bounds_is_counted_as_enumeration_counts_it(gsfnas):
    bounds = ("params<=2.02e5", "macs_fvcore<=1.93e7")
    space = api.bind_space(compose_study("placement").space, "micro", {}, 8, 32)
    costs = {candidate: price(candidate, {"class": 24}).total for candidate in space}
    within = {candidate for candidate, cost in costs.items() if cost.params <= 202_000 and cost.macs_fvcore <= 19_300_000}
    assert 0 < len(within) < len(costs) == 256
    options = [part for bound in bounds for part in ("--bound", bound)]
    _, out, _ = gsfnas("space", "size", "placement", *options, "--classes", 24)
    line = out.splitlines()[-1]
    assert line == f"{len(within)} candidates of 8 sites on micro within params<=202000 and macs_fvcore<=19300000"
    _, out, _ = gsfnas("space", "sample", "placement", "-n", 300, *options, "--classes", 24)
    assert {Candidate.from_json(line) for line in out.splitlines()} <= within


def test_a_dry_run_within_bounds_prices_only_what_is_within_them(gsfnas, tmp_path):
    space = api.bind(compose_study("placement", [*SMALL]))
    costs = sorted(price(candidate, {"class": 20}).total.macs_fvcore for candidate in space)
    bound = f"study.bounds=[macs_fvcore<={costs[40]}]"
    code, out, _ = gsfnas("study", "run", "placement", "--dry-run", bound, *SMALL)
    assert code == 0
    assert f"{sum(cost <= costs[40] for cost in costs)} candidates of 6 sites on micro14(width=0.25) within" in out
    assert "24 candidates (1 anchors, 12 balanced, 11 searched)" in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("empty", "full", "dearest"))] == [
        "empty",
        "dearest",
    ]
    assert f"{costs[40]:,}" in out
    assert "of the empty and the dearest candidate" in out
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_prices_the_extremes_of_a_space():
    config = compose_study("full", [*SMALL])
    space = api.bind(config)
    some = [price(candidate).total.macs_fvcore for candidate, _ in zip(space, range(300), strict=False)]
    pricer = _space.Pricer(space.backbone, space.frames, space.resolution)
    assert pricer(_space._extreme(space, pricer, min)).total.macs_fvcore <= min(some)
    assert pricer(_space._extreme(space, pricer, max)).total.macs_fvcore >= max(some)


def test_a_study_runs_reports_and_is_taken_up(gsfnas, tmp_path):
    # Options may stand among the overrides.
    code, out, err = gsfnas("study", "run", "placement", "study.trials=2", "--reports", "pages", *TINY)
    assert (code, err.count("anchor")) == (0, 2)
    assert out.splitlines()[0].startswith("best      c1-")
    assert out.splitlines()[1].startswith("baseline  c1-")
    assert out.splitlines()[-1] == "report    pages/tiny/report.html"
    for file in ("report.html", "report.md", "trials.csv", "accuracy_vs_flops.png", "study.yaml", "env.json"):
        assert (tmp_path / "pages" / "tiny" / file).stat().st_size

    best = json.loads(gsfnas("study", "best", "tiny", "--format", "json")[1])
    assert Candidate.from_dict(best).key in gsfnas("study", "best", "tiny")[1]
    assert "2 of 2" in gsfnas("study", "status", "tiny")[1]
    assert "complete" in gsfnas("study", "list")[1]
    assert gsfnas("report", "build", "tiny")[1] == "reports/tiny/report.html\n"

    # Another configuration is refused, before anything is trained; more trials extend the study.
    code, _, err = gsfnas("study", "run", "placement", *TINY, "study.trials=2", "train.lr=0.3")
    assert code == 2
    assert "train.lr: 0.1 -> 0.3" in err
    code, _, err = gsfnas("study", "run", "placement", *TINY, "study.trials=3")
    assert (code, err.count("anchor"), err.count("design")) == (0, 0, 1)
    # What the report keeps can be run: the study is complete, so nothing is trained.
    code, out, err = gsfnas("study", "run", "reports/tiny/study.yaml")
    assert (code, err) == (0, "writing the report\n")


def test_exported_clips_are_read_back(gsfnas, tmp_path):
    settings = [word for word in SMALL if word.startswith("data.")]
    code, out, _ = gsfnas("data", "export", "twins", "--out", "clips", "--format", "mp4", *settings)
    assert (code, out) == (0, "clips\n")
    assert len(list((tmp_path / "clips" / "train").rglob("*.mp4"))) == 48
    code, out, _ = gsfnas("data", "preview", "folder", "data.root=clips", "data.resolution=16", "--out", "sheet.png")
    assert (code, out) == (0, "sheet.png\n")
    assert (tmp_path / "sheet.png").read_bytes()[1:4] == b"PNG"


def test_the_libraries_warnings_are_kept_from_the_user(tmp_path):
    command = [sys.executable, "-m", "gsfnas", "space", "size", "placement"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "256 candidates of 8 sites" in done.stdout
    assert done.stderr == ""
