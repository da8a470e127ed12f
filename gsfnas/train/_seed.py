"""Derives seeds from seeds, so that every epoch of every run has its own, independent of what ran before."""

import hashlib
import random

import numpy as np
import torch


def derive(seed: int, *words: int | str) -> int:
    """A seed of 63 bits derived from ``seed`` and its purpose (``words``); the same on every machine."""
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_all(seed: int) -> None:
    """Seeds the generators of Python, NumPy and torch, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
