"""Folders for what is written at the end of long work."""

import tempfile
from pathlib import Path

from gsfnas.errors import UserError


def check_writable(folder: Path) -> None:
    """Raises UserError where the report could not be written: a study should not learn so at its end. Leaves nothing."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            pass
    except OSError:
        raise UserError(f"the report cannot be written to {folder}: {nearest} is no folder that can be written") from None
