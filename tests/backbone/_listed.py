"""The sites that a backbone lists, without those that follow from them."""

from gsfnas.backbone import backbone_sites
from gsfnas.candidate import BackboneRef, Site


def listed_sites(ref: BackboneRef, resolution: int) -> tuple[Site, ...]:
    """Those after and before layers; not the replaced layers, blocks, stages, and the consensus."""
    sites = backbone_sites(ref, resolution)
    return tuple(site for site in sites if site.kind in ("after", "before") and site.role not in ("block", "stage"))
