"""``gsfnas data``: look at a data set, write it as files."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gsfnas.cli._options import ConfigRoot, Overrides

app = typer.Typer(help="Look at a data set, write Twins as files.", rich_markup_mode="markdown", no_args_is_help=True)

_EXPORT_EXAMPLES = """Examples

- `gsfnas data export twins --as folder --out clips --format webm`

- `gsfnas data export twins --out clips data.train_clips=96 data.val_clips=48 data.test_clips=48`
"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The data set.")]


class Layout(StrEnum):
    folder = "folder"


class Format(StrEnum):
    webm = "webm"
    mp4 = "mp4"


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


@app.command(epilog=_EXPORT_EXAMPLES)
def export(
    name: Name = "twins",
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="An empty or a new folder.")] = Path("clips"),
    layout: Annotated[Layout, typer.Option("--as", help="train/CLASS/CLIP, val/... and test/...")] = Layout.folder,
    format: Annotated[Format, typer.Option("--format", help="The video files.")] = Format.webm,
    config_root: ConfigRoot = None,
) -> None:
    """Every clip as a video file, which `data=folder data.root=DIR` reads back."""
    from gsfnas.cli import _show
    from gsfnas.config import compose_data
    from gsfnas.data import export

    settings = compose_data(name, overrides or (), config_root)
    with _show.counting("clips") as on_progress:
        export(settings, out, layout.value, format.value, on_progress)
    typer.echo(out)
