"""The published tables as data: whole, as printed, and every reference a row that exists."""

import csv
from pathlib import Path

import pytest

from gsfnas.backbone import backbone_ref
from gsfnas.config import compose_study, load_space
from gsfnas.errors import UserError
from gsfnas.paper import NUMBERS, load_table

PRINTED = Path(__file__).parents[3] / "shared" / "paper" / "tables"
needs_print = pytest.mark.skipif(not PRINTED.is_dir(), reason="no tables of the paper in ../shared beside the repository")


@needs_print
@pytest.mark.parametrize("number", NUMBERS)
def test_every_cell_is_as_printed(number: int) -> None:
    (path,) = PRINTED.glob(f"table{number:02d}_*.csv")
    head, *rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    table = load_table(number)
    assert list(table.columns) == head
    assert [list(row.cells.values()) for row in table.rows] == rows


@pytest.mark.parametrize("number", NUMBERS)
def test_a_table_is_whole(number: int) -> None:
    table = load_table(number)
    names = [row.name for row in table.rows]
    assert len(set(names)) == len(names)
    assert set(table.printed.values()) <= set(table.columns)
    assert table.baseline is None or table.row(table.baseline)
    assert table.note
    for row in table.rows:
        assert all(number > 0 for number in row.printed.values())
        assert (row.reference is None) == (row.convention is None)
    # Tables 1 to 7 are candidates whole; the others where a row is GSF, or a special case of it, in a network that is built.
    ours = [row for row in table.rows if row.reference is not None]
    assert len(ours) == {8: 13, 9: 2, 10: 3, 11: 1, 12: 2}.get(number, len(names))


def test_the_rows_that_are_not_built_are_published_numbers() -> None:
    left = [row.name for row in load_table(8).rows if row.name.startswith("GSF") and row.reference is None]
    assert left == ["GSF, ResNet-50+MS, 16 x 1 x 1", "GSF, ResNet-50+MS, 16 x 3 x 2"]


def test_numbers_are_read_from_their_cells() -> None:
    row = load_table(8).row("GSF, InceptionV3, 16 x 3 x 2")
    assert row.printed == {"params_m": 22.22, "gmacs": 53.93, "top1": 54.09, "top1_ssv2": 65.6}
    assert row.views == 6
    assert load_table(8).row("MultiScale TRN [79], BN-Inception, 8 x NA").printed == {"top1": 34.44, "top1_ssv2": 48.8}
    assert load_table(12).row("TSM").printed == {"latency_ms": 7.59, "top1": 45.6}
    assert load_table(10).accuracies == ("verb", "noun", "action")


@pytest.mark.parametrize("number", NUMBERS)
def test_every_reference_is_a_row_of_a_shipped_space_on_a_backbone(number: int) -> None:
    for row in load_table(number).rows:
        if row.reference is not None:
            assert row.reference.row in dict(load_space(row.reference.space).rows)
            assert backbone_ref(row.reference.backbone)


@pytest.mark.parametrize("number", range(1, 8))
def test_the_study_of_a_table_asks_for_its_rows(number: int) -> None:
    table = load_table(number)
    assert table.study == f"table{number}"
    config = compose_study(table.study)
    assert [name for name, _ in config.space.rows] == [row.name for row in table.rows]
    assert (config.study.trials, config.study.replicates, config.space.name) == (len(table.rows), 3, table.study)


def test_a_table_or_row_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="the paper has tables 1 to 12, but got 13"):
        load_table(13)
    with pytest.raises(UserError, match=r"unknown row of table 5 'TSMM'; did you mean 'TSM'\?"):
        load_table(5).row("TSMM")


def test_rows_with_commas_in_their_names_are_told_apart_when_listed() -> None:
    with pytest.raises(UserError, match=r"choices: 'ABM \[81\], ResNet-50, 16 x 3 x 1', 'CT-Net"):
        load_table(8).row("GST")
