"""Published tables beside ours: statistics by hand, verdicts, rows that changed, and every format."""

import csv
import io
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gsfnas.errors import UserError
from gsfnas.paper import NUMBERS, PaperTable, load_table
from gsfnas.record import Latency, StudyRecord
from gsfnas.report import AblationTable, RowCost, ablation_table, study_rows
from gsfnas.report._ablation import Difference, Order, paired
from gsfnas.report._ablation_cells import summary, verdict
from gsfnas.report.pages.ablation import latex, markdown, notes, to_csv
from gsfnas.testing import records as synthetic

TABLE = load_table(6)
NAMES = [row.name for row in TABLE.rows]
SETTING = {"data": "twins", "backbone": "bninception(width=0.25)", "size": "8 frames at 32 px"}
# Percent by replicate, in the order of the rows: none, one, five, ten modules.
TOP1 = [(39.0, 41.0, 40.0), (60.0, 61.0, 65.0), (59.0, 66.0, 58.0), (80.0, 82.0, 84.0)]
CANDIDATES = [synthetic.placement(*sites) for sites in ((), (0,), (0, 1), (0, 1, 2))]
KEYS = {name: candidate.key for name, candidate in zip(NAMES, CANDIDATES, strict=True)}


def study(top1: list[tuple[float, ...]] = TOP1, **changes: object) -> StudyRecord:
    """The rows of table 6 as a study ran them."""
    records, replicates = [], []
    for number, (candidate, values) in enumerate(zip(CANDIDATES, top1, strict=True)):
        for replicate, value in enumerate(values):
            one = synthetic.record(number, candidate, "replicate" if replicate else "row", replicate=replicate)
            one = replace(one, metrics={"val_top1": value / 100, "test_top1": value / 100})
            (replicates if replicate else records).append(one)
    found = replace(synthetic.study_of(records, replicates, name="table6"), space="table6", rows=tuple(KEYS.items()))
    return replace(found, **changes)  # type: ignore[arg-type]


def costs(table: PaperTable = TABLE) -> dict[str, RowCost]:
    return {
        row.name: RowCost(row.printed.get("params_m", 9.0) + 0.004, row.printed.get("gmacs", 9.0) - 0.004, 1.0)
        for row in table.rows
        if row.reference is not None
    }


def filled(found: StudyRecord | None = None, **setting: str) -> AblationTable:
    rows = study_rows(found or study(), TABLE, KEYS, KEYS, SETTING | setting)
    return ablation_table(TABLE, KEYS, costs(), study=rows)


def test_means_and_paired_differences_are_those_by_hand() -> None:
    table = filled()
    means = [line.mean for line in table.lines]
    assert means == pytest.approx([40.0, 62.0, 61.0, 82.0])
    assert table.lines[1].std == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    # 60 - 39, 61 - 41, 65 - 40: mean 22, deviations -1, -2, 3; t(0.975, 2) = 4.3027.
    gap = table.differences[NAMES[1]]
    half = 4.302653 * math.sqrt(14 / 2) / math.sqrt(3)
    assert (gap.value, gap.low, gap.high, gap.pairs) == pytest.approx((22.0, 22 - half, 22 + half, 3), abs=1e-4)
    assert NAMES[0] not in table.differences, "the baseline has no difference to itself"


def test_the_published_order_is_judged_pair_by_pair() -> None:
    table = filled()
    # Every row is clearly above the baseline and below all ten; one against five modules cannot be told.
    assert table.order == Order(holds=5, undecided=1)
    assert f"| {NAMES[2]} | {NAMES[1]} | +13.34 | −1.0" in markdown(table)
    assert "| 2/0/1 |" in markdown(table)
    assert table.orders[NAMES[1]] == Order(holds=2, undecided=1)
    assert table.kendall == pytest.approx((5 - 1) / 6)
    assert "of 6 pairs of rows, holds 5, reversed 0, undecided 1" in " ".join(notes(table))
    assert [(pair.higher, pair.lower, pair.agreement) for pair in table.pairs] == [
        *((name, NAMES[0], 1) for name in NAMES[1:]),
        *((NAMES[2], NAMES[1], 0), (NAMES[3], NAMES[1], 1), (NAMES[3], NAMES[2], 1)),
    ]
    assert (table.pairs[0].printed, table.pairs[0].ours) == (pytest.approx(31.9 - 17.25), table.differences[NAMES[1]])
    turned = filled(study([TOP1[3], TOP1[1], TOP1[2], TOP1[0]]))
    assert turned.order == Order(reversed=5, undecided=1)


def test_seeds_are_paired_by_replicate_and_one_pair_has_no_interval() -> None:
    assert paired({0: 50.0, 2: 60.0}, {2: 55.0, 1: 10.0}) == Difference(5.0, None, None, 1)
    assert paired({0: 50.0}, {1: 50.0}) is None
    same = paired({0: 50.0, 1: 52.0}, {0: 40.0, 1: 42.0})
    assert same == Difference(10.0, 10.0, 10.0, 2)
    assert same.sign == 1


@pytest.mark.parametrize(
    ("printed", "ours", "expected"),
    [
        (23.97, 23.9747, "equal to print"),
        (10.5, 10.4954, "equal to print"),
        (26.85, 26.9632, "differs by +0.113"),
        (10.5, 10.4949, "differs by -0.005 (within 0.01)"),
        (None, 1.0, "not printed"),
        (16.53, None, "not run"),
    ],
)
def test_verdicts(printed: float | None, ours: float | None, expected: str) -> None:
    assert verdict(printed, ours, tolerance=0.01) == expected


