"""The settings of a test protocol: the views of each video whose scores are averaged. Does not import torch."""

import re
from dataclasses import dataclass

from gsfnas.errors import UserError, shown

CROPS = (1, 3)


@dataclass(frozen=True)
class ProtocolSettings:
    """``clips`` per video x ``crops`` per frame: 1 crop is the centre, 3 are spread along the longer side (paper, section 4.2).

    The score of a video is the mean of its views' logits, as in the published code. Raises UserError for a value out of range.
    """

    name: str = "efficiency"
    clips: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise UserError(f"`protocol.name` must be letters, digits, '.', '_' and '-', but got {shown(self.name)}")
        if not isinstance(self.clips, int) or isinstance(self.clips, bool) or not 1 <= self.clips <= 100:
            raise UserError(f"`protocol.clips` must be an integer from 1 to 100, but got {shown(self.clips)}")
        if type(self.crops) is not int or self.crops not in CROPS:
            raise UserError(f"`protocol.crops` must be 1 or 3, but got {shown(self.crops)}")

    @property
    def views(self) -> int:
        """The number of views of a video: the cost of a clip is multiplied by it."""
        return self.clips * self.crops

    def __str__(self) -> str:
        return f"{self.name} ({self.clips} x {self.crops})"
