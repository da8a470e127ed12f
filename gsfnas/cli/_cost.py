"""``gsfnas cost``: the cost of one candidate, by site."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gsfnas.cli._options import ConfigRoot
from gsfnas.cli._space import Backbone, Frames, Resolution, Width

EXAMPLES = """Examples

- `gsfnas cost --space placement`

- `gsfnas cost --space full --backbone resnet50 --resolution 224 --classes 174 --format csv`

- `gsfnas space sample full | gsfnas cost -`

- `gsfnas cost --convention all`

- `gsfnas cost --space placement --backbone resnet50 --resolution 224 --convention all --crops 3 --clips 2`

- `gsfnas study best placement --format json | gsfnas cost - --measure --precision bfloat16`
"""


Format = Literal["table", "json", "csv"]

Precision = Literal["float32", "bfloat16", "float16"]


def cost(
    candidate: Annotated[
        str | None,
        typer.Argument(help="A candidate: JSON, a file, - for standard input, a key, or REPORT:ROW.", show_default=False),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Instead of a candidate: the full candidate of a space.", show_default=False)
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Instead of a candidate: the full candidate of a study.", show_default=False)
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="Classes of the head; by default those of the study's data, or 1000.", show_default=False),
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="The output format.")] = "table",
    measure: Annotated[
        bool, typer.Option("--measure", help="Also build the network, and measure latency and peak memory of one clip.")
    ] = False,
    convention: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|all",
            help="Operations per frame, clip and video under a counting convention; without a candidate, the conventions.",
            show_default=False,
        ),
    ] = None,
    crops: Annotated[int, typer.Option(min=1, help="With --convention: crops a clip, for the operations of a video.")] = 1,
    clips: Annotated[int, typer.Option(min=1, help="With --convention: clips a video.")] = 1,
    device: Annotated[str, typer.Option(help="Where to measure: auto, cpu, mps, cuda or cuda:N.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="The precision of the measurement.")] = "float32",
    backbone: Backbone = "micro",
    width: Width = None,
    frames: Frames = 8,
    resolution: Resolution = 32,
    config_root: ConfigRoot = None,
) -> None:
    """Parameters, multiply-adds, activations and activation memory of one candidate for one clip, by site.

    They depend only on the architecture, so nothing is built. `--measure` also builds and runs the network; nothing else should
    be running on the machine then.

    `--backbone`, `--width`, `--frames` and `--resolution` are for `--space`; a candidate and a study have their own.
    """
    from gsfnas.convention import CONVENTIONS
    from gsfnas.convention import convention as convention_of
    from gsfnas.errors import UserError

    rules = [] if convention is None else list(CONVENTIONS.values()) if convention == "all" else [convention_of(convention)]
    if rules and [candidate, space, study] == [None, None, None]:
        from gsfnas.cli import _show

        _show.conventions(rules, format)
        return
    if [candidate, space, study].count(None) != 2:
        raise UserError("give one of a candidate, --space and --study")
    from gsfnas import api
    from gsfnas.cli import _show
    from gsfnas.config import compose_study
    from gsfnas.cost import fused_activations, price

    if candidate is not None:
        priced = api.find_candidate(candidate, Path("runs"))
    elif study is not None:
        config = compose_study(study, (), config_root)
        priced = api.bind(config).full
        classes = classes or api.num_classes(config)
    else:
        assert space is not None
        priced = api.open_space(space, backbone, width, frames, resolution, config_root).full
    classes = classes or 1000
    fused = fused_activations(priced.backbone, priced.resolution) * priced.frames
    if rules:
        from gsfnas.cost import count_operations

        counts = [(rule, count_operations(priced, rule, {"class": classes})) for rule in rules]
        _show.counts(priced, counts, classes, crops, clips, format)
        if any(rule.counter == "ptflops" for rule in rules):
            _show.fused(price(priced, {"class": classes}), fused, format)
        return
    measured = api.measure(priced, classes, device, precision) if measure else None
    found = price(priced, {"class": classes})
    _show.cost(priced, found, classes, format, measured)
    _show.fused(found, fused, format)
