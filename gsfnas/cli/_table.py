"""``gsfnas table``: compares the paper's tables with computed costs and measured accuracies."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gsfnas.cli._options import ConfigRoot, Runs

EXAMPLES = """Examples

- `gsfnas table 4`

- `gsfnas study run table5`, then `gsfnas table 5`

- `gsfnas table all --format csv > tables.csv`

- `gsfnas table all --out reports/tables`

- `gsfnas table 4 --row 25 --format json | gsfnas cost - --classes 174`
"""


TableFormat = Literal["table", "markdown", "csv", "latex", "json"]


def table(
    number: Annotated[str, typer.Argument(metavar="1..12|all", help="Which table of the paper.", show_default=False)],
    row: Annotated[str | None, typer.Option(metavar="NAME", help="Only this row.", show_default=False)] = None,
    study: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The study with the accuracies; table5 for table 5.", show_default=False),
    ] = None,
    runs: Runs = Path("runs"),
    format: Annotated[
        TableFormat, typer.Option("--format", help="The output format; json prints the candidate of each row, one per line.")
    ] = "table",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write Markdown, CSV and LaTeX files there instead.", show_default=False),
    ] = None,
    latency: Annotated[
        bool,
        typer.Option("--latency/--no-latency", help="Whether table 12 measures latency here; ten seconds."),
    ] = True,
    config_root: ConfigRoot = None,
) -> None:
    """Compare a table of the paper: printed and computed costs, printed and measured accuracies, and a verdict per row.

    Costs are computed for every row that gsfnas can build; the other rows keep their published numbers. Accuracies come from
    studies: `gsfnas study run table5` trains the rows of table 5 with three seeds each, and `gsfnas table 5` then shows them,
    with paired differences to a baseline and whether the published order holds. Rows without runs say `not run`.
    """
    from gsfnas import api
    from gsfnas.api._folders import check_writable
    from gsfnas.cli import _show_table
    from gsfnas.errors import UserError

    numbers = api.numbers_of(number)
    if len(numbers) > 1 and (row is not None or study is not None):
        raise UserError("--row and --study go with one table, not with all")
    if out is not None and (row is not None or format != "table"):
        raise UserError("--out writes whole tables as Markdown, CSV and LaTeX; leave out --row and --format")
    if not runs.is_dir() and runs != Path("runs"):
        raise UserError(
            f"--runs must be the folder that holds studies, but {runs} {'is a file' if runs.exists() else 'does not exist'}"
        )
    if out is not None:
        check_writable(out)
    watcher = api.ConsoleWatcher()
    found = api.tables(numbers, runs, study=study, row=row, measures=latency, config_root=config_root, watcher=watcher)
    if format == "json":
        if row is not None and not found[0].candidates:
            raise UserError(
                f"row {row!r} of table {number} is a published number, not a network of ours, so it has no candidate"
            )
        for one in found:
            for candidate in one.candidates.values():
                typer.echo(candidate.to_json())
    elif out is None:
        _show_table.tables([one.table for one in found], format)
    else:
        for path in api.write_tables([one.table for one in found], out):
            typer.echo(path)
