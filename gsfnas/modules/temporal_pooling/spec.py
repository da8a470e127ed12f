"""The spec of learned temporal pooling, a consensus of the frames. This module does not import torch.

TSN's consensus is the mean over the frames, which is blind to their order (Wang et al. 2016, "Temporal Segment Networks"). Here
each feature of a clip is a weighted sum over the frames. The weights are learned for each feature, and start as the mean's.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gsfnas.candidate import Insertion, Kind, Site
from gsfnas.errors import shown, unknown
from gsfnas.modules.base import ModuleSpec, Output, check_kind

if TYPE_CHECKING:
    from torch import nn


class TemporalPoolingSpec(ModuleSpec):
    """It has no parameters, and returns one row for a clip."""

    name = "temporal_pooling"
    kinds: frozenset[Kind] = frozenset({"consensus"})

    def resolve(self, site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
        for name in parameters:
            raise unknown(f"parameter of {self.name}", name if isinstance(name, str) else shown(name), [])
        check_kind(site, self.name, self.kinds)
        return Insertion.of(self.name, {})

    def build(
        self, site: Site, insertion: Insertion, frames: int, *, layer: "nn.Module | None" = None, inplace: bool = False
    ) -> "nn.Module":
        from gsfnas.modules.temporal_pooling.network import TemporalPooling

        return TemporalPooling(site.channels, frames)

    def output(self, site: Site, insertion: Insertion, frames: int) -> Output:
        return Output(1, site.channels)

    def label(self, insertion: Insertion) -> str:
        return self.name


SPEC = TemporalPoolingSpec()
