"""Seeds and names that follow from what is run, never from when or where."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def derive(*parts: object) -> int:
    """31 bits that follow from ``parts`` alone, on every machine."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4]) >> 1


def training_seed(study_seed: int, key: str, replicate: int) -> int:
    """The seed that a candidate trains under: the same in any order and with any number of workers."""
    return derive("training", study_seed, key, replicate)


def run_id(key: str, seed: int, recipe: str, data: str) -> str:
    """The name of one run: 16 hexadecimal digits over the candidate, its seed, the recipe and the data."""
    return hashlib.sha256("/".join((key, str(seed), recipe, data)).encode()).hexdigest()[:16]


def digest(value: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that name a JSON mapping."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
