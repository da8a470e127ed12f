"""The rules of counting, as values and as the guide's table."""

from pathlib import Path

import pytest

from gsfnas.convention import CONVENTIONS, cells, convention, markdown
from gsfnas.errors import UserError

GUIDE = Path(__file__).parents[1] / "docs/conventions.md"


def test_the_guide_holds_the_table() -> None:
    assert markdown() in GUIDE.read_text(encoding="utf-8")


def test_every_convention_says_all_of_itself() -> None:
    for name, one in CONVENTIONS.items():
        assert one.name == name
        assert one.says
        assert convention(name) is one
    assert cells(CONVENTIONS["paper-inception"]) == (
        "paper-inception",
        "ptflops",
        "MACs",
        "1000 classes",
        "once",
        "twice",
        "once",
        "once",
        "no",
    )
    assert (CONVENTIONS["flops"].unit, CONVENTIONS["fvcore"].unit) == ("FLOPs", "MACs")


def test_a_misspelt_convention_is_refused() -> None:
    with pytest.raises(UserError, match=r"unknown convention 'fvcor'; did you mean 'fvcore'\?"):
        convention("fvcor")
