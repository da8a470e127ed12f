"""Temporal modules: what turns a 2D CNN's features, frame by frame, into features of a video."""

from gsfnas.temporal._gate_shift_fuse import PATHS, GateShiftFuse, build_module, set_path

__all__ = ["PATHS", "GateShiftFuse", "build_module", "set_path"]
