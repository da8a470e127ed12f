"""Reads a user's table of clips: one line per clip with its path and class, optionally its split and a window in seconds."""

from pathlib import Path

from gsfnas.data._manifest import Manifest
from gsfnas.data.sets._annotations import beginning, check_root, number_of, read_lines, read_rows
from gsfnas.data.sets._listed import MAX_FPS, Row, manifest_of
from gsfnas.data.sets.base import LabelledClip
from gsfnas.errors import UserError

_DELIMITERS = (",", ";", "\t")
_NO_FPS = "the table needs a column `fps`, their frames a second"


def read_table(root: Path, csv: Path) -> Manifest:
    """Reads the table ``csv``: ``path,label``, optionally ``start,stop`` (seconds), ``fps`` and ``split`` (train, val or test).

    Paths are relative to ``root``; a clip is a video or a folder of images. A window in a folder of images needs ``fps``
    (frames per second). Without ``split`` all clips are in train; splits without a line are left out.
    """
    check_root(root)
    rows = [row for _, row in read_rows(csv, ("path", "label"), _delimiter(csv))]
    if not rows:
        raise UserError(f"{csv} has a header, but no clip")
    if ("start" in rows[0]) != ("stop" in rows[0]):
        raise UserError(f"{csv}, line 1: of the columns start and stop there must be both or none")
    return manifest_of(root, str(csv), [_row(row) for row in rows], _NO_FPS)


def _row(row: dict[str, str]) -> Row:
    start, stop = row.get("start", ""), row.get("stop", "")
    start_s, stop_s, fps = number_of(start), number_of(stop), row.get("fps", "")
    is_bad = bool(start or stop) and (start_s is None or stop_s is None)
    return Row(
        LabelledClip(row["path"], row["label"], row.get("split", "train"), start_s, stop_s, number_of(fps)),
        f"start {start!r} and stop {stop!r} must both be seconds, or both be empty" if is_bad else "",
        f"`fps` must be a number from above 0 to {MAX_FPS}, but is {fps!r}" if fps else "",
    )


def _delimiter(csv: Path) -> str:
    """The delimiter of the table, found in its header. Raises UserError if the header lacks path or label."""
    _, header = next(read_lines(csv), (1, ""))
    for delimiter in _DELIMITERS:
        if {"path", "label"} <= {name.strip().strip('"').lower() for name in header.split(delimiter)}:
            return delimiter
    raise UserError(f"{csv}, line 1: it must be a header with path,label (maybe start,stop,split), but is {beginning(header)}")
