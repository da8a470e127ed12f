"""What a trial of the placement study costs with each module at every site, beside TSM's: one epoch each in turn, in one run.

python benchmarks/trials.py

A trial's time is that of its epochs: data, training, validation, checkpoint; the last epoch also scores the test split. The bar
is 1.3 x TSM for GSF. With one thread, as the study's workers have, about 2 minutes on an otherwise idle AMD EPYC.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from _measure import Parser, positive, print_wide, run
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.candidate import Candidate
from gsfnas.config import compose_study
from gsfnas.errors import UserError
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.modules import resolve

MODULES = ("tsn", "tsm", "gsm", "gsf")
BAR = 1.3


def main() -> bool:
    parser = Parser(description=__doc__)
    parser.add_argument("--epochs", type=positive, default=8)
    parser.add_argument("--ratio", type=float, default=0.25)
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("overrides", nargs="*", help="of the placement study, such as data.train_clips=240")
    arguments = parser.parse_intermixed_args()
    for override in arguments.overrides:
        if not override.startswith(("data.", "train.")):
            raise UserError(f"overrides here are of data. and train., but got {override!r}")
    config = compose_study("placement", ["train.warm_start=0", *arguments.overrides])
    backbone = backbone_ref(config.backbone, dict(config.backbone_options))
    resolution, frames = config.data.resolution, config.data.frames
    sites = [site for site in backbone_sites(backbone, resolution) if site.is_default]
    seconds: dict[str, list[float]] = {module: [] for module in MODULES}
    with tempfile.TemporaryDirectory() as folder:
        evaluator = TrainEvaluator(config.train, config.data)
        evaluator.prepare(None, Context(Path(folder), threads=arguments.threads))
        trials = {}
        for module in MODULES:
            found = {site.name: resolve(site, {"module": module, "ratio": arguments.ratio}) for site in sites}
            insertions = tuple((name, insertion) for name, insertion in found.items() if insertion is not None)
            candidate = Candidate(backbone, frames, resolution, insertions)
            trials[module] = evaluator.evaluate(candidate, seed=0, budget=arguments.epochs)
        for _ in track(range(arguments.epochs), "epochs", console=Console(stderr=True)):
            for module, trial in trials.items():
                start = time.perf_counter()
                next(trial)
                seconds[module].append(time.perf_counter() - start)

    table = Table(title=f"Trials of the placement study, torch {torch.__version__}, threads: {arguments.threads}")
    for column in ("module", "epoch, median s", "over_tsn", "over_tsm"):
        table.add_column(column, justify="left" if column == "module" else "right")
    medians = {module: statistics.median(times) for module, times in seconds.items()}
    for module, median in medians.items():
        table.add_row(module, f"{median:.2f}", f"{median / medians['tsn']:.3f}", f"{median / medians['tsm']:.3f}")
    print_wide(table)
    if arguments.overrides:
        return False  # the bar is that of the study as it is
    missed = medians["gsf"] / medians["tsm"] - BAR
    print(f"Bar, gsf at most {BAR} x tsm: {'met' if missed <= 0 else f'missed by {missed:.3f}'}")
    return False


if __name__ == "__main__":
    sys.exit(run(main))
