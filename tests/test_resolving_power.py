"""benchmarks/resolving_power.py: its figures, its runs, which go on where they were stopped, and its mistakes."""

import csv
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gsfnas.api import bind_space
from gsfnas.config import load_space
from gsfnas.errors import UserError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="no benchmarks beside the tests")


@pytest.fixture
def resolving(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_resolving")


def test_icc_is_that_of_a_published_example(resolving):
    # Shrout and Fleiss (1979), table 2: six targets, four judges; their table 4 has ICC(1,1) = 0.17 and ICC(1,4) = 0.44.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
    assert resolving.icc([ratings], of_means=False) == pytest.approx(0.17, abs=0.005)
    assert resolving.icc([ratings]) == pytest.approx(0.44, abs=0.005)


def test_icc_within_groups_ignores_what_differs_between_them(resolving):
    rng = np.random.default_rng(0)
    placement, noise = rng.normal(size=(2, 400, 1)), rng.normal(size=(2, 400, 3))
    groups = list(placement + noise)
    expected = resolving.icc(groups)
    assert expected == pytest.approx(3 / 4, abs=0.05)  # the variance of placements beside a third of that of the noise
    assert resolving.icc([groups[0], groups[1] + 100]) == pytest.approx(expected)
    assert resolving.icc([np.concatenate([groups[0], groups[1] + 100])]) > 0.99


def test_kendall_tau_corrects_for_ties(resolving):
    one = np.array([1.0, 2.0, 3.0, 4.0])
    assert resolving.kendall_tau(one, np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(4 / 6)  # five pairs agree, one does not
    assert resolving.kendall_tau(one, -one) == pytest.approx(-1)
    assert resolving.kendall_tau(one, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(4 / (6 * 4) ** 0.5)
    assert np.isnan(resolving.kendall_tau(one, np.ones(4)))
    three = np.stack([one, one, -one], axis=1)
    assert resolving.mean_tau(three) == pytest.approx(-1 / 3)


def test_figures_leave_out_the_worst_and_the_best_placement(resolving):
    accuracies = np.array([[10.0, 12.0], [50.0, 52.0], [54.0, 52.0], [60.0, 60.0], [58.0, 60.0], [99.0, 99.0]])
    found = resolving.figures(accuracies, [0, 2, 2, 3, 2, 8])
    assert found.placements == 4
    assert found.range == pytest.approx(60 - 51)
    assert found.seed_sd == pytest.approx((6 / 4) ** 0.5)
    assert found.equal_count_range == pytest.approx(59 - 51)  # the three with two modules
    assert found.equal_count_icc == pytest.approx(resolving.icc([accuracies[[1, 2, 4]]]))
    alone = resolving.figures(accuracies, [0, 2, 3, 4, 5, 8])
    assert np.isnan(alone.equal_count_icc)
    assert np.isnan(alone.equal_count_range)


def test_the_best_single_module_is_a_share_of_what_all_gain(resolving):
    assert resolving.best_single_share(40.0, 90.0, [45.0, 65.0]) == pytest.approx(0.5)
    assert np.isnan(resolving.best_single_share(40.0, 40.0, [45.0]))


def resolving_power(out, *options):
    tiny = (
        "data.train_clips=24",
        "data.val_clips=24",
        "data.test_clips=24",
        "data.resolution=8",
        "data=twins",
        "data.frames=2",
        "train=quick",
    )
    small = (*tiny, "train.epochs=1", "backbone=micro", "--placements=4", "--seeds=2", "--workers=1", f"--out={out}")
    command = [sys.executable, str(BENCHMARKS / "resolving_power.py"), *small, *options]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)


@pytest.mark.extra
def test_resolving_power_trains_each_placement_once_and_goes_on(tmp_path):
    done = resolving_power(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ICC of the placements" in done.stdout
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()))
    # None, all, 8 single ones and 4 random ones, of which some may coincide; two seeds each.
    assert len(rows) == len({(row["key"], row["seed"]) for row in rows})
    by_replicate = [{row["key"] for row in rows if row["replicate"] == replicate} for replicate in ("0", "1")]
    assert by_replicate[0] == by_replicate[1]
    assert 12 <= len(by_replicate[0]) <= 14
    assert sorted(int(row["modules"]) for row in rows).count(1) >= 16
    lines = (tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:-1]) + lines[-1][:20], encoding="utf-8")  # as a kill leaves it
    again = resolving_power(tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--placements=3", "--placements must be at least 4, but got 3"),
        ("--seeds=1", "--seeds must be at least 2, but got 1"),
        ("--placements=300", "must be at most the 256 of space 'placement', but got 300"),
    ],
)
def test_resolving_power_says_a_mistake_in_one_line(option, said, tmp_path):
    done = resolving_power(tmp_path, option)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_resolving_power_refuses_a_list_of_candidates(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("resolving_power")
    rows = bind_space(load_space("table3"), "resnet50", {}, 8, 224)
    with pytest.raises(UserError, match="'table3' is a list of candidates"):
        script.plan(rows, 4, 0)


def test_resolving_power_reads_its_bars(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("resolving_power")
    found = script.Figures(0.8, 0.6, 15, 0.69, 2.0, 30, float("nan"), float("nan"), float("nan"))
    bars = {bar.label: bar for bar in script.bars(found, 40.0, 0.61, is_twins=True)}
    met = {label for label, bar in bars.items() if bar.is_met}
    assert met == {"ICC of the placements", "range of the placements", "no module, at most", "no module, at least"}
    assert len(script.bars(found, 40.0, 0.61, is_twins=False)) == len(bars) - 2