def test_another_setting_is_never_compared_with_the_print() -> None:
    table = filled()
    assert summary(table, table.lines[1]) == "costs: equal to print; top-1: other setting"
    assert "study table6 (twins, bninception(width=0.25), 8 frames at 32 px), not the paper's setting" in " ".join(notes(table))
    own = filled(data="something_v1")
    assert summary(own, own.lines[1]) == "costs: equal to print; top-1: differs by +30.10"
    # The paper's data with another network is another setting too.
    rows = study_rows(study(), TABLE, KEYS, dict.fromkeys(KEYS, "c1-other"), SETTING | {"data": "something_v1"})
    assert not rows.is_papers


def test_what_nobody_ran_says_so() -> None:
    table = ablation_table(TABLE, KEYS, costs())
    assert all(summary(table, line) == "costs: equal to print; top-1: not run" for line in table.lines)
    assert table.order.pairs == 0
    assert "gsfnas study run table6 fills the column" in " ".join(notes(table))
    some = filled(study([TOP1[0], (), TOP1[2], TOP1[3]]))
    assert "top-1: not run" in summary(some, some.lines[1])
    assert some.order.pairs == 3


def test_rows_that_changed_are_left_out_by_name() -> None:
    current = KEYS | {NAMES[2]: "c1-0123456789abcdef"}
    rows = study_rows(study(), TABLE, current, current, SETTING)
    table = ablation_table(TABLE, KEYS, costs(), study=rows)
    assert rows.changed == (NAMES[2],)
    assert (table.lines[2].mean, table.lines[1].mean) == (None, pytest.approx(62.0))
    assert summary(table, table.lines[2]).endswith("top-1: rows changed")
    assert f"Changed since study table6 ran, and left out: {NAMES[2]}." in " ".join(notes(table))
    assert all(NAMES[2] not in (pair.higher, pair.lower) for pair in table.pairs)


def test_a_study_of_other_rows_is_refused() -> None:
    with pytest.raises(UserError, match=r"study 'table6' does not hold the rows of table 7: its space is 'table6'"):
        study_rows(study(), load_table(7), {}, {}, SETTING)
    with pytest.raises(UserError, match="does not hold the rows of table 6: its space is 'placement'"):
        study_rows(synthetic.placement_study(), TABLE, {}, {}, SETTING)


def test_the_csv_has_a_line_a_row_and_its_columns_in_order() -> None:
    tables = [filled(), *(ablation_table(load_table(number), {}, {}) for number in NUMBERS if number != 6)]
    rows = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert len(rows) == sum(len(load_table(number).rows) for number in NUMBERS)
    assert list(rows[0])[:13] == [
        *("table", "row", "candidate", "params_m_print", "params_m", "gmacs_print", "gmacs_ptflops", "gmacs_fvcore"),
        *("top1_print", "top1_mean", "top1_std", "top1_n", "verdict"),
    ]
    ten = rows[3]
    assert (ten["table"], ten["row"], ten["top1_print"], ten["top1_mean"], ten["top1_n"]) == (
        "6",
        NAMES[3],
        "48.44",
        "82.0",
        "3",
    )
    assert (ten["gmacs_verdict"], ten["study"], ten["baseline"], ten["difference"]) == (
        "equal to print",
        "table6",
        NAMES[0],
        "42.0",
    )
    assert {row["verdict"] for row in rows if row["table"] == "9" and not row["row"].startswith("GSF")} == {"published"}


def test_latencies_stand_beside_the_printed_ones() -> None:
    table = load_table(12)
    keys = {row.name: f"c1-{row.name}" for row in table.rows if row.reference}
    measured = {
        name: [Latency(key, 10.5, 10.0, 11.0, "cpu", 2, one) for one in ("float32", "bfloat16")] for name, key in keys.items()
    }
    found = ablation_table(table, keys, costs(table), latencies=measured)
    text = markdown(found)
    assert "| Titan V (ms), print | float32 (ms) | bfloat16 (ms) |" in text
    assert re.search(r"\| TSM .*\| 7.59 \| 10.50 \| 10.50 \|", text)
    assert "another device than the printed one" in text
    (row,) = (row for row in csv.DictReader(io.StringIO(to_csv([found]))) if row["row"] == "GSF")
    assert (row["latency_ms_print"], row["latency_ms_bfloat16"], row["latency_device"]) == ("12.4", "10.5", "cpu")


@pytest.mark.parametrize("number", NUMBERS)
def test_markdown_tables_are_whole(number: int) -> None:
    found = filled() if number == 6 else ablation_table(load_table(number), {}, costs(load_table(number)))
    rows, _, pairs = markdown(found).partition("\nPairs of rows")
    assert len([line for line in pairs.splitlines() if line.startswith("|")]) == (2 + 6 if number == 6 else 0)
    lines = [line for line in rows.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert len(lines) == 2 + len(found.lines)


def test_latex_is_a_booktabs_table_with_its_signs_escaped() -> None:
    text = latex(filled())
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{table*}", r"\end{table*}", r"40.0 $\pm$ 1.0 (3)", r"95 \%"):
        assert part in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.count("&") - line.count(r"\&") for line in rows}) == 1
    assert not re.search(r"(?<!\\)[%#_]", text.replace("% needs", "").replace("{!}{%", ""))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    tables = [filled(), *(ablation_table(load_table(number), {}, costs(load_table(number))) for number in NUMBERS)]
    document = "\n".join(map(latex, tables))
    text = f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}{document}\\end{{document}}"
    (tmp_path / "tables.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout[-2000:]
