"""``gsfnas space``: lists search spaces, and shows their candidates on a backbone."""

from typing import Annotated

import typer

from gsfnas.cli._options import ConfigRoot

app = typer.Typer(help="List search spaces, and show their candidates.", rich_markup_mode="markdown", no_args_is_help=True)

SpaceName = Annotated[str, typer.Argument(metavar="NAME", help="A space of `gsfnas space list`.", show_default=False)]
Backbone = Annotated[
    str,
    typer.Option(
        help="micro, micro14, micro18, micro_bottleneck, bninception, inception_v3, a CNN of timm, or package.module:factory."
    ),
]
Width = Annotated[
    float | None,
    typer.Option(
        help="The width of micro, micro14, micro18, micro_bottleneck, bninception or inception_v3.", show_default=False
    ),
]
Frames = Annotated[int, typer.Option(help="Frames a clip.")]
Resolution = Annotated[int, typer.Option(help="Pixels of a frame's side.")]
Bounds = Annotated[
    list[str] | None,
    typer.Option(
        "--bound",
        metavar="BOUND",
        help="Only candidates within it, such as 'params<=2e5'; may be repeated.",
        show_default=False,
    ),
]
Classes = Annotated[int, typer.Option(min=1, help="With --bound: classes of the head, which is priced too.")]
Device = Annotated[str, typer.Option(help="Where a bound on latency_estimate_ms is measured: auto, cpu, mps, cuda or cuda:N.")]

_SIZE_EXAMPLES = """Examples

- `gsfnas space size placement`

- `gsfnas space size full --backbone resnet50 --resolution 224`

- `gsfnas space size placement --bound "macs_fvcore<=1.94e7" --classes 24`
"""


@app.command("list")
def list_(config_root: ConfigRoot = None) -> None:
    """The spaces that can be searched."""
    from gsfnas.cli import _show
    from gsfnas.config import find_roots

    _show.files("space", find_roots(config_root).headlines("spaces"))


@app.command()
def show(name: SpaceName, config_root: ConfigRoot = None) -> None:
    """The file of a space."""
    from gsfnas.config import find_roots
    from gsfnas.escape import printable

    roots = find_roots(config_root)
    typer.echo(printable(roots.read(roots.file("spaces", name, "space")), keep="\n\t"), nl=False)


@app.command(epilog=_SIZE_EXAMPLES)
def size(
    name: SpaceName,
    backbone: Backbone = "micro",
    width: Width = None,
    frames: Frames = 8,
    resolution: Resolution = 32,
    bound: Bounds = None,
    classes: Classes = 1000,
    device: Device = "auto",
    config_root: ConfigRoot = None,
) -> None:
    """How many candidates a space holds on a backbone, and each site's choices; with --bound, how many are within it."""
    from gsfnas import api
    from gsfnas.cli import _show

    found = api.open_space(name, backbone, width, frames, resolution, config_root)
    _show.space(api.restrict(found, bound or (), {"class": classes}, device, api.ConsoleWatcher()))


@app.command(epilog="Example: `gsfnas space sample full -n 3 --seed 1`")
def sample(
    name: SpaceName,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same candidates.")] = 0,
    backbone: Backbone = "micro",
    width: Width = None,
    frames: Frames = 8,
    resolution: Resolution = 32,
    bound: Bounds = None,
    classes: Classes = 1000,
    device: Device = "auto",
    config_root: ConfigRoot = None,
) -> None:
    """Random candidates of a space, one JSON a line, which `gsfnas cost` and `build_model` accept."""
    import random

    from gsfnas import api

    space = api.open_space(name, backbone, width, frames, resolution, config_root)
    found = api.restrict(space, bound or (), {"class": classes}, device, api.ConsoleWatcher())
    generator = random.Random(seed)
    for _ in range(count):
        typer.echo(found.sample(generator).to_json())
