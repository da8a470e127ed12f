"""Twins: a rendered data set, whose classes come in pairs that differ only in the order of the frames."""
