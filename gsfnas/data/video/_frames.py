"""Which images of a clip's folder are its frames, and in which order.

A folder may hold more than the frames: optical flow, depth, masks, a thumbnail. Images whose names differ in a number alone are
a series, written with ``*`` in its place: ``img_*.jpg``.
"""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from gsfnas.data.video._index import DecodeError

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# What mmaction2, TSM, 3D-ResNets and EPIC-KITCHENS call RGB frames, which may stand beside the optical flow of the clip.
RGB = ("img_*", "image_*", "frame_*")

# Most series that a message names.
_SHOWN = 4
# Beginnings of names of colour pictures, rather than flow, depth or masks.
_COLOUR = ("rgb", "color", "colour", "img", "image", "frame")
_DIGITS = re.compile(r"(\d+)")

# (the numbers in the name of an image, the name)
_Numbered = tuple[tuple[int, ...], str]


def frame_files(folder: Path, names: Sequence[str] = RGB) -> list[Path]:
    """The frames of a clip in the order of the numbers in their names (``img_2.jpg`` before ``img_10.jpg``).

    Of several series the one that matches a pattern in ``names``, which may leave out the suffix. Raises DecodeError where none
    or several match, where a JPEG and a PNG have the same number, and for an image that is not a regular file.
    """
    return [folder / name for _, name in _frames(folder, names)]


def frame_numbers(folder: Path, names: Sequence[str] = RGB) -> list[int] | None:
    """The numbers of ``frame_files``, which rise, counted from 0: the first frame is 1 in its name, unless there is a 0.

    None where the names have no such number.
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
    # A single pattern was chosen by somebody; several are the usual names.
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
            # Opening a pipe would wait for somebody who writes to it.
            if not _is_file(entry):
                raise DecodeError(f"{entry.name} is not a regular file")
            images.append(entry.name)
    return images


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        # A link that points to itself.
        return False


def _named(images: Iterable[str], name: str) -> list[_Numbered]:
    """The images that are called ``name``, with a number for each ``*``."""
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
    """(name, images) of each series, the largest first. Where no image has a number they are one, in the order of names."""
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
        # A frame may be a PNG among JPEGs, but not both.
        is_one = len(suffixes) == 1 or len({numbers for numbers, _ in found}) == len(found)
        for frames in [found] if is_one else suffixes.values():
            series += _split(texts, sorted(frames))
    return sorted(series, key=lambda item: (-len(item[1]), item[0]))


def _split(texts: Sequence[str], frames: list[_Numbered]) -> list[tuple[str, list[_Numbered]]]:
    """Images with the same text round their numbers: one series if a number rises from each to the next, or else several."""
    numbers = [numbers for numbers, _ in frames]
    varying = [place for place in range(len(texts) - 1) if any(each[place] != numbers[0][place] for each in numbers)]
    if len(varying) < 2 or _rising(numbers) is not None:
        return [(_name(frames, varying), frames)]
    parts: dict[tuple[int, ...], list[_Numbered]] = defaultdict(list)
    for frame in frames:
        parts[tuple(frame[0][place] for place in varying[:-1])].append(frame)
    return [(_name(part, varying[-1:]), part) for part in parts.values()]


def _rising(numbers: Sequence[tuple[int, ...]]) -> int | None:
    """Which of the numbers in the names rises from each image to the next; of several the last."""
    places = reversed(range(len(numbers[0]) if numbers else 0))
    return next((place for place in places if all(a[place] < b[place] for a, b in itertools.pairwise(numbers))), None)


def _name(frames: Sequence[_Numbered], varying: Sequence[int]) -> str:
    stem, _, suffix = frames[0][1].rpartition(".")
    parts = _DIGITS.split(stem)
    for place in varying:
        parts[2 * place + 1] = "*"
    is_same = all(name.endswith(f".{suffix}") for _, name in frames)
    return "".join(parts) + (f".{suffix}" if is_same else "")
