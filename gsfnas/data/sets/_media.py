"""The clips under the root of a data set: which files and folders there are, by the name of the clip.

Nothing outside of the root is read, with one exception: a folder directly below the root whose name the layout knows, such as
``train``, may be a link to another disk. No other link out of the root is followed, nor one that could lead in circles.
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

# What a walk does at a folder: take it as a clip, go into it, or pass it by.
Step = Literal["take", "enter", "pass"]

# Where below the root annotations may lie.
ANNOTATIONS = ("annotations", "labels", "epic-kitchens-100-annotations", "kinetics400")
# Words in the name of a folder that holds something else than RGB frames, under the same names of clips.
_OTHER = {"flow", "flows", "opticalflow", "depth", "mask", "masks", "thumbs", "thumbnails"}


@dataclass(frozen=True)
class Media:
    """The clips under a root: ``paths`` name without suffix -> all files and folders of this name, the one to take first.

    ``links`` are the paths that are links. ``followed`` are folders below the root that may be links out of it; ``outside`` are
    other links out of it, which were not searched.
    """

    root: Path
    paths: Mapping[str, tuple[str, ...]]
    links: frozenset[str] = frozenset()
    followed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def find(self, *names: str) -> tuple[str, ...]:
        """The paths of the first of ``names`` that is there."""
        return next((self.paths[name] for name in names if name in self.paths), ())

    def is_refused(self, path: str) -> bool:
        """Whether a path is a link that leads out."""
        return path in self.links and leads_out(self.root, path, self.followed)

    @property
    def not_followed(self) -> str:
        """A hint for the message that a clip is missing."""
        return f" ({self.outside[0]} is a link that leads out of the root, and is not followed)" if self.outside else ""


def find_media(
    root: Path,
    starts: Sequence[str],
    expected: str,
    wanted: Container[str],
    at_folder: Callable[[str], Step] | None = None,
    follows: Callable[[str], bool] | None = None,
) -> Media:
    """All videos in the folders ``starts`` that exist, and all folders of images whose name is in ``wanted``.

    ``at_folder`` decides what to do with other folders; without it they are passed by. ``follows`` decides which folders
    directly below the root may be links out of it, besides ``starts``. Files come in the order of ``starts`` and of names.
    Raises UserError where there is no clip at all; ``expected`` says what there must be.
    """
    paths: dict[str, dict[str, None]] = {}
    links: set[str] = set()
    followed: list[str] = []
    outside: list[str] = []

    def walk(start: str) -> Iterator[tuple[str, str, bool]]:
        """(name, path, whether it is a link) of every clip."""
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
                    # A link to a folder below the root would only lead to clips that are found anyway, or in circles.
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
    """What is in a folder and not hidden, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {folder}: {getattr(error, 'strerror', None) or error}") from None


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder, or a link to one. A link that goes round in circles is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def holds_other(folder: str) -> bool:
    """Whether a folder's name says optical flow, depth, masks or thumbnails, whose clips have the same names as the videos."""
    words = set(re.split(r"[^a-z]+", folder.lower()))
    return bool(words & _OTHER) and "rgb" not in words


def is_video(name: str) -> bool:
    return name.lower().endswith(VIDEOS)


def videos_first(paths: Sequence[str]) -> list[str]:
    """The paths in their order, but videos before folders of frames, which are copies of them."""
    return sorted(paths, key=lambda path: not is_video(path))


def stem(name: str) -> str:
    """A video's name without suffix; without both where one was put after the other (``x.mp4.mkv``)."""
    while is_video(name):
        name = name.rpartition(".")[0]
    return name
