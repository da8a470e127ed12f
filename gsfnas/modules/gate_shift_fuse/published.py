"""GSM, GSF and TSM in state dicts of the public code: https://github.com/swathikirans/GSF, /GSM, and
https://github.com/mit-han-lab/temporal-shift-module.
"""

import re
from collections.abc import Mapping

from gsfnas.candidate import Insertion, Kind, Site
from gsfnas.errors import UserError
from gsfnas.modules.base import PublishedForm
from gsfnas.modules.gate_shift_fuse.spec import FAMILY, SPEC

# TSM's ``shift_div``: 1/8 of the channels go each way by default. A state dict does not record it.
_TSM_SHIFT_DIV = 8
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


class PublishedGate(PublishedForm):
    """GSM and GSF: ``gsf_<layer>`` or ``gsm_<layer>`` (Inception), ``<block>.gsf`` after a bottleneck's third convolution."""

    kind: Kind = "after"
    parts: Mapping[str, tuple[str, ...]] = {
        **{f"gate.{name}": (f"conv3D.{name}",) for name in ("weight", "bias")},
        **{f"gate.norm.{name}": (f"bn.{name}",) for name in _NORM},
        **{f"fuse.{name}": (f"channel_conv1.{name}", f"channel_conv2.{name}") for name in ("weight", "bias")},
    }
    _NAME = re.compile(r"^(?:(?:gsf|gsm)_(?P<layer>\w+)|(?P<block>[\w.]+)\.(?:gsf|gsm))\.(?P<part>[\w.]+)$")

    def find(self, name: str) -> tuple[str, str] | None:
        found = self._NAME.match(name)
        return None if found is None else (found["layer"] or f"{found['block']}.conv3", found["part"])

    def guess(self, site: Site, shapes: Mapping[str, tuple[int, ...]]) -> Insertion | None:
        gate = shapes.get("conv3D.weight", ())
        if len(gate) != 5:
            raise UserError(f"the module after {site.layer!r} lacks its gate's convolution")
        fuse = "learnable" if "channel_conv1.weight" in shapes else "sum"
        return SPEC.resolve(site, {"channels": 2 * gate[1], "fuse": fuse})


class PublishedShift(PublishedForm):
    """TSM: a shift without weights, around the layer that it precedes, which is then named ``<layer>.net``."""

    kind: Kind = "before"
    title = "TSM"
    wrapper = "net"
    assumption = (
        f"a state dict does not record how many channels TSM shifts, so this assumes 1/{_TSM_SHIFT_DIV} each way, as "
        "published, and no temporal pool (use --candidate for another share)"
    )

    def guess(self, site: Site, shapes: Mapping[str, tuple[int, ...]]) -> Insertion | None:
        """1/8 of the channels (rounded down) come from the next frame, as many from the previous frame."""
        shifted = 2 * (site.channels // _TSM_SHIFT_DIV)
        if shifted % 4:
            raise UserError(
                f"TSM before {site.layer!r} shifts {shifted} of {site.channels} channels, but gsfnas shifts a multiple of 4"
            )
        gate, fuse = FAMILY["tsm"]
        return SPEC.resolve(site, {"channels": shifted, "gate": gate, "fuse": fuse}) if shifted else None


FORMS: tuple[PublishedForm, ...] = (PublishedGate(), PublishedShift())
