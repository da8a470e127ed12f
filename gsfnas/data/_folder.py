"""Videos and folders of images on disk as a data set: found, looked at, split and decoded.

Each clip: one frame a segment, the short side resized to the resolution, the centre cut out; the same for all of its frames.
What was decoded is kept in the cache while it is small enough.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gsfnas.data._assign import recorded
from gsfnas.data._cache import Array, cache_folder, cached_array, replacing
from gsfnas.data._clips import Clips, ClipSplit, Labels, Read, VideoData
from gsfnas.data._decode import DecodeError, Images, Probe, decode, probe
from gsfnas.data._layout import Layout, Listing, find_layout
from gsfnas.data._sampling import TRAIN_VIEWS, choose_views, segment_frames
from gsfnas.data._settings import DataSettings
from gsfnas.errors import UserError

_TASK = "class"

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Clip:
    """One clip that can be decoded."""

    path: Path
    label: int
    frames: int
    digest: str


def open_folder(settings: DataSettings) -> VideoData:
    """The clips under ``settings.root``.

    Every file is looked at, once (what was seen is remembered in the cache). Raises UserError, one line, for the first thing
    that is wrong: see ``find_layout``, and for a file that cannot be decoded unless ``skip_broken``.
    """
    assert settings.root is not None
    root = Path(settings.root).expanduser().absolute()
    layout = find_layout(root)
    home = cache_folder(settings.cache) / "folder" / _hash(str(root.resolve()))
    listings = _split(layout, home, settings)
    if layout.strangers and not settings.skip_broken:
        raise UserError(f"{layout.strangers[0]}; remove it, or leave out such files with data.skip_broken=true")
    looks = _look(root, [path for listing in listings.values() for paths in listing.values() for path in paths], home)
    skipped = [*layout.strangers]
    for path, seen in looks.items():
        if isinstance(seen, str):
            skipped.append(f"{root / path}: {seen}")
            if not settings.skip_broken:
                raise UserError(
                    f"{root / path} cannot be decoded: {seen}; mend it, or leave out such files with data.skip_broken=true"
                )
    clips = {split: _clips(root, layout.classes, listing, looks) for split, listing in listings.items()}
    for split, found in clips.items():
        if not found:
            raise UserError(f"no clip in {split} of {root} can be decoded ({len(skipped)} files were left out)")
    splits = {split: _open_split(split, found, home, settings) for split, found in clips.items()}
    contents = {split: [(clip.label, clip.digest) for clip in found] for split, found in clips.items()}
    fingerprint = "folder-" + _hash(json.dumps([layout.classes, settings.frames, settings.resolution, contents]))
    return VideoData("folder", {_TASK: layout.classes}, splits, fingerprint, tuple(skipped))


def _split(layout: Layout, home: Path, settings: DataSettings) -> Mapping[str, Listing]:
    if layout.splits is not None:
        return layout.splits
    assert layout.clips is not None
    shares = {"seed": settings.seed, "val_share": settings.val_share, "test_share": settings.test_share}
    return recorded(
        home / f"split-{_hash(json.dumps(shares))}.json",
        layout.clips,
        seed=settings.seed,
        val_share=settings.val_share,
        test_share=settings.test_share,
    )


def _look(root: Path, paths: Sequence[str], home: Path) -> dict[str, Probe | str]:
    """What each clip holds, or why it cannot be decoded; files that have not changed since the last look are not read."""
    index = home / "index.json"
    try:
        known = json.loads(index.read_text())
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    states = {path: _state(root / path) for path in paths}
    looks = {path: look for path in paths if (look := _remembered(known.get(path), states[path])) is not None}
    new = [path for path in paths if path not in looks]
    for path, look in zip(new, _in_threads(_probe, [root / path for path in new]), strict=True):
        looks[path] = look
        known[path] = {"state": states[path], **({"broken": look} if isinstance(look, str) else dataclasses.asdict(look))}
    if new:
        with replacing(index) as temporary:
            temporary.write_text(json.dumps(known))
    return {path: looks[path] for path in paths}


def _remembered(entry: Any, state: list[int]) -> Probe | str | None:
    """What an earlier look saw, unless the clip has changed since or the entry is damaged."""
    match entry:
        case {"state": list(then), "broken": str(reason)} if then == state:
            return reason
        case {"state": list(then), "frames": int(frames), "digest": str(digest)} if then == state and frames >= 1:
            return Probe(frames, digest)
    return None


def _state(path: Path) -> list[int]:
    """What changes when a clip does: size and time of change, of all images together where it is a folder."""
    files = [Path(entry.path) for entry in os.scandir(path)] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return [len(files), sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)]


def _probe(path: Path) -> Probe | str:
    try:
        return probe(path)
    except DecodeError as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read ({(error.strerror or str(error)).lower()})"


def _clips(root: Path, classes: Sequence[str], listing: Listing, looks: Mapping[str, Probe | str]) -> list[_Clip]:
    found = []
    for name, paths in listing.items():
        for path in paths:
            seen = looks[path]
            if isinstance(seen, Probe):
                found.append(_Clip(root / path, classes.index(name), seen.frames, seen.digest))
    return found


def _open_split(split: str, clips: Sequence[_Clip], home: Path, settings: DataSettings) -> ClipSplit:
    """Reads from the cache where the split fits in, or else decodes ahead of the batch that is asked for."""
    many = split == "train" and any(clip.frames > settings.frames for clip in clips)
    views = TRAIN_VIEWS if many else 1
    labels = {_TASK: np.array([clip.label for clip in clips], dtype=np.int64)}
    shape = (len(clips), settings.frames, views, 3, settings.resolution, settings.resolution)
    shift = settings.resolution // 16
    if np.prod(shape, dtype=float) > settings.cache_gb * 1e9:
        return ClipSplit(labels, _from_files(clips, views, settings), shift=shift, ahead=2)
    contents = [[clip.digest for clip in clips], settings.frames, settings.resolution, views]
    path = home / f"{split}-{_hash(json.dumps(contents))}.npy"

    def one(clip: _Clip) -> Array:
        indices = segment_frames(clip.frames, settings.frames, views)
        return _read_clip(clip, indices.ravel().tolist(), settings.resolution).reshape(shape[1:])

    return ClipSplit(labels, _from_array(cached_array(path, shape, lambda: _in_threads(one, clips))), shift=shift)


def _from_array(array: Array) -> Read:
    _, segments, views = array.shape[:3]

    def read(indices: Labels, generator: np.random.Generator | None) -> Clips:
        chosen = choose_views(len(indices), segments, views, generator)
        return np.asarray(array[indices[:, None], np.arange(segments), chosen])

    return read


def _from_files(clips: Sequence[_Clip], views: int, settings: DataSettings) -> Read:
    def read(indices: Labels, generator: np.random.Generator | None) -> Clips:
        chosen = choose_views(len(indices), settings.frames, views, generator)

        def one(place: int) -> Clips:
            clip = clips[indices[place]]
            frames = segment_frames(clip.frames, settings.frames, views)[np.arange(settings.frames), chosen[place]]
            return _read_clip(clip, frames.tolist(), settings.resolution)

        return np.stack(list(_in_threads(one, range(len(indices)))))

    return read


def _read_clip(clip: _Clip, indices: Sequence[int], resolution: int) -> Clips:
    """(K, 3, resolution, resolution). Raises UserError where the file has become unreadable since it was looked at."""
    try:
        return _square(decode(clip.path, indices), resolution)
    except (DecodeError, OSError) as error:
        raise UserError(f"{clip.path} cannot be decoded any more: {error}") from None


def _square(images: Images, resolution: int) -> Clips:
    """(K, H, W, 3) -> (K, 3, resolution, resolution): short side resized with a smoothing filter, centre cut out."""
    import torch
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    frames = torch.from_numpy(images).permute(0, 3, 1, 2)
    if min(frames.shape[-2:]) != resolution:
        frames = transforms.resize(frames, [resolution], interpolation=InterpolationMode.BILINEAR, antialias=True)
    return transforms.center_crop(frames, [resolution, resolution]).contiguous().numpy()  # type: ignore[no-any-return]


def _in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterable[Result]:
    """Results in order. FFmpeg works without Python's lock, so that threads share the cores."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(function, items)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
