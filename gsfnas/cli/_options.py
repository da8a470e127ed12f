"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigRoot = Annotated[
    Path | None,
    typer.Option(
        "--config-root", metavar="DIR", help="A folder with spaces/ and/or studies/, searched first.", show_default=False
    ),
]
Runs = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help="The folder that holds the studies' journals and checkpoints.")
]
Storage = Annotated[
    str, typer.Option("--storage", metavar="NAME", help="The storage of the study: a built-in name, or package.module:Class.")
]
Reports = Annotated[Path, typer.Option("--reports", metavar="DIR", help="The folder that holds reports.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings to change, such as train.epochs=12.", show_default=False),
]
