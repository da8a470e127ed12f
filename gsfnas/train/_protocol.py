"""How a trained network is tested, as a value: which views of each video, whose scores are averaged. No torch here."""

import re
from dataclasses import dataclass

from gsfnas.errors import UserError, shown

CROPS = (1, 3)


@dataclass(frozen=True)
class ProtocolSettings:
    """``clips`` of each video x ``crops`` of its frames: 1 is the centre, 3 go along the longer side (the paper's section 4.2).

    The scores of a video are the mean of its views' logits, as in the published code. Raises UserError for a value that is out
    of range.
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
        """Passes through the network for one video: what its cost is multiplied by."""
        return self.clips * self.crops

    def __str__(self) -> str:
        return f"{self.name} ({self.clips} x {self.crops})"
