"""Reads clips from files, or from a cache of their decoded frames: samples frames and crops them.

With ``augment=light``, training takes one of three frames of each segment and the centre crop; with ``paper`` any frame of each
segment and a corner crop of a random scale. Testing takes the middle frames and the centre crop in both cases. A split that
is small enough is decoded once and cached, which changes no clip.

Shapes: B clips, T segments, V views, R the resolution, S the short side.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from gsfnas.data._settings import DataSettings
from gsfnas.data.video._augment import centre_crop, multi_scale_crop, resized, three_crops
from gsfnas.data.video._cache import Array, Ragged, cached_array, cached_ragged
from gsfnas.data.video._clips import ALL, Clips, ClipSplit, Labels
from gsfnas.data.video._decode import DecodeError, decode
from gsfnas.data.video._frames import RGB
from gsfnas.data.video._index import load
from gsfnas.data.video._probe import in_threads
from gsfnas.data.video._sampling import TRAIN_VIEWS, choose_views, clip_frames, segment_draw, segment_frames
from gsfnas.errors import UserError
from gsfnas.escape import printable
from gsfnas.files import CannotWriteError

# The aspect ratio assumed in estimates of cache size; wider pictures are rare.
_WIDEST = 16 / 9
# The number of videos that are checked for room for several crops.
_LOOKED_AT = 3


@dataclass(frozen=True)
class Clip:
    """A decodable clip: ``frames`` frames of a file, starting at frame ``first``.

    ``index`` is the file with the frame index of the video, for parts of videos and videos without usable time stamps.
    ``names`` are the patterns of frames in a folder of images.
    """

    path: Path
    labels: tuple[int, ...]
    first: int
    frames: int
    digest: str
    index: Path | None = None
    names: tuple[str, ...] = RGB
    is_part: bool = False

    @property
    def window(self) -> tuple[int, int]:
        return self.first, self.frames

    def decode(self, indices: Sequence[int], side: int) -> Clips:
        """Decodes the K frames at ``indices`` of the clip: (K, 3, H, W), with the short side resized to ``side``.

        Raises UserError if the file has become unreadable since it was probed.
        """
        try:
            known = None if self.index is None else load(self.index)
            # Each frame is resized when it is decoded, so that only one large frame is in memory.
            return decode(self.path, [self.first + index for index in indices], known, self.names, partial(_small, side=side))
        except (DecodeError, OSError) as error:
            raise UserError(f"{self.path} cannot be decoded any more: {error}") from None


def _small(image: Array, side: int) -> Array:
    """(H, W, 3) -> (3, H, W), with the short side resized to ``side``."""
    small: Array = resized(image.transpose(2, 0, 1)[None], side)[0]
    return small


def open_split(
    split: str, clips: Sequence[Clip], labels: Mapping[str, Labels], home: Path, settings: DataSettings, notes: list[str]
) -> ClipSplit:
    """Opens a split that reads from the cache, or that decodes ahead of use if it is larger than ``cache_gb``.

    If the cache cannot be written, the split decodes ahead too, and a sentence about it is added to ``notes``.
    """
    any_frame = settings.augment == "paper" and split == "train"
    pixels = (settings.frames, settings.resolution, settings.side)
    shift = settings.resolution // 16 if settings.augment == "light" else 0
    contents = [[(clip.digest, *clip.window) for clip in clips], *pixels, any_frame]
    place = home / f"{split}-{hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]}.npy"
    read: Any = _AnyFrame(tuple(clips), *pixels) if any_frame else Views(tuple(clips), *pixels, _views(split, clips, settings))
    names = tuple(_name(clip) for clip in clips)
    direct = ClipSplit(labels, read, shift=shift, ahead=2, names=names, open_views=partial(_open_views, tuple(clips), *pixels))
    if read.bytes > settings.cache_gb * 1e9:
        return direct
    try:
        return replace(direct, read=read.kept(place), ahead=0)
    except CannotWriteError as error:
        # Without the path of the cache, since notes go into reports.
        reason = str(error).rpartition(": ")[2]
        notes.append(f"{split} is decoded in each epoch anew, since its cache cannot be written ({reason})")
        return direct


def _name(clip: Clip) -> str:
    """The clip's name: folder and file name, and the first frame if it is a part of a video."""
    place = printable(f"{clip.path.parent.name}/{clip.path.name}")
    return f"{place}:{clip.first}" if clip.is_part else place


def _views(split: str, clips: Sequence[Clip], settings: DataSettings) -> int:
    many = split == "train" and any(clip.frames > settings.frames for clip in clips)
    return TRAIN_VIEWS if many else 1


@dataclass(frozen=True)
class _TestViews:
    """Reads several clips and crops of each video, without a cache: (B, V, T, 3, R, R)."""

    videos: tuple[Clip, ...]
    segments: int
    resolution: int
    side: int
    clips: int
    crops: int

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        return np.stack(list(in_threads(self._one, indices[part].tolist())))

    def _one(self, number: int) -> Clips:
        video = self.videos[number]
        frames = clip_frames(video.frames, self.segments, self.clips)
        wanted, places = np.unique(frames, return_inverse=True)
        pictures = video.decode(wanted.tolist(), self.side)
        cuts = three_crops(pictures, self.side, self.resolution, self.crops)
        return np.stack([cut[clip] for clip in places.reshape(frames.shape) for cut in cuts])


