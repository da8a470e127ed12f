"""Makes a table of finished runs for `evaluator=table`: keeps what a study has so far, goes on elsewhere, writes the table.

gsfnas study run table-placement                         the runs, hours; may be stopped and started again
python benchmarks/make_table.py save table-placement      what the study has so far, as one more shard in benchmarks/tables/
python benchmarks/make_table.py restore table-placement   a study's folder from the shards, where it then goes on
python benchmarks/make_table.py build table-placement     the table, once all runs are there

A shard is the next part of the study's journal, compressed: in order they are the journal. Whole runs are kept this way, with
their checks: a study that is restored reads its journal as it reads any other.
"""

import argparse
import dataclasses
import lzma
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from _measure import Parser, run

import gsfnas
from gsfnas.api import load_study
from gsfnas.config import compose_study
from gsfnas.errors import UserError
from gsfnas.evaluators.benchmark import SHIPPED, BenchmarkTable, noise_ceiling, read_table
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.files import read_bytes, write
from gsfnas.record import StudyRecord
from gsfnas.storages._journal_file import JOURNAL

SHARDS = Path(__file__).parent / "tables"
LICENCE = "Apache-2.0, as gsfnas; the clips are rendered from images that ship with scikit-learn (BSD-3-Clause)"


def shards_of(study: str) -> list[Path]:
    return sorted((SHARDS / study).glob("[0-9][0-9][0-9].xz"))


def kept(study: str) -> bytes:
    """The journal as far as shards hold it."""
    return b"".join(lzma.decompress(read_bytes(path)) for path in shards_of(study))


def save(study: str, runs: Path) -> str:
    """Adds a shard with the lines of the journal that no shard has. Raises UserError if the shards are of another journal."""
    journal, before = read_bytes(runs / study / JOURNAL, None), kept(study)
    if not journal.startswith(before):
        raise UserError(f"the shards in {SHARDS / study} are not the beginning of {runs / study / JOURNAL}; restore them first")
    # A line that is being written belongs to the next shard.
    lines = journal[len(before) : journal.rfind(b"\n") + 1]
    if not lines:
        return "no new line"
    path = SHARDS / study / f"{len(shards_of(study)):03d}.xz"
    write(path, lzma.compress(lines, preset=9))
    return f"{path}: {lines.count(bytes([10]))} lines, {path.stat().st_size / 1e3:.0f} kB"


def restore(study: str, runs: Path) -> str:
    """Writes the journal of a study from its shards. Raises UserError if there are none, or the study has a journal."""
    path, journal = runs / study / JOURNAL, kept(study)
    if not journal:
        raise UserError(f"there are no shards in {SHARDS / study}")
    if path.exists():
        raise UserError(f"{path} exists; remove it, or choose other --runs")
    write(path, journal)
    return f"{path}: {journal.count(bytes([10]))} lines; go on with: gsfnas study run {study}"


def build(study: str, runs: Path, name: str, folder: Path) -> str:
    """Writes the table of a complete study. Raises UserError if runs are missing."""
    record = load_study(runs, study)
    table = BenchmarkTable.of_study(record, card_of(record, name))
    ceilings = {metric: noise_ceiling(table, metric) for metric in ("val_top1", "test_top1")}
    ceiling = {metric: None if math.isnan(value) else round(value, 4) for metric, value in ceilings.items()}
    dataclasses.replace(table, card={**table.card, "noise_ceiling": ceiling}).write(folder / name)
    read_table(folder / name)
    size = sum(path.stat().st_size for path in (folder / name).iterdir())
    return f"{folder / name}: {len(table.candidates)} candidates x {table.num_seeds} seeds, {size / 1e3:.0f} kB, {ceiling}"


def card_of(record: StudyRecord, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{record.name}.yaml"
        path.write_text(record.study_yaml, encoding="utf-8")
        config = compose_study(str(path))
    evaluator = TrainEvaluator(config.train, config.data)
    machines = {(str(one.get("processor")), str(one.get("packages", {}).get("torch"))) for one in record.environments.values()}
    latency = next(iter(record.latencies), None)
    conditions = {} if latency is None else {key: getattr(latency, key) for key in ("device", "threads", "precision", "batch")}
    return {
        "name": name,
        "question": f"the final and intermediate accuracies of all {record.space_size} candidates of space {record.space}",
        "made_by": f"gsfnas study run {record.name} (gsfnas {gsfnas.__version__}), then benchmarks/make_table.py",
        "environments": [{"processor": processor, "torch": torch} for processor, torch in sorted(machines)],
        "space": record.space,
        "backbone": {"name": config.backbone, **config.backbone_options},
        "heads": evaluator.heads,
        "data": config.resolved["data"],
        "train": config.resolved["train"],
        "recipe": evaluator.identity.recipe,
        "data_fingerprint": evaluator.data_fingerprint,
        "study_seed": config.study.seed,
        "seed_rule": "the training seed of a row is gsfnas.seeds.training_seed(study_seed, key, replicate)",
        "latency": conditions,
        "units": {"top1, top5": "fraction", "loss": "nats", "seconds": "s since the run began", "latency": "ms for one clip"},
        "licence": LICENCE,
    }


def main() -> bool:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("save", "restore", "build"))
    parser.add_argument("study", help="such as table-placement")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--name", help="of the table; default: the study's without `table-`")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FOLDER", help="where tables are; default: in the package")
    arguments = parser.parse_args()
    name = arguments.name or arguments.study.removeprefix("table-")
    if arguments.what == "build":
        print(build(arguments.study, arguments.runs, name, arguments.out))
    else:
        print({"save": save, "restore": restore}[arguments.what](arguments.study, arguments.runs))
    return False


if __name__ == "__main__":
    sys.exit(run(main))
