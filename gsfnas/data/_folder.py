"""Class folders as a catalogue: with splits of their own, or with one that is drawn and recorded."""

import hashlib
import json
from pathlib import Path

from gsfnas.data._assign import recorded
from gsfnas.data._catalogue import UNREADABLE, Catalogue, Entry, Problem
from gsfnas.data._layout import find_layout
from gsfnas.data._settings import DataSettings

_TASK = "class"


def read_folder(root: Path, home: Path, settings: DataSettings) -> Catalogue:
    """The clips under ``root``; a split that is drawn is recorded under ``home``. Raises UserError as ``find_layout`` does."""
    layout = find_layout(root)
    listings = layout.splits
    if listings is None:
        assert layout.clips is not None
        shares = {"seed": settings.seed, "val_share": settings.val_share, "test_share": settings.test_share}
        listings = recorded(
            home / f"split-{hashlib.sha256(json.dumps(shares).encode()).hexdigest()[:16]}.json",
            layout.clips,
            seed=settings.seed,
            val_share=settings.val_share,
            test_share=settings.test_share,
        )
    splits = {
        split: tuple(Entry(path, path, (layout.classes.index(name),)) for name, paths in listing.items() for path in paths)
        for split, listing in listings.items()
    }
    problems = []
    for stranger in layout.strangers:
        path, _, says = stranger.partition(": ")
        relative = Path(path).relative_to(root).as_posix()
        problems.append(Problem("", relative, relative, UNREADABLE, says))
    return Catalogue({_TASK: layout.classes}, splits, tuple(problems))
