"""The classes of Twins: twelve pairs, of which ``data.textures`` are drifting textures, the others actions of objects."""

from collections.abc import Collection, Sequence
from functools import cache

from gsfnas.data.twins._actions import ACTIONS, Action
from gsfnas.data.twins._textures import TEXTURES, Texture

# The actions that textures take the place of, in this order.
_REPLACED = ("the light comes on", "splits in two", "circles another clockwise", "covers another", "unfolds", "appears")


@cache
def pairs(textures: int) -> tuple[Action | Texture, ...]:
    """The pairs with this many textures, from 0 to 6: actions first. Class 2p is pair p, class 2p + 1 its reversal."""
    replaced = _REPLACED[:textures]
    return (*(action for action in ACTIONS if action.name not in replaced), *TEXTURES[:textures])


@cache
def classes(textures: int) -> tuple[str, ...]:
    """The names of the 24 classes."""
    return tuple(name for pair in pairs(textures) for name in (pair.name, pair.reverse))


@cache
def mirrored(textures: int) -> tuple[int, ...]:
    """Class -> its class when the clip is mirrored (left and right swapped)."""
    found = pairs(textures)
    return tuple(label ^ 1 if found[label // 2].mirror_reverses else label for label in range(2 * len(found)))


def textures_of(names: Collection[str]) -> int | None:
    """How many textures give these classes, in any order; None if these are not the classes of Twins."""
    numbers = range(len(TEXTURES) + 1)
    return next((textures for textures in numbers if set(names) == set(classes(textures))), None)


def mirrored_names(names: Sequence[str]) -> list[str] | None:
    """The names of the mirrored classes; None if these are not the classes of Twins."""
    textures = textures_of(names)
    if textures is None:
        return None
    known, mirror = classes(textures), mirrored(textures)
    return [known[mirror[known.index(name)]] for name in names]
