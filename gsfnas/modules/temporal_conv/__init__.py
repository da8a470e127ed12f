"""A depthwise temporal convolution in front of a layer that it replaces."""

from gsfnas.modules.temporal_conv.spec import SPEC

__all__ = ["SPEC"]
