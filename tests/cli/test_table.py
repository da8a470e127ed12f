"""``gsfnas table`` from rows to files: costs without any study, accuracies from one, and what does not fit."""

import csv
import json

import pytest

from gsfnas.candidate import Candidate
from gsfnas.paper import NUMBERS, load_table

TINY = (
    *("data.train_clips=48", "data.val_clips=48", "data.test_clips=48", "data.resolution=16", "backbone.width=0.25"),
    *("train.epochs=1", "train.warmup_epochs=0", "workers=1"),
)
PLACEMENT = "{role: conv3, kind: after, module: gsf, ratio: 0.25}"


@pytest.mark.slow
def test_all_tables_have_their_costs_without_any_study(gsfnas, tmp_path):
    code, out, _ = gsfnas("table", "all", "--no-latency", "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == sum(len(load_table(number).rows) for number in NUMBERS)
    ours = [row for row in rows if row["candidate"]]
    assert len(ours) == 32 + 13 + 2 + 3 + 1 + 2
    assert all(float(row["params_m"]) and float(row["gmacs_ptflops"]) and float(row["gmacs_fvcore"]) for row in ours)
    assert {row["verdict"] for row in rows if not row["candidate"]} == {"published"}
    assert all(row["top1_n"] == "0" and row["top1_verdict"] in ("not run", "published") for row in rows)

    code, out, _ = gsfnas("table", "all", "--no-latency", "--out", "tables")
    assert code == 0
    written = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert written == sorted(["tables.csv", *(f"table{n:02d}.{kind}" for n in NUMBERS for kind in ("md", "tex"))])
    assert out.split() == [f"tables/{name}" for name in written]


@pytest.mark.slow
def test_a_study_fills_its_table_and_says_that_it_is_another_setting(gsfnas, tmp_path):
    assert gsfnas("study", "run", "table7", *TINY, "study.name=tiny", "study.replicates=2")[0] == 0
    rows = list(csv.DictReader(gsfnas("table", "7", "--format", "csv")[1].splitlines()))
    assert {row["top1_verdict"] for row in rows} == {"not run"}, "only a study called table7 fills it by itself"
    assert "Other studies of these rows: tiny (twins, micro_bottleneck(width=0.25), 8 frames at 16 px, 1 epochs)" in (
        " ".join(gsfnas("table", "7", "--format", "markdown")[1].replace("\\", "").split())
    )
    code, out, _ = gsfnas("table", "7", "--study", "tiny", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    assert {row["top1_n"] for row in rows} == {"2"}
    assert {row["top1_verdict"] for row in rows} == {"other setting"}
    assert {row["study"] for row in rows} == {"tiny"}
    assert all(row["difference_low"] for row in rows[1:])
    assert [row["gmacs_verdict"] for row in rows] == ["equal to print"] * 4

    # The same rows again, but one of them at other sites: its numbers are not mixed with the new ones.
    (tmp_path / "spaces").mkdir()
    text = "name: table7\nrows:\n  ResNet-50 (baseline): []\n" + "".join(
        f"  ResNet-50 + {number} GSF: [{PLACEMENT.replace('conv3,', f'conv3, pattern: {pattern},')}]\n"
        for number, pattern in ((4, "[layer3.5.*, layer4.*]"), (8, '["layer3.[1-5].*", layer4.*]'), (16, "[layer2.*]"))
    )
    (tmp_path / "spaces/table7.yaml").write_text(text)
    code, out, _ = gsfnas("table", "7", "--study", "tiny", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["top1_verdict"] for row in rows] == [*["other setting"] * 3, "rows changed"]
    assert rows[-1]["top1_mean"] == ""
    assert "left out: ResNet-50 + 16 GSF" in gsfnas("table", "7", "--study", "tiny", "--format", "markdown")[1]

    (tmp_path / "spaces/table7.yaml").write_text(text.rpartition("  ResNet-50 + 16")[0])
    code, _, err = gsfnas("table", "7", "--study", "tiny")
    assert code == 2
    assert "space 'table7' has no row 'ResNet-50 + 16 GSF', which the paper's table asks for" in err


def test_a_row_is_a_candidate_that_other_commands_take(gsfnas):
    code, out, _ = gsfnas("table", "6", "--row", "BNInception + 1 GSF", "--format", "json")
    assert code == 0
    candidate = Candidate.from_dict(json.loads(out))
    assert [site for site, _ in candidate.insertions] == ["5b.1x1"]
    assert gsfnas("cost", out.strip(), "--classes", "174")[0] == 0


def test_a_study_of_other_rows_does_not_fill_a_table(gsfnas):
    assert gsfnas("study", "run", "placement", *TINY, "study.trials=2", "study.replicates=1", "study.name=tiny")[0] == 0
    code, _, err = gsfnas("table", "5", "--study", "tiny")
    assert code == 2
    assert "study 'tiny' does not hold the rows of table 5: its space is 'placement' (gsfnas study run table5)" in err


def test_conventions_stand_in_a_table_and_count_a_candidate(gsfnas):
    code, out, _ = gsfnas("cost", "--convention", "all")
    assert code == 0
    assert "paper-inception" in out
    code, out, _ = gsfnas(
        *("cost", "--space", "placement", "--convention", "all", "--crops", "3", "--clips", "2", "--format", "json")
    )
    counts = {count["convention"]: count for count in json.loads(out)}
    assert set(counts) == {"fvcore", "flops", "ptflops", "paper-resnet", "paper-inception"}
    clip, video = float(counts["fvcore"]["G a clip"]), float(counts["fvcore"]["G a video"])
    assert video == pytest.approx(6 * clip, rel=1e-4)
    assert float(counts["flops"]["G a clip"]) == pytest.approx(2 * clip, rel=1e-4)
    assert float(counts["fvcore"]["G a frame"]) == pytest.approx(clip / 8, rel=1e-4)
