"""A data set as a study sees it: splits of labelled clips, handed out in batches that a seed determines.

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
    """(indices (B,), a generator for a random choice of frames, or None for the middle one of each segment) -> (B, T, 3, H, W).

    With a ``part`` only that part of the batch is read, and each clip is the same as when the whole batch is read.
    """

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips: ...


class OpenViews(Protocol):
    """A reader of several views of each video, (B, V, T, 3, H, W), and how many videos have fewer different ones.

    Views are ordered by clip, and within it by crop from left to right. Raises UserError where no video has as many.
    """

    def __call__(self, clips: int, crops: int) -> "tuple[Read, int]": ...


@dataclass(frozen=True)
class ClipSplit:
    """Clips and their labels, one array a task.

    ``mirror`` maps the classes of each task to those of mirrored clips, -1 where there is none; without it no clip is mirrored,
    since its label could change. ``shift`` is how many pixels an augmented clip may move, the same for all of its frames;
    ``policy`` is a further augmentation. ``ahead`` batches are read by a thread while the current one is used; with ``workers``
    that many processes read instead. ``names`` identify the clips; ``open_views`` reads several views of each.
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
        """One epoch: uint8 (B, T, 3, H, W) and {task: int64 (B,)}, the last batch as long as what remains.

        Without a shuffle seed clips keep their order; without an augment seed they are not augmented. ``start`` skips that many
        batches without reading them; those that follow are unaffected. ``pinned`` memory lets a GPU copy while it computes.
        ``share`` (k, of) gives only that part of each batch, as ``part_of`` cuts it.
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
        """The clips from ``start`` to before ``stop`` as a split, which may be empty."""
        labels = {task: values[start:stop] for task, values in self.labels.items()}
        return replace(self, labels=labels, read=_Shifted(self.read, start), names=self.names[start:stop], open_views=None)

    def viewed(self, clips: int, crops: int) -> "tuple[ClipSplit, int]":
        """The same clips, each in ``clips`` x ``crops`` views: (B, V, T, 3, H, W); and how many videos have fewer.

        ``clips`` take different places of the segments; ``crops`` are the centre, or the two ends and the centre of the longer
        side. Raises UserError where no clip of the split has as many.
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
        """Each clip moved, its edges repeated, and where that is allowed mirrored, its label too; then the policy is applied.

        The clips are ``part`` of a batch of ``count``. Random numbers are drawn for the whole batch, whatever the part.
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
    """An epoch's batches by number; a worker process gets this object."""

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
        """For torch's loader. A UserError is returned as its text, since the loader would wrap it in a traceback."""
        import torch

        try:
            clips, labels = self(batch)
        except UserError as error:
            return str(error)
        return torch.from_numpy(clips), {task: torch.from_numpy(values) for task, values in labels.items()}


def part_of(count: int, k: int, of: int) -> slice:
    """The k-th of ``of`` parts of a batch of ``count`` clips, in order and as even as can be; the first clip where it is empty.

    No process can compute on an empty batch: one without a clip of its own computes that one and ignores the result.
    """
    start, stop = count * k // of, count * (k + 1) // of
    return slice(start, stop) if start < stop else slice(0, 1)


@dataclass(frozen=True)
class _OneView:
    """A reader whose clips become the one view of each."""

    read: Read

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        return self.read(indices, generator, part)[:, None]


@dataclass(frozen=True)
class _Shifted:
    """A reader that begins at clip ``start`` of another."""

    read: Read
    start: int

    def __call__(self, indices: Labels, generator: np.random.Generator | None, part: slice = ALL) -> Clips:
        return self.read(indices + self.start, generator, part)


def _in_processes(
    load: _Batches, numbers: range, workers: int, pinned: bool
) -> "Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]":
    """``load`` of each number in order, by processes that keep two batches each ready."""
    # Imported before the processes are forked: otherwise each would import them, for seconds, in every epoch.
    import av  # noqa: F401
    import PIL.Image  # noqa: F401
    import torch
    import torchvision.transforms.v2  # noqa: F401
    from torch.utils.data import DataLoader

    # A generator of its own: otherwise the loader would draw from the one of training.
    loader: DataLoader[Any] = DataLoader(
        load,  # type: ignore[arg-type]
        batch_size=None,
        sampler=numbers,
        num_workers=min(workers, max(1, len(numbers))),
        pin_memory=pinned,
        # A study's worker is spawned, and would spawn its readers: each would import torch, in every epoch.
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
    """Ignores signals to the whole process group: the parent handles them, and would take the end of a reader for a failure.

    A reader ends when its parent does, however that ends; torch itself looks every five seconds only.
    """
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _ahead(load: Callable[[int], Item], numbers: range, ahead: int) -> Iterator[Item]:
    """``load`` of each number in order, a thread working on the next ``ahead`` of them."""
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

    ``skipped`` names the clips that were left out, each with the reason; ``notes`` are further sentences for the user.
    """

    name: str
    tasks: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, ClipSplit]
    fingerprint: str
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> ClipSplit:
        """The split of that name. Raises UserError for an unknown one."""
        if name not in self.splits:
            raise unknown("split", name, self.splits)
        return self.splits[name]
