"""Scores the weights that a study has kept under another test protocol; the scores are stored beside the study's records."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from gsfnas.errors import UserError
from gsfnas.record import ProtocolScore, Record, StudyRecord
from gsfnas.storages.base import StudyStorage
from gsfnas.study._checkpoints import WEIGHTS
from gsfnas.study._read import find_storage, open_study, read_study

# (name, clips, crops, split, fingerprint of the data)
Protocol = tuple[str, int, int, str, str]
# (record, path of its weights) -> score
Measure = Callable[[Record, Path], ProtocolScore]


def measure_study(runs: str | Path, name: str, protocol: Protocol, measure: Measure, console: Console) -> StudyRecord:
    """Scores every run whose weights are kept and that has no score under ``protocol`` yet.

    Raises UserError if there is no such study, another process is running it, or no weights are kept.
    """
    folder = open_study(runs, name).folder
    kept = find_storage(folder)
    with kept.running(folder, name):
        storage = kept.open(folder, name, "write")
        if not kept_weights(storage):
            raise UserError(
                f"study {name!r} has no weights in {folder / 'checkpoints'}: they were removed, or no candidate is complete yet"
            )
        measure_protocol(storage, protocol, measure, console)
        return read_study(storage)


def measure_protocol(storage: StudyStorage, protocol: Protocol, measure: Measure, console: Console) -> None:
    """Adds the missing scores, one at a time, so that an interruption loses at most one."""
    known = {score.identity for score in storage.protocols()}
    missing = [
        (record, path) for record, path in kept_weights(storage) if (record.candidate.key, record.seed, *protocol) not in known
    ]
    if missing:
        console.print(f"testing {len(missing)} candidates, whose weights are kept, under {protocol[0]}", highlight=False)
    for record, path in missing:
        storage.add_protocol(measure(record, path))


def kept_weights(storage: StudyStorage) -> list[tuple[Record, Path]]:
    """The complete runs whose weights still exist (those of the Pareto front and the anchors), and the paths of the weights."""
    runs = [run for run in storage.runs() if run.record.outcome == "complete"]
    found = [(run.record, storage.folder / "checkpoints" / run.folder_name / WEIGHTS) for run in runs]
    return [(record, path) for record, path in found if path.is_file()]
