"""Shipped spaces on real backbones, for the tests of this folder and of the model."""

from pathlib import Path
from typing import Any

import yaml

from gsfnas.backbone import backbone_ref, backbone_sites
from gsfnas.space import BoundSpace, Space

SPACES = Path(__file__).parents[2] / "spaces"


def shipped(name: str) -> Space:
    return Space.from_dict(yaml.safe_load((SPACES / f"{name}.yaml").read_text()))


def bound(
    space: Space | dict[str, Any] | str, backbone: str = "micro", frames: int = 2, resolution: int = 32, **options: Any
) -> BoundSpace:
    """A shipped space by name, a space, or the mapping of one, on a backbone."""
    if isinstance(space, str):
        space = shipped(space)
    elif isinstance(space, dict):
        space = Space.from_dict(space)
    ref = backbone_ref(backbone, options)
    return space.bind(ref, backbone_sites(ref, resolution), frames=frames, resolution=resolution)
