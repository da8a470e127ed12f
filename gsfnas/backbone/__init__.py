"""Backbones and their sites: the named positions where a temporal module can be inserted."""

from gsfnas.backbone._build import BACKBONES, backbone_ref, build_backbone
from gsfnas.backbone._site_spec import SiteSpec
from gsfnas.backbone._sites import backbone_sites

# The old name, for existing user factories.
Place = SiteSpec

__all__ = ["BACKBONES", "SiteSpec", "backbone_ref", "backbone_sites", "build_backbone"]
