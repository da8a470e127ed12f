"""The manifest of class folders, which have splits of their own or get one that is drawn and recorded."""

import hashlib
import json
from pathlib import Path

from gsfnas.data._manifest import Entry, Manifest, Problem, is_text
from gsfnas.data._settings import DataSettings
from gsfnas.data.sets._annotations import check_classes
from gsfnas.data.sets._files import FileSet, places
from gsfnas.data.sets._layout import find_layout
from gsfnas.data.sets._split import recorded_split
from gsfnas.data.sets._table import read_table
from gsfnas.data.video._cache import expanded
from gsfnas.escape import printable

_TASK = "class"


class Folder(FileSet):
    """Clips in class folders, or with ``data.csv`` the clips of a table."""

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        if settings.csv is not None:
            return read_table(root, root / expanded("data.csv", settings.csv))
        return read_folder(root, places(settings)[1], settings)


def read_folder(root: Path, home: Path, settings: DataSettings) -> Manifest:
    """Lists the clips under ``root``; a drawn split is recorded under ``home``. Raises UserError as ``find_layout`` does."""
    layout = find_layout(root)
    listings = layout.splits
    if listings is None:
        assert layout.clips is not None
        shares = {"seed": settings.seed, "val_share": settings.val_share, "test_share": settings.test_share}
        listings = recorded_split(
            home / f"split-{hashlib.sha256(json.dumps(shares).encode()).hexdigest()[:16]}.json",
            layout.clips,
            seed=settings.seed,
            val_share=settings.val_share,
            test_share=settings.test_share,
        )
    numbers = {folder: number for number, folder in enumerate(layout.classes)}
    splits = {
        split: tuple(Entry(path, path, (numbers[folder],)) for folder, paths in listing.items() for path in paths)
        for split, listing in listings.items()
    }
    problems = tuple(Problem("", path, path, kind, message) for path, kind, message in layout.rejected)
    # Class names are written to records and reports, which are UTF-8.
    names = [folder if is_text(folder) else printable(folder) for folder in layout.classes]
    return Manifest({_TASK: check_classes(root, names)}, splits, problems)
