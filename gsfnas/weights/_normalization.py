"""What a network's weights take a picture to be: the order of its channels, what is taken from them, what they are divided by.

It belongs to the weights, not to the architecture: those of one network may have been trained on either.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Self

from gsfnas.errors import UserError

Three = tuple[float, float, float]


@dataclass(frozen=True)
class InputNormalization:
    """A byte b of a channel becomes (b - mean) / std; ``mean`` and ``std`` stand in the order of the channels, rgb or bgr."""

    mean: Three
    std: Three
    order: str = "rgb"

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What ``to_text`` wrote. Raises UserError for another text."""
        try:
            data = json.loads(text)
            mean, std, order = data["mean"], data["std"], data["order"]
            # Of the text "123", each digit would be a number.
            if not isinstance(mean, list) or not isinstance(std, list):
                raise TypeError
            (a, b, c), (d, e, f) = map(float, mean), map(float, std)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise UserError(f"pixels are written with mean, std and order, but this is {text[:60]!r}") from None
        if order not in ("rgb", "bgr") or min(d, e, f) <= 0 or not all(map(math.isfinite, (a, b, c, d, e, f))):
            raise UserError(f"pixels have a positive std and the order rgb or bgr, but got {text[:60]!r}")
        return cls((a, b, c), (d, e, f), order)


# ImageNet's, in bytes: what most weights expect, and what is trained from scratch here.
IMAGENET = InputNormalization((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
# The public weights of BN-Inception and of this Inception v3 come from Caffe; published GSM and GSF checkpoints follow them.
CAFFE = InputNormalization((104.0, 117.0, 128.0), (1.0, 1.0, 1.0), "bgr")
CAFFE_BACKBONES = ("bninception", "inception_v3")
