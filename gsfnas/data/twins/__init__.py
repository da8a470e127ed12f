"""Twins: a data set that is rendered, whose classes differ in the order of their frames alone."""
