"""``gsfnas train`` and ``gsfnas test``: train one candidate, and test trained weights."""

from pathlib import Path
from typing import Annotated

import typer

from gsfnas.cli._options import ConfigRoot, Overrides, Runs

TRAIN_EXAMPLES = """Examples

- `gsfnas train reports/placement:1`

- `gsfnas study best placement --format json | gsfnas train - train.epochs=20`

- `gsfnas train candidate.json train=paper data=something_v1 data.root=FOLDER train.devices=4`

- `gsfnas train c1-644d27a5ccff9cbb train=paper train.init=scratch train.epochs=30`
"""

TEST_EXAMPLES = """Examples

- `gsfnas test runs/trained/c1-644d27a5ccff9cbb-0`

- `gsfnas test runs/trained/c1-644d27a5ccff9cbb-0 protocol=accuracy`

- `gsfnas test gsf_bninception.safetensors protocol=accuracy data=something_v1 data.root=FOLDER data.augment=paper`

- `gsfnas test placement protocol=accuracy`
"""

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of trained runs, each a folder of its own.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of initial weights, order of clips, augmentation.")]


def train(
    candidate: Annotated[
        str,
        typer.Argument(
            help="JSON, a JSON file, - for standard input, the key of a study's candidate, or REPORT:ROW.", show_default=False
        ),
    ],
    overrides: Overrides = None,
    out: Out = Path("runs/trained"),
    seed: Seed = 0,
    runs: Runs = Path("runs"),
    config_root: ConfigRoot = None,
) -> None:
    """Train one candidate, then test it. Settings choose the data set, the recipe and the test protocol.

    The same command resumes a run that was stopped, after its last complete epoch. The run's folder has the weights, `log.csv`
    with a line per epoch, TensorBoard events if the extra `gsfnas[tensorboard]` is installed, and the scores of the test.
    """
    from gsfnas import api
    from gsfnas.cli import _show, _show_scores

    found = api.find_candidate(candidate, runs)
    watcher = api.ConsoleWatcher()
    with _show.resumable():
        tested = api.train(found, overrides or (), out=out, seed=seed, config_root=config_root, watcher=watcher)
    _show_scores.tested(tested, is_trained=True)


def evaluate(
    what: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's folder, a file of weights, or a study by name.", show_default=False),
    ],
    overrides: Overrides = None,
    split: Annotated[str, typer.Option(help="Which clips: test, val or train.")] = "test",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The folder of the scores; else beside the weights.", show_default=False),
    ] = None,
    runs: Runs = Path("runs"),
    config_root: ConfigRoot = None,
) -> None:
    """Test trained weights under a protocol: top-1, top-5, accuracy per class and its mean, confusion matrix, all scores.

    Given a study, tests the candidates whose weights are kept (the Pareto front and the anchors), and adds the results to the
    study.
    """
    from gsfnas import api
    from gsfnas.cli import _show_scores
    from gsfnas.study import study_names

    path, watcher = Path(what), api.ConsoleWatcher()
    if not path.exists() and what in study_names(runs):
        found = api.test_study(what, overrides or (), runs=runs, split=split, out=out, config_root=config_root, watcher=watcher)
        _show_scores.tested_study(what, found)
    else:
        _show_scores.tested(api.test(path, overrides or (), split=split, out=out, config_root=config_root, watcher=watcher))
