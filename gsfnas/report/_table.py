"""A table as data: cells with a text, a value to sort by and what else a page may draw; no markup here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gsfnas.errors import UserError, shown

# What names a table, a figure and the files of a figure.
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Cell:
    """``sort`` orders a column (None last); ``strip`` is one module a site to be drawn; ``copy`` a text to be copied."""

    text: str
    sort: float | str | None = None
    is_code: bool = False
    strip: tuple[str, ...] | None = None
    copy: str | None = None

    @staticmethod
    def of(value: object) -> "Cell":
        """A value as a cell that sorts by it: a cell as it is, None as nothing."""
        if isinstance(value, Cell):
            return value
        if isinstance(value, int | float):
            return Cell(f"{value:,}" if isinstance(value, int) else f"{value:,.4g}", float(value))
        return Cell("" if value is None else str(value))


@dataclass(frozen=True)
class Column:
    """``is_copy`` for a column of texts to be copied, which only a page with buttons can use."""

    label: str
    is_number: bool = False
    is_copy: bool = False


@dataclass(frozen=True)
class Table:
    """``caption`` says what it shows; every row has one cell a column, the first being the row's name.

    ``name`` is lower case letters, digits and underscores. ``marked`` are the indices of rows that stand out. ``width`` is how
    much of a wide page it may take. Raises UserError for a name that is none and for rows of another length.
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
        """A table of plain values: numbers, texts, cells. A column of numbers alone is set as numbers."""
        cells = tuple(tuple(Cell.of(value) for value in row) for row in rows)
        numeric = [
            all(isinstance(row[index], int | float) for row in rows if index < len(row)) for index in range(len(columns))
        ]
        heads = tuple(Column(label, bool(rows) and is_number) for label, is_number in zip(columns, numeric, strict=True))
        return cls(name, caption, heads, cells, **options)


def check_name(kind: str, name: object) -> None:
    """Raises UserError for what cannot name a table or a figure; ``plots`` is the page's own."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == "plots":
        raise UserError(
            f"the name of a {kind} must be lower case letters, digits and underscores, and not `plots`, but got {shown(name)}"
        )
