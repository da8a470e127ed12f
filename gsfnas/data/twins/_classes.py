"""The pairs of Twins and their classes: twelve actions, some of which textures replace, or the pairs of Twins, far."""

from collections.abc import Collection, Sequence
from functools import cache

from gsfnas.data.twins import _far
from gsfnas.data.twins._actions import ACTIONS, Action
from gsfnas.data.twins._textures import TEXTURES

Pair = Action | _far.FarPair
Pairs = tuple[Pair, ...]

# The actions that textures take the place of, in this order.
_REPLACED = ("the light comes on", "splits in two", "circles another clockwise", "covers another", "unfolds", "appears")


@cache
def pairs_of(textures: int, far: int) -> Pairs:
    """The pairs with this ``data.textures``, actions first, or with ``data.far``. Class 2p is pair p, 2p + 1 its reversal."""
    if far:
        return _far.PAIRS
    replaced = _REPLACED[:textures]
    return (*(action for action in ACTIONS if action.name not in replaced), *TEXTURES[:textures])


@cache
def classes(pairs: Pairs) -> tuple[str, ...]:
    """The names of the classes."""
    return tuple(name for pair in pairs for name in (pair.name, pair.reverse))


@cache
def mirrored(pairs: Pairs) -> tuple[int, ...]:
    """Class -> its class when the clip is mirrored (left and right swapped)."""
    return tuple(label ^ 1 if pairs[label // 2].mirror_reverses else label for label in range(2 * len(pairs)))


def find_pairs(names: Collection[str]) -> Pairs | None:
    """The pairs that have these classes, in any order; None if these are not the classes of Twins."""
    known = [pairs_of(textures, 0) for textures in range(len(TEXTURES) + 1)] + [_far.PAIRS]
    return next((pairs for pairs in known if set(names) == set(classes(pairs))), None)


def mirrored_names(names: Sequence[str]) -> list[str] | None:
    """The names of the mirrored classes; None if these are not the classes of Twins."""
    pairs = find_pairs(names)
    if pairs is None:
        return None
    known, mirror = classes(pairs), mirrored(pairs)
    return [known[mirror[known.index(name)]] for name in names]
