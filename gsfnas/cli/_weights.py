"""``gsfnas weights``: imports weights that other programs have written."""

from pathlib import Path
from typing import Annotated

import typer

from gsfnas.cli._options import Runs
from gsfnas.cli._space import Width

app = typer.Typer(help="Import weights that other programs have written.", rich_markup_mode="markdown", no_args_is_help=True)

_EXAMPLES = """Examples

- `gsfnas weights import something_v1_bninception_gsf.pth.tar --frames 16`

- `gsfnas weights import bn_inception-9f5701afb96c8044.pth --out bninception.safetensors`
"""


@app.command("import", epilog=_EXAMPLES)
def import_(
    file: Annotated[Path, typer.Argument(help="A file written by torch.save, or safetensors.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file to write; else FILE.safetensors beside it.",
            show_default=False,
        ),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The network; else recognised by the tensors' names.", show_default=False)
    ] = None,
    width: Width = None,
    candidate: Annotated[
        str | None, typer.Option(help="Instead of a backbone: the candidate, as JSON or a JSON file.", show_default=False)
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames per clip, which files of weights do not record.")] = 8,
    resolution: Annotated[
        int | None, typer.Option(min=8, help="Pixels; by default 224, or 229 for Inception v3.", show_default=False)
    ] = None,
    task: Annotated[str, typer.Option(help="The name of the head's task.")] = "class",
    all_: Annotated[bool, typer.Option("--all", help="List all missing, reshaped and unused tensors.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Map published checkpoints (GSM, GSF, TSM; mmaction2) and public ImageNet weights onto our names, as safetensors.

    The network and the sites of its modules are read from names and shapes. The result can be tested (`gsfnas test`), if it has
    a head, and training can start from it (`train.init=FILE`). No code in the given file is run.
    """
    from gsfnas import api
    from gsfnas.cli import _show_scores

    found = api.import_weights(
        file,
        out,
        backbone=backbone,
        width=width,
        candidate=candidate,
        frames=frames,
        resolution=resolution,
        task=task,
        runs=runs,
    )
    _show_scores.imported(found, is_all=all_)
