"""The parts of ``benchmarks/gpu.py``. Nothing here imports torch or gsfnas before a part runs: either may be missing."""

from dataclasses import dataclass
from pathlib import Path

# The source tree that this file is in.
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Part:
    """A module of this package. ``gigabytes`` of a card's memory are needed; ``packages`` beside those of gsfnas."""

    title: str
    gigabytes: float
    packages: tuple[str, ...] = ()


PARTS = {
    "tests": Part("the tests marked gpu", 8, ("pytest",)),
    "operator": Part("the operator alone, on the shapes of ResNet-50 and BN-Inception", 12),
    "networks": Part("whole networks with GSF, GSM and TSM beside TSN", 22),
    "table12": Part("the paper's table 12: latency of one clip in half precision", 4),
    "study": Part("the default study by 1, 2 and 4 workers on one card", 4),
    "resnet50": Part("an epoch of ResNet-50 from video files with the paper's recipe, and what limits it", 16),
}
