"""Finds the clips under the root of a data set: the files and folders of each clip, by its name.

Nothing outside the root is read, with one exception: a folder directly below the root whose name belongs to the layout, such
as ``train``, may be a link to another disk. Other links out of the root, and links that could form a cycle, are not followed.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gsfnas.data._manifest import leads_out, real
from gsfnas.data.video._decode import VIDEOS
from gsfnas.errors import UserError

# How a walk treats a folder: take it as a clip, enter it, or skip it.
Step = Literal["take", "enter", "pass"]

# Folders below the root that are searched for annotations.
ANNOTATIONS = ("annotations", "labels", "epic-kitchens-100-annotations", "kinetics400")
# Words in the names of folders that have the same clip names as the RGB frames, but other contents.
_OTHER = {"flow", "flows", "opticalflow", "depth", "mask", "masks", "thumbs", "thumbnails"}


@dataclass(frozen=True)
class Media:
    """The clips under a root. ``paths`` maps a clip's name, without suffix, to its files and folders, the preferred one first.

    ``links`` are the paths that are links. ``followed`` are folders below the root that may be links out of it; ``outside`` are
    the other links out of it, which were not searched.
    """

    root: Path
    paths: Mapping[str, tuple[str, ...]]
    links: frozenset[str] = frozenset()
    followed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def find(self, *names: str) -> tuple[str, ...]:
        """The paths of the first of ``names`` that exists; empty if none does."""
        return next((self.paths[name] for name in names if name in self.paths), ())

    def is_refused(self, path: str) -> bool:
        """Whether a path is a link that leads out of the root."""
        return path in self.links and leads_out(self.root, path, self.followed)

    @property
    def not_followed(self) -> str:
        """A hint for messages about missing clips: a link out of the root that was not followed."""
        return f" ({self.outside[0]} is a link that leads out of the root, and is not followed)" if self.outside else ""


def find_media(
    root: Path,
    starts: Sequence[str],
    expected: str,
    wanted: Container[str],
    at_folder: Callable[[str], Step] | None = None,
    follows: Callable[[str], bool] | None = None,
) -> Media:
    """Finds all videos in the folders ``starts``, where they exist, and all folders of images whose name is in ``wanted``.

    ``at_folder`` decides how to treat other folders; without it they are skipped. ``follows`` decides which folders directly
    below the root may be links out of it, besides ``starts``. Files come in the order of ``starts``, then of their names.
    Raises UserError if there is no clip at all; ``expected`` describes in the message what there should be.
    """
    paths: dict[str, dict[str, None]] = {}
    links: set[str] = set()
    followed: list[str] = []
    outside: list[str] = []

    def walk(start: str) -> Iterator[tuple[str, str, bool]]:
        """Yields (name, path, whether it is a link) for every clip."""
        waiting = deque([start] if (root / start).is_dir() else [])
        if start and waiting and leads_out(root, start):
            followed.append(start)
        while waiting:
            folder = waiting.popleft()
            for entry in scan(root / folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not is_folder(entry):
                    if is_video(entry.name):
                        yield stem(entry.name), path, entry.is_symlink()
                    continue
                if holds_other(entry.name):
                    continue
                step: Step = "take" if entry.name in wanted else at_folder(path) if at_folder else "pass"
                if step == "take":
                    yield entry.name, path, entry.is_symlink()
                elif step == "enter" and not entry.is_symlink():
                    waiting.append(path)
                elif step == "enter" and leads_out(root, path):
                    # Links to folders below the root are skipped: their clips are found anyway, and they may form a cycle.
                    if not folder and follows and follows(entry.name):
                        followed.append(path)
                        waiting.append(path)
                    else:
                        outside.append(path)

    for start in starts:
        for name, path, is_link in walk(start):
            paths.setdefault(name, {})[path] = None
            if is_link:
                links.add(path)
    found = {name: tuple(each) for name, each in paths.items()}
    media = Media(root, found, frozenset(links), tuple(followed), tuple(outside))
    if not paths:
        hint = f"; did you mean data.root={real(root).parent}?" if real(root).name in ANNOTATIONS else ""
        raise UserError(f"there is no clip under {root}: there must be {expected}{media.not_followed}{hint}")
    return media


def scan(folder: Path) -> list["os.DirEntry[str]"]:
    """The entries of a folder that are not hidden, sorted by name. Raises UserError if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {folder}: {getattr(error, 'strerror', None) or error}") from None


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder or a link to one; False for a cyclic link."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def holds_other(folder: str) -> bool:
    """Whether a folder, by its name, holds optical flow, depth, masks or thumbnails under the same clip names as the videos."""
    words = set(re.split(r"[^a-z]+", folder.lower()))
    return bool(words & _OTHER) and "rgb" not in words


def is_video(name: str) -> bool:
    return name.lower().endswith(VIDEOS)


def videos_first(paths: Sequence[str]) -> list[str]:
    """Moves videos before folders of frames, which are copies of them; otherwise keeps the order."""
    return sorted(paths, key=lambda path: not is_video(path))


def stem(name: str) -> str:
    """A video's name without its suffix, or without both if it has two (``x.mp4.mkv``)."""
    while is_video(name):
        name = name.rpartition(".")[0]
    return name
