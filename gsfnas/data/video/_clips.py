"""The data set that a study uses: splits of labelled clips, read in batches that are determined by a seed.

Shapes: B clips, T frames, 3 channels, H height, W width; uint8.
"""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gsfnas.data.video._augment import apply_policy, flip, shift
from gsfnas.errors import UserError, unknown

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Labels = npt.NDArray[np.int64]
Clips = npt.NDArray[np.uint8]
ALL = slice(None)
_WATCH_SECONDS = 0.2


class Read(Protocol):
    """Reads the clips at ``indices``, (B,) -> (B, T, 3, H, W).

    A ``generator`` chooses frames at random; None takes the middle one of each segment. With ``part`` only that part of the
    batch is read; its clips are the same as when the whole batch is read.
    """

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips: ...


class OpenViews(Protocol):
    """Returns a reader of several views of each video, (B, V, T, 3, H, W), and the number of videos with fewer distinct views.

    Views are ordered by clip, and within a clip by crop from left to right. Raises UserError if no video has that many.
    """

    def __call__(self, clips: int, crops: int) -> "tuple[Read, int]": ...


@dataclass(frozen=True)
class ClipSplit:
    """Clips and their labels, one array per task.

    ``mirror`` maps, for each task, a class to the class of the mirrored clip, or to -1 if there is none. Without ``mirror`` no
    clip is mirrored, since its label could change. ``shift`` is the maximum shift of an augmented clip in pixels, the same for
    all of its frames; ``policy`` is a further augmentation. A thread reads ``ahead`` batches in advance; with ``workers``, that
    many processes read instead. ``names`` identify the clips; ``open_views`` opens a reader of several views of each.
    """

    labels: Mapping[str, Labels]
    read: Read = field(repr=False)
    mirror: Mapping[str, Labels] | None = None
    shift: int = 0
    policy: str = "none"
    ahead: int = 0
    workers: int = 0
    names: Sequence[str] = field(default=(), repr=False)
    open_views: OpenViews | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))

    def batches(
        self,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        augment_seed: int | None = None,
        start: int = 0,
        pinned: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> "Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]":
        """Yields the batches of one epoch: uint8 (B, T, 3, H, W) and {task: int64 (B,)}; the last one may be smaller.

        Without a shuffle seed clips keep their order; without an augment seed they are not augmented. ``start`` skips that many
        batches without reading them, and does not change those that follow. ``pinned`` memory lets a GPU copy while it
        computes. ``share`` (k, of) yields only a part of each batch, as ``part_of`` divides it.
        """
        import torch

        order = np.arange(len(self))
        if shuffle_seed is not None:
            order = np.random.default_rng([shuffle_seed, 0]).permutation(len(self))
        load = _Batches(self, order, batch_size, augment_seed, share)
        numbers = range(start, -(-len(self) // batch_size))
        if self.workers:
            yield from _in_processes(load, numbers, self.workers, pinned)
            return
        for clips, labels in _ahead(load, numbers, self.ahead):
            found = torch.from_numpy(clips)
            yield found.pin_memory() if pinned else found, {task: torch.from_numpy(each) for task, each in labels.items()}

    def section(self, start: int, stop: int) -> "ClipSplit":
        """The clips [``start``, ``stop``) as a split, which may be empty."""
        labels = {task: values[start:stop] for task, values in self.labels.items()}
        return replace(self, labels=labels, read=_Shifted(self.read, start), names=self.names[start:stop], open_views=None)

    def viewed(self, clips: int, crops: int) -> "tuple[ClipSplit, int]":
        """Returns the split with ``clips`` x ``crops`` views of each clip, (B, V, T, 3, H, W), and how many videos have fewer.

        ``clips`` take different frames of the segments; ``crops`` are the centre, or the two ends and the centre of the longer
        side. Raises UserError if no clip of the split has that many views.
        """
        if (clips, crops) == (1, 1):
            one = _OneView(self.read)
            return replace(self, read=one), 0
        assert self.open_views is not None
        read, short = self.open_views(clips, crops)
        return replace(self, read=read, ahead=2), short

    def augmented(
        self, clips: Clips, labels: dict[str, Labels], generator: np.random.Generator, count: int, part: slice
    ) -> tuple[Clips, dict[str, Labels]]:
        """Augments clips and their labels: random shift with repeated edges, random mirroring where allowed, then the policy.

        ``clips`` are the ``part`` of a batch of ``count`` clips. Random numbers are always drawn for the whole batch, so the
        result does not depend on the part.
        """
        shifts = generator.integers(-self.shift, self.shift + 1, size=(count, 2))[part].tolist()
        mirrored = np.less(generator.random(size=count), 0.5)[part]
        if self.mirror is None:
            mirrored[:] = False
        else:
            mirrored &= np.all([self.mirror[task][values] >= 0 for task, values in labels.items()], axis=0)
            labels = {task: np.where(mirrored, self.mirror[task][values], values) for task, values in labels.items()}
        moved = (shift(clip, down, across) for clip, (down, across) in zip(clips, shifts, strict=True))
        turned = [flip(clip) if is_mirrored else clip for clip, is_mirrored in zip(moved, mirrored, strict=True)]
        if self.policy != "none":
            draws = generator.spawn(count)[part]
            turned = [apply_policy(clip, self.policy, draw) for clip, draw in zip(turned, draws, strict=True)]
        return np.stack(turned), labels


@dataclass(frozen=True)
class _Batches:
    """The batches of an epoch by number; worker processes receive this object."""

    split: ClipSplit
    order: Labels
    batch_size: int
    augment_seed: int | None
    share: tuple[int, int] = (0, 1)

    def __call__(self, batch: int) -> tuple[Clips, dict[str, Labels]]:
        indices = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        part = part_of(len(indices), *self.share)
        labels = {task: values[indices[part]] for task, values in self.split.labels.items()}
        if self.augment_seed is None:
            return self.split.read(indices[part], None), labels
        generator = np.random.default_rng([self.augment_seed, 1, batch])
        clips = self.split.read(indices, generator, part)
        return self.split.augmented(clips, labels, generator, len(indices), part)

    def __getitem__(self, batch: int) -> "tuple[torch.Tensor, dict[str, torch.Tensor]] | str":
        """Used by torch's DataLoader. Returns the message of a UserError, since the loader would wrap it in a traceback."""
        import torch

        try:
            clips, labels = self(batch)
        except UserError as error:
            return str(error)
        return torch.from_numpy(clips), {task: torch.from_numpy(values) for task, values in labels.items()}


def part_of(count: int, k: int, of: int) -> slice:
    """The k-th of ``of`` parts, as even as possible, of a batch of ``count`` clips; the first clip if that part is empty.

    No process can compute on an empty batch, so a process without a clip computes the first one and ignores the result.
    """
    start, stop = count * k // of, count * (k + 1) // of
    return slice(start, stop) if start < stop else slice(0, 1)


@dataclass(frozen=True)
class _OneView:
    """A reader that returns each clip as its only view: (B, 1, T, 3, H, W)."""

    read: Read

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        return self.read(indices, generator, part)[:, None]


@dataclass(frozen=True)
class _Shifted:
    """A reader whose index 0 is clip ``start`` of another reader."""

    read: Read
    start: int

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        return self.read(indices + self.start, generator, part)


def _in_processes(
    load: _Batches, numbers: range, workers: int, pinned: bool
) -> "Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]":
    """Yields ``load(number)`` in order, from processes that prefetch two batches each. Raises the UserErrors of ``load``."""
    # Imported before forking: otherwise each process would spend seconds to import them in every epoch.
    import av  # noqa: F401
    import PIL.Image  # noqa: F401
    import torch
    import torchvision.transforms.v2  # noqa: F401
    from torch.utils.data import DataLoader

    # The loader gets its own generator, since otherwise it would draw from the global one, which training uses.
    loader: DataLoader[Any] = DataLoader(
        load,  # type: ignore[arg-type]
        batch_size=None,
        sampler=numbers,
        num_workers=min(workers, max(1, len(numbers))),
        pin_memory=pinned,
        # A study's worker process is spawned, so by default it would spawn its readers too, and each would import torch in
        # every epoch.
        multiprocessing_context="fork" if sys.platform == "linux" else None,
        prefetch_factor=2,
        generator=torch.Generator(),
        worker_init_fn=partial(_begin_reader, os.getpid()),
    )
    for found in loader:
        if isinstance(found, str):
            raise UserError(found)
        yield found[0], found[1]


def _begin_reader(parent: int, worker: int) -> None:
    """Prepares a reader process: it ignores signals to the process group, and exits when its parent does.

    The parent handles the signals, and would treat the exit of a reader as a failure. The parent is watched here since torch
    checks only every five seconds whether it is alive.
    """
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _ahead(load: Callable[[int], Item], numbers: range, ahead: int) -> Iterator[Item]:
    """Yields ``load(number)`` in order, while a thread loads the next ``ahead`` of them."""
    if ahead == 0:
        yield from map(load, numbers)
        return
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: deque[Future[Item]] = deque()
        try:
            for number in numbers:
                waiting.append(thread.submit(load, number))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True)
class VideoData:
    """A data set: ``tasks`` (task -> class names), ``splits`` (train, val, test), and a ``fingerprint`` of clips and labels.

    ``skipped`` lists the clips that were left out, each with the reason; ``notes`` are other messages for the user.
    """

    name: str
    tasks: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, ClipSplit]
    fingerprint: str
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> ClipSplit:
        """The split with this name. Raises UserError if there is none."""
        if name not in self.splits:
            raise unknown("split", name, self.splits)
        return self.splits[name]
