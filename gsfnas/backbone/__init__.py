"""Backbones and their sites: the named places where a temporal module can stand."""

from gsfnas.backbone._build import backbone_ref, build_backbone
from gsfnas.backbone._place import Place
from gsfnas.backbone._sites import backbone_sites

__all__ = ["Place", "backbone_ref", "backbone_sites", "build_backbone"]
