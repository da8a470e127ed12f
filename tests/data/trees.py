"""Data sets of empty files, for readers that open nothing but annotations."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gsfnas.data._manifest import Manifest
from gsfnas.errors import UserError


def touch(root: Path, *paths: str) -> None:
    """Empty files, with the folders that they are in."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def refused(read: Callable[..., Manifest], *arguments: Path) -> str:
    """The one line with which a set is refused."""
    with pytest.raises(UserError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def wrong(manifest: Manifest) -> dict[str, str]:
    """id -> kind of each problem."""
    found = {problem.id: problem.kind for problem in manifest.problems}
    assert len(found) == len(manifest.problems)
    return found


def says(manifest: Manifest, clip: str) -> str:
    """What the problem of a clip says."""
    (found,) = (problem.message for problem in manifest.problems if problem.id == clip)
    return found
