"""The class of a clip that is mirrored (left and right swapped).

In most data sets the class stays the same. A class that mentions left or right becomes another one; if no class fits, the clip
must not be mirrored.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gsfnas.data.twins._classes import classes as twins_classes
from gsfnas.data.twins._classes import find_pairs, mirrored_names, pairs_of
from gsfnas.errors import UserError, unknown

RULES = ("auto", "none", "plain", "left_right", "twins")

# Matches whole words, also between underscores, but neither "upright" nor "leftover".
_SIDE = re.compile(r"(?<![^\W_])(left|right)(?![^\W_])", re.IGNORECASE)


def flip_labels(classes: Sequence[str], rule: str, own: str) -> npt.NDArray[np.int64] | None:
    """(classes,) the class of a mirrored clip for each class, or -1 if its clips must not be mirrored; None to mirror no clip.

    The rules:

    - ``none``: no clip is mirrored.
    - ``plain``: every class stays the same.
    - ``left_right``: the class whose name has the words left and right swapped, or -1 if there is none.
    - ``twins``: the classes of Twins, in any order.
    - ``auto``: ``twins`` if the classes are those of Twins, otherwise ``own``, the rule of the data set.

    Mirroring twice gives the same class again, except for -1. Raises UserError for an unknown rule, and for ``twins`` with
    other classes.
    """
    if rule not in RULES:
        raise unknown("mirror rule", rule, RULES)
    if rule == "auto":
        rule = own if find_pairs(classes) is None else "twins"
    if rule == "none":
        return None
    if rule == "plain":
        return np.arange(len(classes), dtype=np.int64)
    # Matched by name, since the order of classes differs between data sets.
    numbers = {name: number for number, name in enumerate(classes)}
    assert len(numbers) == len(classes)
    mirrored: Sequence[str | None] = _of_twins(classes) if rule == "twins" else [_swapped(name) for name in classes]
    return np.array([-1 if name is None else numbers.get(name, -1) for name in mirrored], dtype=np.int64)


def _of_twins(classes: Sequence[str]) -> list[str]:
    mirrored = mirrored_names(classes)
    if mirrored is None:
        expected = set(twins_classes(pairs_of(0, 0)))
        strangers, missing = set(classes) - expected, expected - set(classes)
        wrong = f"{min(strangers)!r} is none of them" if strangers else f"{min(missing)!r} is missing"
        raise UserError(f"the mirror rule 'twins' needs the {len(expected)} classes of Twins, but {wrong}")
    return mirrored


def _swapped(name: str) -> str | None:
    """The name with left and right swapped; None if swapping twice does not restore it (as for "lEfT")."""
    swapped = _SIDE.sub(_other, name)
    return swapped if _SIDE.sub(_other, swapped) == name else None


def _other(side: re.Match[str]) -> str:
    word = side[0]
    other = "right" if word.lower() == "left" else "left"
    return other.upper() if word.isupper() else other.title() if word.istitle() else other
