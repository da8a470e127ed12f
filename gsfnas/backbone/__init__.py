"""Backbones and their sites: the named places where a temporal module can stand."""

from gsfnas.backbone._build import BACKBONES, backbone_ref, build_backbone
from gsfnas.backbone._site_spec import SiteSpec
from gsfnas.backbone._sites import backbone_sites

# The former name, for factories that were written with it.
Place = SiteSpec

__all__ = ["BACKBONES", "SiteSpec", "backbone_ref", "backbone_sites", "build_backbone"]
