"""The spec of the depthwise temporal convolution. This module does not import torch.

A layer is replaced by a k x 1 x 1 convolution over time, a filter for each channel, and then the layer itself: the temporal
part of factorised 3D networks (Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions"), but depthwise, and before the
spatial convolution instead of after it. The filters start as the identity: a pre-trained network gives the same outputs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gsfnas.candidate import Insertion, Kind, Site
from gsfnas.errors import UserError, shown, unknown
from gsfnas.modules.base import ModuleSpec, check_kind

if TYPE_CHECKING:
    from torch import nn

DEFAULT_TAPS = 3
_MAX_TAPS = 31


class TemporalConvSpec(ModuleSpec):
    """``taps`` is the odd length of the filters in frames (default 3); 1 would be a scale for each channel and is refused."""

    name = "temporal_conv"
    kinds: frozenset[Kind] = frozenset({"replace"})

    def resolve(self, site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
        for name in parameters:
            if name != "taps":
                raise unknown(f"parameter of {self.name}", name if isinstance(name, str) else shown(name), ["taps"])
        check_kind(site, self.name, self.kinds)
        taps = parameters.get("taps", DEFAULT_TAPS)
        if not isinstance(taps, int) or isinstance(taps, bool) or not 3 <= taps <= _MAX_TAPS or taps % 2 == 0:
            raise UserError(f"{site.name}: `taps` must be an odd number from 3 to {_MAX_TAPS}, but got {shown(taps)}")
        return Insertion.of(self.name, {} if taps == DEFAULT_TAPS else {"taps": taps})

    def build(
        self, site: Site, insertion: Insertion, frames: int, *, layer: "nn.Module | None" = None, inplace: bool = False
    ) -> "nn.Module":
        from gsfnas.modules.temporal_conv.network import TemporalConv

        assert layer is not None
        return TemporalConv(layer, site.channels, frames, int(insertion.get("taps", DEFAULT_TAPS)))

    def label(self, insertion: Insertion) -> str:
        """``temporal_conv:3``: the length of the filters in frames."""
        return f"{self.name}:{insertion.get('taps', DEFAULT_TAPS)}"

    def options(self, site: Site | None, insertion: Insertion) -> Mapping[str, str | float]:
        return {"taps": str(insertion.get("taps", DEFAULT_TAPS))}


SPEC = TemporalConvSpec()
