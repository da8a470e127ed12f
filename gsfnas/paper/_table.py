"""One published table: its cells as they are printed, the numbers among them, and each row's candidate by reference.

The files in ``tables/`` hold the facts. A row is a candidate by naming the row of a space, a backbone, frames and a resolution;
whoever knows backbones binds it. Rows without one are other people's networks: published numbers and nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from gsfnas.convention import Convention, convention
from gsfnas.errors import UserError, unknown

NUMBERS = tuple(range(1, 13))
_TABLES = Path(__file__).parent / "tables"
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Reference:
    """Which candidate a row is: a row of a space, on a backbone, for clips of ``frames`` at ``resolution`` px."""

    space: str
    row: str
    backbone: str
    frames: int
    resolution: int


@dataclass(frozen=True)
class PaperRow:
    """``cells`` are as printed, by column. ``printed`` holds the numbers by what they are, where there is one.

    ``params_m`` in 10^6, ``gmacs`` of one clip in 10^9, ``latency_ms``, accuracies in percent (``top1``, ``top1_ssv2``,
    ``verb``, ``noun``, ``action``). ``views`` is crops times clips of a video.
    """

    name: str
    cells: Mapping[str, str]
    printed: Mapping[str, float]
    reference: Reference | None = None
    convention: Convention | None = None
    views: int = 1
    note: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper. ``printed`` says in which column each compared number stands; ``baseline`` names a row.

    ``data`` is the data set, ``classes`` the heads of its networks, ``study`` the name of the study and of the space that hold
    its rows, where they can be trained as one.
    """

    number: int
    title: str
    data: str
    classes: Mapping[str, int]
    columns: tuple[str, ...]
    printed: Mapping[str, str]
    rows: tuple[PaperRow, ...]
    baseline: str | None = None
    study: str | None = None
    note: str = ""

    @property
    def accuracies(self) -> tuple[str, ...]:
        """What accuracies it prints, the first being the one that its rows are ordered by."""
        return tuple(name for name in self.printed if name not in ("params_m", "gmacs", "latency_ms"))

    @property
    def conventions(self) -> tuple[Convention, ...]:
        """Those of its rows, each once."""
        return tuple(dict.fromkeys(row.convention for row in self.rows if row.convention is not None))

    def row(self, name: str) -> PaperRow:
        """The row of that name. Raises UserError for a name that is none."""
        rows = {row.name: row for row in self.rows}
        if name not in rows:
            raise unknown(f"row of table {self.number}", name, rows)
        return rows[name]


@lru_cache(maxsize=len(NUMBERS))
def load_table(number: int) -> PaperTable:
    """Table 1 to 12. Raises UserError for another number."""
    if number not in NUMBERS:
        raise UserError(f"the paper has tables {NUMBERS[0]} to {NUMBERS[-1]}, but got {number}")
    data = yaml.safe_load((_TABLES / f"table{number:02d}.yaml").read_text(encoding="utf-8"))
    return PaperTable(
        number=number,
        title=data["title"],
        data=data["data"],
        classes=data["classes"],
        columns=tuple(data["columns"]),
        printed=data["printed"],
        rows=tuple(_row(row, data) for row in data["rows"]),
        baseline=data.get("baseline"),
        study=data.get("study"),
        note=data.get("note", ""),
    )


def _row(row: Mapping[str, Any], table: Mapping[str, Any]) -> PaperRow:
    """A row of the file; what it leaves out is the table's, and its candidate is that of its own name."""
    cells = dict(zip(table["columns"], row["cells"], strict=True))
    candidate = row.get("candidate", table.get("candidate"))
    rule = row.get("convention", table.get("convention"))
    return PaperRow(
        name=row["name"],
        cells=cells,
        printed={
            name: number for name, column in table["printed"].items() if (number := _first_number(cells[column])) is not None
        },
        reference=None if candidate is None else Reference(**({"row": row["name"]} | candidate)),
        convention=None if rule is None else convention(rule),
        views=row.get("views", 1),
        note=row.get("note", ""),
    )


def _first_number(cell: str) -> float | None:
    """16.53 of ``16.53 x 3 x 2``; None of ``NA`` and ``-``."""
    found = _NUMBER.match(cell)
    return float(found.group()) if found else None
