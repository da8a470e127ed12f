"""Prints the paper's tables, for a terminal or as text for a file."""

from collections.abc import Sequence

import typer

from gsfnas.cli import _show
from gsfnas.report import AblationTable
from gsfnas.report.pages.ablation import columns, latex, markdown, notes, to_csv


def tables(found: Sequence[AblationTable], format: str) -> None:
    """Prints tables in one of the formats table, markdown, csv and latex."""
    if format == "csv":
        typer.echo(to_csv(found), nl=False)
    elif format != "table":
        write = {"markdown": markdown, "latex": latex}[format]
        typer.echo("\n".join(write(one) for one in found), nl=False)
    else:
        for place, one in enumerate(found):
            _print(one, is_first=place == 0)


def _print(found: AblationTable, *, is_first: bool) -> None:
    if not is_first:
        typer.echo()
    shown = columns(found)
    typer.echo(f"Table {found.table.number}: {found.table.title}")
    rows = [tuple(column.cell(line) for column in shown) for line in found.lines]
    _show.table(
        [column.heading.replace(", ", "\n") for column in shown],
        rows,
        wrap="verdict",
        numeric={index for index, column in enumerate(shown) if column.is_number},
    )
    for note in notes(found):
        _show.paragraph(note)