def _open_views(
    videos: tuple[Clip, ...], segments: int, resolution: int, side: int, clips: int, crops: int
) -> tuple[_TestViews, int]:
    """Returns a reader of views, and the number of videos too short for that many different clips.

    Their clips repeat, as in the published code. Raises UserError if all videos are too short, or if the pictures have no room
    for several crops.
    """
    short = sum(len(np.unique(clip_frames(video.frames, segments, clips), axis=0)) < clips for video in videos)
    if short == len(videos):
        longest = max(video.frames for video in videos)
        most = max(k for k in range(1, clips) if len(np.unique(clip_frames(longest, segments, k), axis=0)) == k)
        raise UserError(
            f"`protocol.clips` is {clips}, but the longest video has {longest} frames, which give at most {most} different "
            f"clips of {segments} frames; set protocol.clips={most}, or use longer videos"
        )
    if crops > 1 and all(video.decode([0], side).shape[-2:] == (resolution, resolution) for video in videos[:_LOOKED_AT]):
        raise UserError(
            f"`protocol.crops` is {crops}, but the frames are {side} x {side} px, as large as one crop; set protocol.crops=1, "
            f"or use larger frames with data.short_side={resolution * 8 // 7}"
        )
    return _TestViews(videos, segments, resolution, side, clips, crops), short


@dataclass(frozen=True)
class Views:
    """Reads one of a few fixed frames of each segment, with a centre crop: (B, T, 3, R, R)."""

    clips: tuple[Clip, ...]
    segments: int
    resolution: int
    side: int
    views: int

    @property
    def bytes(self) -> float:
        return float(np.prod(self._shape, dtype=float)) * len(self.clips)

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        chosen = choose_views(len(indices), self.segments, self.views, generator)

        def one(place: int) -> Clips:
            clip = self.clips[indices[place]]
            frames = segment_frames(clip.frames, self.segments, self.views)[np.arange(self.segments), chosen[place]]
            return self._read(clip, frames.tolist())

        return np.stack(list(in_threads(one, range(len(indices))[part])))

    def kept(self, place: Path) -> "_KeptViews":
        """The same reader, but from a cache file with all views, which is created if it is missing."""

        def one(clip: Clip) -> Array:
            frames = segment_frames(clip.frames, self.segments, self.views)
            return self._read(clip, frames.ravel().tolist()).reshape(self._shape)

        shape = (len(self.clips), *self._shape)
        cached_array(place, shape, lambda: in_threads(one, self.clips))
        return _KeptViews(place)

    def _read(self, clip: Clip, frames: Sequence[int]) -> Clips:
        return centre_crop(clip.decode(frames, self.side), self.side, self.resolution)

    @property
    def _shape(self) -> tuple[int, ...]:
        return (self.segments, self.views, 3, self.resolution, self.resolution)


@dataclass(frozen=True)
class _KeptViews:
    """Reads the clips of ``Views`` from a cache file of shape (clips, T, V, 3, R, R)."""

    path: Path

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        _, segments, views = self._array.shape[:3]
        chosen = choose_views(len(indices), segments, views, generator)
        return np.asarray(self._array[indices[part, None], np.arange(segments), chosen[part]])

    @cached_property
    def _array(self) -> Array:
        array: Array = np.load(self.path, mmap_mode="r")
        return array

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickles the path of the memory map, not its contents.
        return _KeptViews, (self.path,)


@dataclass(frozen=True)
class _AnyFrame:
    """Reads a random frame of each segment, with the same crop of a random scale for all frames: (B, T, 3, R, R)."""

    clips: tuple[Clip, ...]
    segments: int
    resolution: int
    side: int
    whole: Ragged | None = None

    @property
    def bytes(self) -> float:
        """The size of the cache: an upper bound, unless pictures are wider than 16:9."""
        return sum(clip.frames for clip in self.clips) * 3.0 * self.side**2 * _WIDEST

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        draws = [None] * len(indices) if generator is None else generator.spawn(len(indices))

        def one(place: int) -> Clips:
            number, draw = int(indices[place]), draws[place]
            clip = self.clips[number]
            frames = segment_draw(clip.frames, self.segments, draw)
            pictures = clip.decode(frames.tolist(), self.side) if self.whole is None else self.whole[number][frames]
            if draw is None:
                return centre_crop(pictures, self.side, self.resolution)
            return multi_scale_crop(pictures, self.resolution, draw)

        return np.stack(list(in_threads(one, range(len(indices))[part])))

    def kept(self, place: Path) -> "_AnyFrame":
        """The same reader, but from a cache file with all frames, their short side resized."""

        def one(clip: Clip) -> Array:
            return clip.decode(range(clip.frames), self.side)

        whole = cached_ragged(place.with_suffix(".bin"), lambda: in_threads(one, self.clips))
        return _AnyFrame(self.clips, self.segments, self.resolution, self.side, whole)
