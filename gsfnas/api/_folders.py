"""Checks the folders of files that are written only at the end of a long operation."""

import tempfile
from pathlib import Path

from gsfnas.errors import UserError


def check_writable(folder: Path) -> None:
    """Raises UserError if a report could not be written to ``folder``, before a long operation begins. Leaves no files."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            pass
    except OSError:
        raise UserError(f"the report cannot be written to {folder}: {nearest} is no folder that can be written") from None
