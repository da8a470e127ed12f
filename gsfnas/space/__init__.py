"""Spaces of candidates: what may stand where, counted, sampled and enumerated without building a network."""

from gsfnas.space._bound import BoundRows, BoundSpace
from gsfnas.space._space import Space

__all__ = ["BoundRows", "BoundSpace", "Space"]
