"""Augmentations of a clip, applied equally to all of its frames, and the crops for testing.

Shapes: T frames, 3 channels, H height, W width, R resolution; uint8. A clip that needs no change may be returned without a
copy. Torch is imported on first use.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gsfnas.errors import unknown

if TYPE_CHECKING:
    import torch

Clip = npt.NDArray[np.uint8]

POLICIES = ("none", "autoaugment", "randaugment")

_SCALES = (1.0, 0.875, 0.75, 0.66)
# A side that differs by fewer pixels from the resolution is set to it, which avoids a resize that would only blur.
_NEAR = 3
# The 13 positions (down, across) of a crop in quarters of the margin: corners, centre, edge midpoints, and halfway between
# corners and centre.
_PLACES = tuple((down, across) for down in range(5) for across in range(5) if down % 2 == across % 2)


def multi_scale_crop(clip: Clip, resolution: int, generator: np.random.Generator) -> Clip:
    """(T, 3, H, W) -> (T, 3, R, R): one of ``crop_boxes``, uniformly drawn, resized with antialiasing.

    Corner cropping with scale jittering, Wang et al. 2016 (arXiv:1608.00859), section 3.2. The paper crops at the corners and
    the centre, its published code at 13 positions.
    """
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    rows, columns = clip.shape[-2:]
    boxes = crop_boxes(rows, columns, resolution)
    top, left, height, width = boxes[generator.integers(len(boxes))]
    cropped = transforms.resized_crop(
        _tensor(clip), top, left, height, width, [resolution, resolution], InterpolationMode.BILINEAR, antialias=True
    )
    return _array(cropped)


def crop_boxes(height: int, width: int, resolution: int) -> list[tuple[int, int, int, int]]:
    """The 130 crops of a frame, each (top, left, height, width): 10 pairs of sides at 13 positions.

    A side is the frame's short side times one of four scales; height and width are at most one scale apart. Positions coincide
    if a crop is as tall or as wide as the frame. Unlike in the published code, a corner crop of any size touches both edges,
    and no crop is larger than the frame.
    """
    short = min(height, width)
    sides = [max(int(short * scale), 1) for scale in _SCALES]
    sides = [resolution if abs(side - resolution) < _NEAR and resolution <= short else side for side in sides]
    return [
        ((height - tall) * down // 4, (width - wide) * across // 4, tall, wide)
        for row, tall in enumerate(sides)
        for column, wide in enumerate(sides)
        if abs(row - column) <= 1
        for down, across in _PLACES
    ]


def centre_crop(clip: Clip, short_side: int, resolution: int) -> Clip:
    """(T, 3, H, W) -> (T, 3, R, R): resizes the short side with antialiasing if it differs, and crops the centre."""
    from torchvision.transforms.v2 import functional as transforms

    # torchvision would pad a larger crop with black.
    assert resolution <= short_side
    return _array(transforms.center_crop(_tensor(resized(clip, short_side)), [resolution, resolution]))


def three_crops(clip: Clip, short_side: int, resolution: int, crops: int) -> list[Clip]:
    """(T, 3, H, W) -> ``crops`` clips of (T, 3, R, R): with 1 the centre, with 3 start, centre and end of the longer side.

    The published code always crops at the left, the right and the centre. Here a picture that is taller than wide is cropped
    at the top, centre and bottom.
    """
    if crops == 1:
        return [centre_crop(clip, short_side, resolution)]
    clip = resized(clip, short_side)
    height, width = clip.shape[-2:]
    assert crops == 3
    assert resolution <= min(height, width)
    cuts = []
    for share in (0.0, 0.5, 1.0):
        top = round((height - resolution) * (share if height > width else 0.5))
        left = round((width - resolution) * (0.5 if height > width else share))
        cuts.append(clip[..., top : top + resolution, left : left + resolution])
    return cuts


def resized(clip: Clip, short_side: int) -> Clip:
    """Resizes the short side of (T, 3, H, W) with antialiasing, if it differs."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    if min(clip.shape[-2:]) == short_side:
        return clip
    return _array(transforms.resize(_tensor(clip), [short_side], interpolation=InterpolationMode.BILINEAR, antialias=True))


def apply_policy(clip: Clip, policy: str, generator: np.random.Generator) -> Clip:
    """Applies torchvision's AutoAugment (for ImageNet) or RandAugment, with the published settings, to (T, 3, H, W).

    All frames get the same random operations; operations that depend on brightness (equalize, contrast) measure it in each
    frame. Thread-safe: the state of torch's generator does not change. Raises UserError for a policy that is not in
    ``POLICIES``.
    """
    if policy not in POLICIES:
        raise unknown("augmentation policy", policy, POLICIES)
    if policy == "none":
        return clip
    import torch
    from torchvision.transforms import v2

    source = torch.Generator().manual_seed(int(generator.integers(2**63)))
    augment = v2.AutoAugment() if policy == "autoaugment" else v2.RandAugment()
    with _drawing_from()(source):
        return _array(augment(_tensor(clip)))


def shift(clip: Clip, down: int, across: int) -> Clip:
    """Shifts (T, 3, H, W) up by ``down`` and left by ``across`` pixels, padding by repeating the edges."""
    height, width = clip.shape[-2:]
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + across, 0, width - 1)
    return clip.take(rows, axis=2).take(columns, axis=3)


def flip(clip: Clip) -> Clip:
    """Mirrors (T, 3, H, W), left and right swapped. Returns a copy, since torch accepts no negative strides."""
    return np.ascontiguousarray(clip[..., ::-1])


@cache
def _drawing_from() -> "Callable[[torch.Generator], AbstractContextManager[Any]]":
    """A context manager that makes torch draw random numbers of this thread from a given generator.

    Torchvision's policies use the global generator and accept no other. Seeding the global one would change the random numbers
    of training, in another thread. A ``TorchFunctionMode`` applies to the current thread only.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class DrawingFrom(TorchFunctionMode):
        def __init__(self, source: torch.Generator) -> None:
            super().__init__()
            self.source = source

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            own = {"generator": self.source} if function in (torch.rand, torch.randint) else {}
            return function(*args, **{**(kwargs or {}), **own})

    return DrawingFrom


def _tensor(clip: Clip) -> "torch.Tensor":
    """A tensor that shares memory with the clip, if torch can: not for negative strides or read-only arrays."""
    import torch

    return torch.from_numpy(clip if clip.flags.writeable and min(clip.strides) >= 0 else clip.copy())


def _array(clip: "torch.Tensor") -> Clip:
    array: Clip = clip.contiguous().numpy()
    return array
