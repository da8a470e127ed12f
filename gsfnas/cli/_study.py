"""``gsfnas study``: runs studies, lists them, and shows their progress and results."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gsfnas.cli._options import ConfigRoot, Overrides, Reports, Runs, Storage

app = typer.Typer(
    help="Run studies, list them, and show their progress and results.", rich_markup_mode="markdown", no_args_is_help=True
)

_RUN_EXAMPLES = """Examples

- `gsfnas study run placement`

- `gsfnas study run placement --dry-run`

- `gsfnas study run placement workers=2 study.trials=50 train.epochs=12`

- `gsfnas study run placement backbone=bninception backbone.width=0.25 study.name=bninception`

- `gsfnas study run placement data=folder data.root=clips study.name=clips`
"""

StudyFile = Annotated[
    str, typer.Argument(metavar="NAME", help="A study of `gsfnas study list`, or a YAML file.", show_default=False)
]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="The name of a study that was begun.", show_default=False)]


BestFormat = Literal["table", "json"]


@app.command(epilog=_RUN_EXAMPLES)
def run(
    name: StudyFile,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Price the space and estimate the time; train nothing.")] = False,
    reports: Reports = Path("reports"),
    config_root: ConfigRoot = None,
) -> None:
    """Search, train and evaluate, then write the report.

    The same command resumes a study that was stopped, extends one with more `study.trials`, and only rebuilds the report of a
    complete one.
    """
    from gsfnas.config import compose_study

    config = compose_study(name, overrides or (), config_root)
    from gsfnas.api import Study
    from gsfnas.api._folders import check_writable
    from gsfnas.cli import _show

    study = Study.composed(config)
    if dry_run:
        _show.plan(config, study.plan())
        return
    check_writable(reports / config.study.name)
    with _show.resumable():
        record = study.run()
    _show.progress("writing the report")
    page = study.report(reports)
    _show.result(record)
    typer.echo(f"report    {page}")


@app.command("list")
def list_(runs: Runs = Path("runs"), config_root: ConfigRoot = None, storage: Storage = "journal") -> None:
    """The studies that can be run, and those that were begun."""
    from gsfnas.api import list_studies
    from gsfnas.cli import _show
    from gsfnas.config import find_roots

    _show.files("study", find_roots(config_root).headlines("studies"))
    _show.summaries(list_studies(runs, storage))


@app.command()
def show(name: StudyFile, overrides: Overrides = None, config_root: ConfigRoot = None) -> None:
    """The study with every setting written out, as YAML that can be run."""
    from gsfnas.config import compose_study

    typer.echo(compose_study(name, overrides or (), config_root).yaml, nl=False)


@app.command()
def status(name: StudyName, runs: Runs = Path("runs"), storage: Storage = "journal") -> None:
    """Show the progress of a study."""
    from gsfnas.api import summarise_study
    from gsfnas.cli import _show

    _show.summaries([summarise_study(runs, name, storage)])


@app.command(epilog="Example: `gsfnas study best placement --format json | gsfnas cost - --classes 20`")
def best(
    name: StudyName,
    runs: Runs = Path("runs"),
    format: Annotated[BestFormat, typer.Option("--format", help="As a table, or the best candidate as JSON.")] = "table",
    train: Annotated[
        list[str] | None,
        typer.Option(
            "--train",
            metavar="KEY=VALUE",
            help="Train it once more, with these settings in place of the study's, as in --train train=paper; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="With --train: the folder of trained runs.")] = Path(
        "runs/trained"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --train: the seed.")] = 0,
    storage: Storage = "journal",
) -> None:
    """The best candidate of a study by the objective that its runs measure, beside the network without modules."""
    from gsfnas.api import load_study
    from gsfnas.cli import _show
    from gsfnas.record import best_of

    record = load_study(runs, name, storage)
    if train:
        from gsfnas.api import ConsoleWatcher, train_again
        from gsfnas.cli import _show_scores

        with _show.resumable():
            found = train_again(best_of(record), record, train, out=out, seed=seed, watcher=ConsoleWatcher())
        _show_scores.tested(found, is_trained=True)
        return
    if format == "json":
        typer.echo(best_of(record).candidate.to_json())
    else:
        _show.result(record)
