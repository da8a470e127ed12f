"""The option ``width``: a factor for all channels of a backbone, a multiple of 1/16 so that equal networks have equal names."""

import math
from typing import Any

from gsfnas.errors import UserError, shown

STEPS = 16
MOST = 4


def canonical_width(value: Any) -> str:
    """Formats a width: "0.25" for 0.25, "0.25" or "0.250". Raises UserError unless it is a multiple of 1/16 from 1/16 to 4."""
    try:
        sixteenths = float(value) * STEPS
    except (TypeError, ValueError, OverflowError):
        sixteenths = math.nan
    if isinstance(value, bool) or not (1 <= sixteenths <= MOST * STEPS and sixteenths == int(sixteenths)):
        raise UserError(f"`width` must be a multiple of 1/16 from 0.0625 to {MOST}, but got {shown(value)}")
    return f"{sixteenths / STEPS:g}"


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, rounded to a multiple of 4 (halves round up), at least 4."""
    return max(4, int(channels * width / 4 + 0.5) * 4)
