"""Gate-Shift-Fuse and its special cases GSM, TSM, TDN and TSN."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gsfnas.modules.gate_shift_fuse.spec import FAMILY, SPEC, GateShiftFuseSpec, Options, shifted_channels

if TYPE_CHECKING:
    from gsfnas.modules.gate_shift_fuse.network import IMPLEMENTATIONS as IMPLEMENTATIONS
    from gsfnas.modules.gate_shift_fuse.network import GateShiftFuse as GateShiftFuse
    from gsfnas.modules.gate_shift_fuse.network import set_implementation as set_implementation

__all__ = [
    "FAMILY",
    "IMPLEMENTATIONS",
    "SPEC",
    "GateShiftFuse",
    "GateShiftFuseSpec",
    "Options",
    "set_implementation",
    "shifted_channels",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.network"), name)
