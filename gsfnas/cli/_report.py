"""``gsfnas report``: writes the report of a study."""

from pathlib import Path
from typing import Annotated

import typer

from gsfnas.cli._options import Reports, Runs, Storage

app = typer.Typer(help="Write the report of a study.", rich_markup_mode="markdown", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command(epilog="Example: `gsfnas report build placement`")
def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a study that was begun.", show_default=False)],
    runs: Runs = Path("runs"),
    reports: Reports = Path("reports"),
    storage: Storage = "journal",
) -> None:
    """Write the report of a study with its results so far."""
    from gsfnas.api import load_study
    from gsfnas.cli import _show
    from gsfnas.report import build_report

    study = load_study(runs, name, storage)
    _show.progress("writing the report")
    typer.echo(build_report(study, reports / study.name))
