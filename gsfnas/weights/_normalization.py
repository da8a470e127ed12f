"""The input normalization that a network's weights expect: channel order, mean and standard deviation.

It belongs to the weights, not to the architecture: the same network may have been trained with different ones.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Self

from gsfnas.errors import UserError

Three = tuple[float, float, float]


@dataclass(frozen=True)
class InputNormalization:
    """A pixel value b from 0 to 255 becomes (b - mean) / std; ``mean`` and ``std`` follow ``order``, rgb or bgr."""

    mean: Three
    std: Three
    order: str = "rgb"

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parses what ``to_text`` wrote. Raises UserError for any other text."""
        try:
            data = json.loads(text)
            mean, std, order = data["mean"], data["std"], data["order"]
            # A string such as "123" would unpack into three numbers.
            if not isinstance(mean, list) or not isinstance(std, list):
                raise TypeError
            (a, b, c), (d, e, f) = map(float, mean), map(float, std)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise UserError(f"`pixels` must be JSON with mean, std and order, but got {text[:60]!r}") from None
        if order not in ("rgb", "bgr") or min(d, e, f) <= 0 or not all(map(math.isfinite, (a, b, c, d, e, f))):
            raise UserError(f"`pixels` must have finite numbers, a std above 0 and the order rgb or bgr, but got {text[:60]!r}")
        return cls((a, b, c), (d, e, f), order)


# ImageNet's mean and deviation on the scale 0 to 255: what most weights expect, and what training from scratch uses.
IMAGENET = InputNormalization((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
# Caffe's: the public weights of BN-Inception and of this Inception v3, and the published GSM and GSF checkpoints.
CAFFE = InputNormalization((104.0, 117.0, 128.0), (1.0, 1.0, 1.0), "bgr")
CAFFE_BACKBONES = ("bninception", "inception_v3")
