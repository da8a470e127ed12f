"""Finds the clips in class folders, either directly below the root or below ``train/``, ``val/`` and ``test/``.

A clip is a video file or a folder of images. Paths are relative to the root and never leave it, except that ``train``,
``val`` and ``test`` may be links to another disk.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gsfnas.data._manifest import REFUSED, UNREADABLE, leads_out, real
from gsfnas.data._settings import SPLITS
from gsfnas.data.sets._annotations import check_root
from gsfnas.data.sets._media import holds_other, is_folder, is_video, scan
from gsfnas.data.video._decode import VIDEOS
from gsfnas.data.video._frames import IMAGES
from gsfnas.errors import UserError

# Class -> paths of its clips, relative to the root, sorted.
Listing = Mapping[str, tuple[str, ...]]
# (path, kind of problem, message)
Rejected = tuple[str, str, str]

# Words in the names of folders of RGB frames.
_RGB = {"rgb", "color", "colour"}
_KINDS = f"a video ({', '.join(suffix[1:] for suffix in VIDEOS)}) or a folder of images"


@dataclass(frozen=True)
class Layout:
    """The contents of a folder: ``splits`` if it has train, val and test, otherwise ``clips``.

    ``rejected`` are files and folders among the clips that cannot be used.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Listing] | None
    clips: Listing | None
    rejected: tuple[Rejected, ...]


def find_layout(root: Path) -> Layout:
    """Finds the clips under ``root``. Raises UserError for an invalid layout, naming the first wrong path."""
    check_root(root)
    folders = _folders(root)
    if root.name in SPLITS and (root.parent / "train").is_dir() and (root.parent / "val").is_dir():
        raise UserError(f"{root} is one split of a data set; set data.root={root.parent}")
    named = [name for name in SPLITS if name in folders]
    if not named:
        _refuse_clips(root, root)
        rejected: list[Rejected] = []
        clips = _listing(root, root, rejected)
        return Layout(tuple(clips), None, clips, tuple(rejected))
    missing = [name for name in SPLITS if name not in folders]
    if missing:
        raise UserError(f"{root} has {'/, '.join(named)}/ but no {'/, '.join(missing)}/; give all three or class folders alone")
    extra = [name for name in folders if name not in SPLITS]
    if extra:
        raise UserError(f"{root} has train/, val/ and test/, and beside them {extra[0]}/, which belongs in one of the three")
    rejected = []
    splits = {}
    for name in SPLITS:
        _refuse_clips(root / name, root)
        splits[name] = _listing(root / name, root, rejected)
    classes = tuple(splits["train"])
    for name in SPLITS[1:]:
        for label in splits[name]:
            if label not in classes:
                raise UserError(f"{root / name / label} is a class that train/ does not have (it has {_some(classes)})")
    return Layout(classes, splits, None, tuple(rejected))


def _listing(folder: Path, root: Path, rejected: list[Rejected]) -> dict[str, tuple[str, ...]]:
    """The clips of each class folder; appends unusable files to ``rejected``. Raises UserError for an invalid layout."""
    classes = _folders(folder)
    if not classes:
        raise UserError(f"{folder} is empty; it must hold a folder a class, with {_KINDS} a clip")
    if not any(True for name in classes for _ in scan(folder / name)):
        raise UserError(f"{folder} has class folders, but there is no clip in them; a clip is {_KINDS}")
    found = {}
    for name in classes:
        _refuse_outside(folder / name, root)
        clips = []
        for entry in scan(folder / name):
            path = Path(entry.path)
            relative = path.relative_to(root).as_posix()
            if entry.is_symlink() and leads_out(root, relative, SPLITS):
                rejected.append((relative, REFUSED, f"{relative} leads out of the root through a link"))
            elif is_folder(entry):
                _check_images(path, folder, root)
                clips.append(relative)
            elif is_video(entry.name):
                clips.append(relative)
            elif path.suffix.lower() in IMAGES:
                raise UserError(f"{path} is an image in a class folder; the images of one clip belong in a folder of their own")
            else:
                rejected.append((relative, UNREADABLE, f"it is not {_KINDS}"))
        if not clips:
            raise UserError(f"class {name!r} has no clip: {folder / name} must hold {_KINDS} a clip")
        found[name] = tuple(clips)
    if len(found) < 2:
        raise UserError(f"{folder} has the single class {classes[0]!r}; there must be at least two")
    return found


def _refuse_clips(folder: Path, root: Path) -> None:
    """Raises UserError for videos or images beside the class folders instead of in them."""
    for entry in scan(folder):
        if not is_folder(entry) and Path(entry.name).suffix.lower() in VIDEOS + IMAGES:
            where = "the folder above it may be the root" if folder == root else "a class is missing in its path"
            raise UserError(f"{entry.path} lies outside any class folder ({where})")


def _check_images(clip: Path, folder: Path, root: Path) -> None:
    """Raises UserError for a clip's folder with videos or folders in it; the root is then probably a level too high.

    Images that are links out of the root are detected later, when the files are probed.
    """
    entries = scan(clip)
    kinds = [entry.name for entry in entries if is_folder(entry) and _is_kind_of_frames(entry.name)]
    if kinds:
        rgb = next((name for name in kinds if not holds_other(name)), kinds[0])
        path = (clip / rgb).relative_to(root).as_posix()
        raise UserError(
            f"{clip} holds the folders {', '.join(kinds)}, but a clip is a single folder of images; list the folders to use in "
            f"a table, data.csv=clips.csv, with the header path,label and lines such as {path},{clip.parent.name}"
        )
    for entry in entries:
        if is_folder(entry) or is_video(entry.name):
            hint = f"; did you mean data.root={clip.parent}?" if folder == root else ""
            raise UserError(f"{clip} stands where a clip is expected, but holds {entry.name}{hint}")


def _is_kind_of_frames(folder: str) -> bool:
    """Whether a folder, by its name, holds one of several kinds of frames of a clip: RGB, optical flow, depth, masks."""
    return holds_other(folder) or not _RGB.isdisjoint(re.split(r"[^a-z]+", folder.lower()))


def _refuse_outside(path: Path, root: Path) -> None:
    if leads_out(root, path.relative_to(root).as_posix(), SPLITS):
        raise UserError(f"{path} leads out of {root}, to {real(path)}; clips must lie under the root")


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in scan(folder) if is_folder(entry)]


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
