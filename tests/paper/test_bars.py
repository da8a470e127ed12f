"""What the paper prints as parameters and operations, against what ours cost under the convention of each table."""

import pytest

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate
from gsfnas.config import load_space
from gsfnas.cost import count_operations
from gsfnas.paper import NUMBERS, PaperRow, Reference, load_table
from gsfnas.space import BoundRows

pytestmark = pytest.mark.slow

# Printed with two decimals: half a unit of the last one is rounding.
PARAMS_BAR, RESNET_BAR, INCEPTION_BAR = 0.01, 0.005, 0.02
CONTRADICTED = "GSF, InceptionV3, 8 x 3 x 2"
ROWS = [
    (number, row)
    for number in NUMBERS
    for row in load_table(number).rows
    if row.reference is not None and "gmacs" in row.printed and row.name != CONTRADICTED
]


def candidate_of(reference: Reference) -> Candidate:
    backbone = backbone_ref(reference.backbone)
    sites = backbone_sites(backbone, reference.resolution)
    bound = load_space(reference.space).bind(backbone, sites, frames=reference.frames, resolution=reference.resolution)
    assert isinstance(bound, BoundRows)
    return dict(bound.rows)[reference.row]


@pytest.mark.parametrize(("number", "row"), ROWS, ids=[f"{number}-{row.name}" for number, row in ROWS])
def test_printed_costs_come_out(number: int, row: PaperRow) -> None:
    assert row.reference is not None
    assert row.convention is not None
    ours = count_operations(candidate_of(row.reference), row.convention, load_table(number).classes)
    assert abs(ours.params_m - row.printed["params_m"]) <= PARAMS_BAR
    bar = INCEPTION_BAR if row.reference.backbone in ("bninception", "inception_v3") else RESNET_BAR
    assert abs(ours.giga - row.printed["gmacs"]) <= bar * row.reference.frames / 8


def test_the_cell_that_contradicts_its_neighbours_is_the_only_one_left_out() -> None:
    left_out = load_table(8).row(CONTRADICTED)
    assert left_out.printed["gmacs"] == 26.85
    assert left_out.note
    assert len(ROWS) == 5 + 5 + 4 + 5 + 4 + 4 + 12


def test_all_but_six_cells_are_equal_to_the_printed_digits() -> None:
    """Beyond the bars: rounded to two decimals, and where not, which."""
    differing = []
    for number, row in ROWS:
        assert row.reference is not None
        assert row.convention is not None
        ours = count_operations(candidate_of(row.reference), row.convention, load_table(number).classes)
        cells = {"params_m": ours.params_m, "gmacs": ours.giga}
        differing += [
            f"{number}: {row.name}, {name}" for name, one in cells.items() if abs(round(one, 2) - row.printed[name]) > 1e-9
        ]
    assert differing == [
        *("1: Branch 2, params_m", "1: Branch 2, gmacs", "1: Branch 3, gmacs", "1: All branches, gmacs"),
        *("2: 12.5, gmacs", "8: TSN [62], BN-Inception, 16 x 1 x 1, gmacs"),
    ]
