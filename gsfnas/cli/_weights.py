"""``gsfnas weights``: weights from elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from gsfnas.cli._options import Runs
from gsfnas.cli._space import Width

app = typer.Typer(help="Bring weights from elsewhere into use.", rich_markup_mode="markdown", no_args_is_help=True)

_EXAMPLES = """Examples

- `gsfnas weights import something_v1_bninception_gsf.pth.tar --frames 16`

- `gsfnas weights import bn_inception-9f5701afb96c8044.pth --out bninception.safetensors`
"""


@app.command("import", epilog=_EXAMPLES)
def import_(
    file: Annotated[Path, typer.Argument(help="What torch.save wrote, or safetensors.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="FILE.safetensors beside it.", show_default=False)
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="The network; its names tell, unless given.", show_default=False)] = None,
    width: Width = None,
    candidate: Annotated[
        str | None, typer.Option(help="Instead: the whole candidate, as JSON or a file of it.", show_default=False)
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames a clip, which no state dict says.")] = 8,
    resolution: Annotated[
        int | None, typer.Option(min=8, help="Pixels; 224, of Inception v3 229, unless given.", show_default=False)
    ] = None,
    task: Annotated[str, typer.Option(help="The name of the head's task.")] = "class",
    all_: Annotated[bool, typer.Option("--all", help="List every tensor that is missing or left over.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Map published checkpoints (GSM, GSF, TSM; mmaction2) and public ImageNet weights onto our names, as safetensors.

    Which network they are of and where modules stand is read from names and shapes. The file can be tested (`gsfnas test`)
    where it has a head, and trained from (`train.init=FILE`). Nothing in the given file is run.
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
