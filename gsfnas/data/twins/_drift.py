"""What pairs of Twins that drift have in common: their names, and lengths that are the same on every platform."""

from typing import Literal

# The resolution at which lengths are given.
_RESOLUTION = 32


class Drifting:
    """A pair in which all that is shown drifts along ``axis``: forwards right (``x``) or down (``y``)."""

    axis: Literal["x", "y"]

    @property
    def _drifts(self) -> str:
        """What drifts, as the name begins."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return f"{self._drifts} {'right' if self.axis == 'x' else 'down'}"

    @property
    def reverse(self) -> str:
        return f"{self._drifts} {'left' if self.axis == 'x' else 'up'}"

    @property
    def mirror_reverses(self) -> bool:
        return self.axis == "x"


def scaled(pixels: int, resolution: int) -> int:
    """A length in pixels at 32 px in those of ``resolution``, rounded as an integer, so that every platform agrees."""
    return (2 * pixels * resolution + _RESOLUTION) // (2 * _RESOLUTION)
