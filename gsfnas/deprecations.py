"""Hides the deprecation warning of ``torch.jit``: timm and fvcore use it, and users of gsfnas can do nothing about it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_MESSAGE = "`torch.jit"
_CATEGORIES: tuple[type[Warning], ...] = (FutureWarning, DeprecationWarning)


@contextmanager
def torch_jit_ignored() -> Iterator[None]:
    """Hides the warning within the block, which imports timm or fvcore, or calls what uses ``torch.jit``."""
    with warnings.catch_warnings():
        _ignore()
        yield


def ignore_torch_jit_everywhere() -> None:
    """Hides the warning in this process and in the processes that it starts; for programs, since it lasts."""
    _ignore()
    rules = [f"ignore:{_MESSAGE}:{category.__name__}" for category in _CATEGORIES]
    others = [rule for rule in os.environ.get("PYTHONWARNINGS", "").split(",") if rule and rule not in rules]
    os.environ["PYTHONWARNINGS"] = ",".join([*others, *rules])


def _ignore() -> None:
    for category in _CATEGORIES:
        warnings.filterwarnings("ignore", message=_MESSAGE, category=category)
