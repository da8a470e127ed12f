"""Search spaces: which insertions are allowed at which sites; counted, sampled and enumerated without building a network."""

from gsfnas.space._bound import BoundRows, BoundSpace
from gsfnas.space._space import Space

__all__ = ["BoundRows", "BoundSpace", "Space"]
