"""Finds which images in a clip's folder are its frames, and their order.

A folder may hold other images than the frames: optical flow, depth, masks, a thumbnail. Images whose names differ only in a
number form a series, written with ``*`` for the number: ``img_*.jpg``.
"""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from gsfnas.data.video._index import DecodeError

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# The names of RGB frames in mmaction2, TSM, 3D-ResNets and EPIC-KITCHENS; optical flow may be in the same folder.
RGB = ("img_*", "image_*", "frame_*")

# The maximum number of series that a message lists.
_SHOWN = 4
# Prefixes of names that suggest RGB images rather than flow, depth or masks.
_COLOUR = ("rgb", "color", "colour", "img", "image", "frame")
_DIGITS = re.compile(r"(\d+)")

# (all numbers in the name of an image, the name)
_Numbered = tuple[tuple[int, ...], str]


def frame_files(folder: Path, names: Sequence[str] = RGB) -> list[Path]:
    """The frames of a clip in the order of the numbers in their names (``img_2.jpg`` before ``img_10.jpg``).

    Of several series, the one that matches a pattern in ``names`` is used; a pattern may omit the suffix. Raises DecodeError if
    none or several match, if a JPEG and a PNG have the same number, and for an image that is not a regular file.
    """
    return [folder / name for _, name in _frames(folder, names)]


def frame_numbers(folder: Path, names: Sequence[str] = RGB) -> list[int] | None:
    """The increasing frame numbers of ``frame_files``, converted to count from 0.

    Names are assumed to count from 1, unless one has the number 0. None if the names have no increasing number.
    """
    numbers = [numbers for numbers, _ in _frames(folder, names)]
    place = _rising(numbers)
    if place is None:
        return None
    found = [each[place] for each in numbers]
    return found if 0 in found else [number - 1 for number in found]


def _frames(folder: Path, names: Sequence[str]) -> list[_Numbered]:
    images = _images(folder)
    series = _series(images)
    if len(series) < 2:
        return series[0][1] if series else []
    chosen = [found for name in names if (found := _named(images, name))]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{name} ({len(found)})" for name, found in series[:_SHOWN])
    more = f" and {len(series) - _SHOWN} more" if len(series) > _SHOWN else ""
    # A single pattern was chosen by the user; several are the default names.
    none = f"; none of them is {names[0]}" if len(names) == 1 and not chosen else ""
    example = next((name for name, _ in series if name.lower().startswith(_COLOUR)), series[0][0])
    raise DecodeError(
        f"it holds {len(series)} series of images: {listed}{more}{none}; say which are its frames, as "
        f"'data.frame_names={example}'"
    )


def _images(folder: Path) -> list[str]:
    images = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.lower().endswith(IMAGES):
                continue
            # Opening a pipe would block until something writes to it.
            if not _is_file(entry):
                raise DecodeError(f"{entry.name} is not a regular file")
            images.append(entry.name)
    return images


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        # For example a link that points to itself.
        return False


def _named(images: Iterable[str], name: str) -> list[_Numbered]:
    """The images that match the pattern ``name``, where each ``*`` is a number.

    Raises DecodeError if two with the same number have different suffixes.
    """
    suffix = "" if name.lower().endswith(IMAGES) else r"\.\w+"
    pattern = re.compile(r"(\d+)".join(map(re.escape, name.split("*"))) + suffix)
    matches = ((pattern.fullmatch(image), image) for image in images)
    found = sorted((tuple(map(int, match.groups())), image) for match, image in matches if match)
    for (one, image), (other, twin) in itertools.pairwise(found):
        kind, another = (each.rpartition(".")[2] for each in (image, twin))
        if one == other and kind != another:
            raise DecodeError(
                f"{image} and {twin} have the same number; say which are its frames, as 'data.frame_names={name}.{kind}'"
            )
    return found


def _series(images: Sequence[str]) -> list[tuple[str, list[_Numbered]]]:
    """(pattern, images) of each series, the largest first. If no image has a number, all form one series in order of name."""
    groups: dict[tuple[str, ...], dict[str, list[_Numbered]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        stem, _, suffix = image.rpartition(".")
        parts = _DIGITS.split(stem)
        groups[tuple(parts[::2])][suffix].append((tuple(map(int, parts[1::2])), image))
    if all(len(texts) == 1 for texts in groups):
        return [("*", [((), image) for image in sorted(images)])] if images else []
    series = []
    for texts, suffixes in groups.items():
        found = [frame for frames in suffixes.values() for frame in frames]
        # A series may mix PNGs and JPEGs, unless two of them have the same numbers.
        is_one = len(suffixes) == 1 or len({numbers for numbers, _ in found}) == len(found)
        for frames in [found] if is_one else suffixes.values():
            series += _split(texts, sorted(frames))
    return sorted(series, key=lambda item: (-len(item[1]), item[0]))


def _split(texts: Sequence[str], frames: list[_Numbered]) -> list[tuple[str, list[_Numbered]]]:
    """Splits images whose names differ only in their numbers into series.

    They are one series if at most one number varies or if a number increases from each image to the next. Otherwise the last
    varying number counts the frames, and the others tell the series apart.
    """
    numbers = [numbers for numbers, _ in frames]
    varying = [place for place in range(len(texts) - 1) if any(each[place] != numbers[0][place] for each in numbers)]
    if len(varying) < 2 or _rising(numbers) is not None:
        return [(_name(frames, varying), frames)]
    parts: dict[tuple[int, ...], list[_Numbered]] = defaultdict(list)
    for frame in frames:
        parts[tuple(frame[0][place] for place in varying[:-1])].append(frame)
    return [(_name(part, varying[-1:]), part) for part in parts.values()]


def _rising(numbers: Sequence[tuple[int, ...]]) -> int | None:
    """The index of the number that increases from each image to the next (the last one, if several do); None if none does."""
    places = reversed(range(len(numbers[0]) if numbers else 0))
    return next((place for place in places if all(a[place] < b[place] for a, b in itertools.pairwise(numbers))), None)


def _name(frames: Sequence[_Numbered], varying: Sequence[int]) -> str:
    stem, _, suffix = frames[0][1].rpartition(".")
    parts = _DIGITS.split(stem)
    for place in varying:
        parts[2 * place + 1] = "*"
    is_same = all(name.endswith(f".{suffix}") for _, name in frames)
    return "".join(parts) + (f".{suffix}" if is_same else "")
