"""Tables as data. Pages turn them into markup."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gsfnas.errors import UserError, shown

# Names of tables and figures, which become ids on the page and names of files.
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Cell:
    """One cell. ``sort``: sort key, None comes last. ``strip``: one module per site, to be drawn. ``copy``: text to copy."""

    text: str
    sort: float | str | None = None
    is_code: bool = False
    strip: tuple[str, ...] | None = None
    copy: str | None = None

    @staticmethod
    def of(value: object) -> "Cell":
        """A cell for a number (sorted by its value) or a text. None gives an empty cell; a cell is returned as it is."""
        if isinstance(value, Cell):
            return value
        if isinstance(value, int | float):
            return Cell(f"{value:,}" if isinstance(value, int) else f"{value:,.4g}", float(value))
        return Cell("" if value is None else str(value))


@dataclass(frozen=True)
class Column:
    """One column. ``is_copy``: its cells are texts to be copied, which only a page with buttons shows."""

    label: str
    is_number: bool = False
    is_copy: bool = False


@dataclass(frozen=True)
class Table:
    """A table. Every row has one cell per column; the first cell is the heading of the row.

    ``name`` consists of lower case letters, digits and underscores. ``caption`` says what the table shows. ``marked`` holds the
    indices of highlighted rows. ``width`` is the width on a wide page. Raises UserError for an invalid name, and for rows with
    the wrong number of cells.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marked: frozenset[int] = frozenset()
    is_sortable: bool = False
    width: Literal["text", "middle", "wide"] = "text"

    def __post_init__(self) -> None:
        check_name("table", self.name)
        for row in self.rows:
            if len(row) != len(self.columns):
                raise UserError(f"table {self.name!r} has {len(self.columns)} columns, but a row of {len(row)} cells")
            if not all(isinstance(cell, Cell) and isinstance(cell.text, str) for cell in row):
                raise UserError(f"table {self.name!r}: rows are made of gsfnas.report.Cell, but got {shown(row)}")

    @classmethod
    def of(cls, name: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]], **options: Any) -> "Table":
        """A table from plain values: numbers, texts, None or cells. A column that holds only numbers is aligned as such."""
        cells = tuple(tuple(Cell.of(value) for value in row) for row in rows)
        numeric = [
            all(isinstance(row[index], int | float) for row in rows if index < len(row)) for index in range(len(columns))
        ]
        heads = tuple(Column(label, bool(rows) and is_number) for label, is_number in zip(columns, numeric, strict=True))
        return cls(name, caption, heads, cells, **options)


def check_name(kind: str, name: object) -> None:
    """Raises UserError for an invalid name of a table or a figure; ``plots`` is an id of the page itself."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == "plots":
        raise UserError(
            f"the name of a {kind} must be lower case letters, digits and underscores, and not `plots`, but got {shown(name)}"
        )
