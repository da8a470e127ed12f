"""What a finished study's weights score under another protocol: records beside its own, which stay as they are."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from gsfnas.errors import UserError
from gsfnas.record import ProtocolScore, Record, StudyRecord
from gsfnas.storages.base import StudyStorage
from gsfnas.study._checkpoints import WEIGHTS
from gsfnas.study._read import find_storage, open_study, read_study

# Its name, clips, crops, the split, and the fingerprint of the data.
Protocol = tuple[str, int, int, str, str]
# (record, its weights) -> the score; how that is measured, the caller knows.
Measure = Callable[[Record, Path], ProtocolScore]


def measure_study(runs: str | Path, name: str, protocol: Protocol, measure: Measure, console: Console) -> StudyRecord:
    """Has every run of a study whose weights are kept measured under ``protocol``, unless it was.

    Raises UserError where there is no such study, another process runs it, or no weights are kept.
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
    """Adds what is missing, a record at a time: an interruption loses one at the most."""
    known = {score.identity for score in storage.protocols()}
    missing = [
        (record, path) for record, path in kept_weights(storage) if (record.candidate.key, record.seed, *protocol) not in known
    ]
    if missing:
        console.print(f"testing {len(missing)} candidates, whose weights are kept, under {protocol[0]}", highlight=False)
    for record, path in missing:
        storage.add_protocol(measure(record, path))


def kept_weights(storage: StudyStorage) -> list[tuple[Record, Path]]:
    """The complete runs whose weights are there: those of the Pareto front and the anchors."""
    runs = [run for run in storage.runs() if run.record.outcome == "complete"]
    found = [(run.record, storage.folder / "checkpoints" / run.folder_name / WEIGHTS) for run in runs]
    return [(record, path) for record, path in found if path.is_file()]
