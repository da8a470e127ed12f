"""Random numbers for one clip that are the same on every platform and with every version of NumPy.

NumPy guarantees the raw output of a bit generator, but not that of its distributions, so those are implemented here.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")

_CHUNK = 64


class Rng:
    """Uniform random numbers from a counter-based generator (Philox), keyed by a hash of ``parts``."""

    def __init__(self, *parts: str | int) -> None:
        digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=np.frombuffer(digest, dtype="<u8").astype(np.uint64))
        self._values: list[int] = []

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        if not self._values:
            self._values = (self._bits.random_raw(_CHUNK) >> np.uint64(11)).tolist()
        return low + (high - low) * (self._values.pop() * 2.0**-53)

    def integer(self, stop: int) -> int:
        """An integer in [0, stop)."""
        return int(self.uniform(0, stop))

    def choice(self, items: Sequence[Item]) -> Item:
        return items[self.integer(len(items))]

    def chance(self, probability: float) -> bool:
        return self.uniform(0, 1) < probability

    def bytes(self, count: int) -> npt.NDArray[np.uint8]:
        """``count`` uniform bytes."""
        words = self._bits.random_raw(-(-count // 8))
        return words.astype("<u8", copy=False).view(np.uint8)[:count]
