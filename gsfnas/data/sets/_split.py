"""Splits the clips of class folders into train, val and test, and records the split so that it stays the same."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from gsfnas.data._settings import SPLITS
from gsfnas.data.sets._layout import Listing
from gsfnas.errors import UserError
from gsfnas.files import read_text, replacing


def draw_split(clips: Listing, *, seed: int, val_share: float, test_share: float) -> dict[str, str]:
    """Draws a split, path -> split name. Each split gets its share of every class, rounded, and at least one clip.

    A hash of the seed and the path decides which clips. Raises UserError for a class with fewer than three clips.
    """
    dealt = {}
    for name, paths in clips.items():
        if len(paths) < 3:
            raise UserError(
                f"class {name!r} has {len(paths)} clips, but a split needs at least three (one each to train, val and test)"
            )
        order = sorted(paths, key=lambda path: hashlib.sha256(f"{seed}/{path}".encode(errors="surrogatepass")).digest())
        test = min(max(1, round(len(paths) * test_share)), len(paths) - 2)
        val = min(max(1, round(len(paths) * val_share)), len(paths) - test - 1)
        for number, path in enumerate(order):
            dealt[path] = "test" if number < test else "val" if number < test + val else "train"
    return dealt


def recorded_split(record: Path, clips: Listing, *, seed: int, val_share: float, test_share: float) -> dict[str, Listing]:
    """Reads the split recorded in the file ``record``, or draws and records one if there is none for these clips.

    Clips added later go to train, so that val and test stay comparable; clips that were removed are left out. Raises UserError
    if no clip is left for a split.
    """
    known = _read(record)
    dealt = known
    if not set(known) & {path for paths in clips.values() for path in paths}:
        dealt = draw_split(clips, seed=seed, val_share=val_share, test_share=test_share)
    dealt = {**dealt, **{path: "train" for paths in clips.values() for path in paths if path not in dealt}}
    if dealt != known:
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(dealt, indent=0, sort_keys=True) + "\n")
    splits: dict[str, Listing] = {
        split: {name: tuple(path for path in paths if dealt[path] == split) for name, paths in clips.items()}
        for split in SPLITS
    }
    for split, listing in splits.items():
        if not any(listing.values()):
            raise UserError(
                f"no clip of the split recorded in {record} is left for {split}; remove that file to draw a new one"
            )
    return splits


def _read(record: Path) -> Mapping[str, str]:
    try:
        dealt = json.loads(read_text(record, max_bytes=None))
    except (ValueError, RecursionError):
        # The file is missing or damaged.
        return {}
    valid = isinstance(dealt, dict) and all(split in SPLITS for split in dealt.values())
    return dealt if valid else {}
