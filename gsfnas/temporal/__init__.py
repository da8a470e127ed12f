"""Temporal modules: what turns a 2D CNN's features, frame by frame, into features of a video."""

from gsfnas.temporal._gate_shift_fuse import GateShiftFuse, build_module

__all__ = ["GateShiftFuse", "build_module"]
