"""A data set as a study sees it: splits of labelled clips, handed out in batches that a seed determines.

Shapes: B clips, T frames, 3 channels, H height, W width; uint8.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from gsfnas.errors import unknown

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Labels = npt.NDArray[np.int64]
Clips = npt.NDArray[np.uint8]
# (indices (B,), a generator for a random choice of frames, or None for the middle one of each segment) -> (B, T, 3, H, W).
Read = Callable[[Labels, np.random.Generator | None], Clips]


@dataclass(frozen=True)
class ClipSplit:
    """Clips and their labels, one array a task.

    ``mirror`` gives each task's class of a clip whose left and right are swapped; without it no clip is ever mirrored, since
    the label could change. ``shift`` is how many pixels an augmented clip may move, the same for all of its frames. ``ahead``
    batches are read while the one before is used.
    """

    labels: Mapping[str, Labels]
    read: Read = field(repr=False)
    mirror: Mapping[str, Labels] | None = None
    shift: int = 0
    ahead: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))

    def batches(
        self, batch_size: int, *, shuffle_seed: int | None = None, augment_seed: int | None = None, start: int = 0
    ) -> "Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]":
        """One epoch: uint8 (B, T, 3, H, W) and {task: int64 (B,)}, the last batch as long as what remains.

        Without a shuffle seed in the order of the clips, without an augment seed as they are. ``start`` skips that many batches
        and reads nothing of them; those that follow are the same as if it had not.
        """
        import torch

        order = np.arange(len(self))
        if shuffle_seed is not None:
            order = np.random.default_rng([shuffle_seed, 0]).permutation(len(self))

        def load(batch: int) -> tuple[Clips, dict[str, Labels]]:
            indices = order[batch * batch_size : (batch + 1) * batch_size]
            labels = {task: values[indices] for task, values in self.labels.items()}
            if augment_seed is None:
                return self.read(indices, None), labels
            generator = np.random.default_rng([augment_seed, 1, batch])
            return self._augment(self.read(indices, generator), labels, generator)

        for clips, labels in _ahead(load, range(start, -(-len(self) // batch_size)), self.ahead):
            yield torch.from_numpy(clips), {task: torch.from_numpy(values) for task, values in labels.items()}

    def _augment(
        self, clips: Clips, labels: dict[str, Labels], generator: np.random.Generator
    ) -> tuple[Clips, dict[str, Labels]]:
        """Each clip moved, its edges repeated, and where that is allowed mirrored with its label."""
        count, _, _, height, width = clips.shape
        shifts = generator.integers(-self.shift, self.shift + 1, size=(count, 2))
        mirrored = np.less(generator.random(size=count), 0.5)
        moved = np.empty_like(clips)
        for number, (down, across) in enumerate(shifts.tolist()):
            rows = np.clip(np.arange(height) + down, 0, height - 1)
            columns = np.clip(np.arange(width) + across, 0, width - 1)
            if self.mirror is not None and mirrored[number]:
                columns = columns[::-1]
            moved[number] = clips[number].take(rows, axis=2).take(columns, axis=3)
        if self.mirror is not None:
            labels = {task: np.where(mirrored, self.mirror[task][values], values) for task, values in labels.items()}
        return moved, labels


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

    ``skipped`` names the files that were left out because they cannot be decoded, each with the reason.
    """

    name: str
    tasks: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, ClipSplit]
    fingerprint: str
    skipped: tuple[str, ...] = ()

    def split(self, name: str) -> ClipSplit:
        """The split of that name. Raises UserError for a name that is none."""
        if name not in self.splits:
            raise unknown("split", name, self.splits)
        return self.splits[name]
