"""``gsfnas data``: look at a data set, check its files, write Twins as files."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gsfnas.cli._options import ConfigRoot, Overrides

app = typer.Typer(
    help="Look at a data set, check its files, write Twins as files.", rich_markup_mode="markdown", no_args_is_help=True
)

_EXPORT_EXAMPLES = """Examples

- `gsfnas data export twins --as folder --out clips --format webm`

- `gsfnas data export twins --as something_v2 --out ssv2`

- `gsfnas data export twins --out clips data.train_clips=96 data.val_clips=48 data.test_clips=48`
"""

_CHECK_EXAMPLES = """Examples

- `gsfnas data check something_v2 data.root=/data/something-something-v2`

- `gsfnas data check folder data.root=clips --out broken.csv`
"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The data set.")]


Layout = Literal["folder", "something_v1", "something_v2", "kinetics400", "diving48", "epic_kitchens_100"]

Format = Literal["webm", "mp4", "jpg"]


@app.command(epilog="Example: `gsfnas data preview twins --out twins.png data.difficulty=1`")
def preview(
    name: Name = "twins",
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The picture to write.")] = Path("preview.png"),
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    config_root: ConfigRoot = None,
) -> None:
    """A contact sheet, as PNG: one clip of each class."""
    from gsfnas.config import compose_data
    from gsfnas.data import preview

    typer.echo(preview(compose_data(name, overrides or (), config_root), out, split=split))


@app.command(epilog=_CHECK_EXAMPLES)
def check(
    name: Name,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The CSV; by default NAME-check.csv.")] = None,
    config_root: ConfigRoot = None,
) -> None:
    """Check a whole data set on disk for clips that are missing, unreadable, too short or mislabelled.

    Every clip is decoded, in parallel. After Ctrl-C the same command resumes the check; files that have not changed are not
    decoded again. Training leaves out the clips reported here, and says so.
    """
    from gsfnas.api import ConsoleWatcher
    from gsfnas.cli import _show
    from gsfnas.config import compose_data
    from gsfnas.data import check

    settings = compose_data(name, overrides or (), config_root)
    with ConsoleWatcher().counting("checking files") as on_progress:
        found = check(settings, on_progress)
    path = out or Path(f"{name.replace(':', '-')}-check.csv")
    found.write(path)
    _show.checked(found, path)


@app.command(epilog=_EXPORT_EXAMPLES)
def export(
    name: Name = "twins",
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")] = Path("clips"),
    layout: Annotated[Layout, typer.Option("--as", help="Class folders, or the layout of a public data set.")] = "folder",
    format: Annotated[
        Format | None,
        typer.Option("--format", help="webm or mp4, for class folders only.", show_default=False),
    ] = None,
    config_root: ConfigRoot = None,
) -> None:
    """Write every clip as a file; `data=LAYOUT data.root=DIR` reads them.

    The layouts of public data sets have only train and validation: train holds Twins' train and val, validation Twins' test.
    """
    from gsfnas.api import ConsoleWatcher
    from gsfnas.config import compose_data
    from gsfnas.data import export

    settings = compose_data(name, overrides or (), config_root)
    with ConsoleWatcher().counting("clips") as on_progress:
        export(settings, out, layout, format, on_progress)
    typer.echo(out)
