"""Search spaces: which insertions are allowed at which sites; counted, sampled and enumerated without building a network."""

from gsfnas.space._bound import BoundRows, BoundSpace
from gsfnas.space._bounds import KNOWN_BEFORE, Bound, Limit, is_within, limits_text, parse_bounds
from gsfnas.space._restricted import RestrictedSpace, restricted
from gsfnas.space._space import Space

__all__ = [
    "KNOWN_BEFORE",
    "Bound",
    "BoundRows",
    "BoundSpace",
    "Limit",
    "RestrictedSpace",
    "Space",
    "is_within",
    "limits_text",
    "parse_bounds",
    "restricted",
]
