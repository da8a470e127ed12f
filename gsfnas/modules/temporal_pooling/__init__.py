"""A consensus of the frames with learned weights."""

from gsfnas.modules.temporal_pooling.spec import SPEC

__all__ = ["SPEC"]
