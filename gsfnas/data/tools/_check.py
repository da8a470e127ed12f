"""Decodes a whole data set and lists the clips that are missing, unreadable, too short or mislabelled."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gsfnas.data._manifest import EMPTY, MISSING, SHORT, UNREADABLE, UNSTAMPED, empty_classes
from gsfnas.data._open import data_set_of
from gsfnas.data._settings import DataSettings
from gsfnas.data.sets._files import FileSet, places, probe_manifest, read_manifest
from gsfnas.data.video._probe import OnProgress
from gsfnas.errors import UserError
from gsfnas.escape import csv_cell
from gsfnas.files import replacing


@dataclass(frozen=True)
class CheckRow:
    """A problem of a clip or a class; ``is_used`` is true if training uses the clip anyway."""

    split: str
    id: str
    path: str
    problem: str
    message: str
    is_used: bool

    @property
    def says(self) -> str:
        """The message under its old name."""
        return self.message


@dataclass(frozen=True)
class Check:
    """The number of usable ``clips`` of each split, and a row for each problem."""

    clips: dict[str, int]
    rows: tuple[CheckRow, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Problem -> number of rows."""
        return dict(Counter(row.problem for row in self.rows))

    def write(self, path: Path) -> None:
        """Writes the rows as CSV: ``split, id, path, problem, says, used``. Raises UserError if it cannot be written.

        Invisible characters are escaped, and text that a spreadsheet would run as a formula is prefixed with an apostrophe.
        """
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["split", "id", "path", "problem", "says", "used"])
            for row in self.rows:
                cells = (row.split, row.id, row.path, row.problem, row.message, "yes" if row.is_used else "no")
                writer.writerow([csv_cell(cell) for cell in cells])


def check(settings: DataSettings, on_progress: OnProgress = lambda done, total: None) -> Check:
    """Decodes every clip of a data set; broken clips are recorded, and left out of training from then on.

    An interrupted check resumes where it stopped. ``on_progress(done, total)`` counts files. Raises UserError for an unusable
    root or unusable annotations, and for a data set without files.
    """
    data_set = data_set_of(settings)
    if not isinstance(data_set, FileSet):
        hint = "; export it and check the files" if settings.name == "twins" else ""
        raise UserError(f"{settings.name} is rendered, so there is nothing to check{hint}")
    root, _ = places(settings)
    manifest = read_manifest(data_set, settings)
    rows = [
        CheckRow(problem.split, problem.id, problem.path, problem.kind, problem.message, is_used=False)
        for problem in manifest.problems
    ]
    files = probe_manifest(data_set, settings, manifest, checks=True, on_progress=on_progress)
    for split, entry, seen in [(split, entry, seen) for split, found in files.items() for entry, seen in found]:
        window = seen.window(entry)
        if window.broken is not None:
            kind = UNREADABLE if window.first < window.stop or seen.broken is not None else SHORT
            kind = MISSING if not (root / entry.path).exists() else kind
            rows.append(CheckRow(split, entry.id, entry.path, kind, window.broken, is_used=False))
        elif window.stop - window.first < settings.frames:
            frames = window.stop - window.first
            message = (
                f"{frames} frame{'' if frames == 1 else 's'}, fewer than the {settings.frames} of a clip; some are repeated"
            )
            rows.append(CheckRow(split, entry.id, entry.path, SHORT, window.note or message, is_used=True))
        elif window.note is not None:
            rows.append(CheckRow(split, entry.id, entry.path, SHORT, window.note, is_used=True))
        if window.broken is None and seen.note:
            message = f"{seen.note}; its frames are taken in the order in which they are decoded"
            rows.append(CheckRow(split, entry.id, entry.path, UNSTAMPED, message, is_used=True))
    used = {split: [one for one, seen in found if seen.window(one).broken is None] for split, found in files.items()}
    known = {problem.id for problem in manifest.problems if problem.kind == EMPTY}
    for task, name in empty_classes(manifest.tasks, [entry.labels for entry in used["train"]]):
        if name not in known:
            message = f"{task} {name!r} has no clip in train that can be used"
            rows.append(CheckRow("train", name, "", EMPTY, message, is_used=False))
    return Check({split: len(found) for split, found in used.items()}, tuple(rows))
