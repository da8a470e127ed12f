"""A video network as a value: a backbone, the size of a clip, and the insertions at its sites.

Everything here is frozen, ordered and made of integers and strings, so that a candidate can be hashed, compared, stored and
sent to another machine. A candidate is canonical: ratios are converted to numbers of channels, no-ops and defaults are omitted,
and sites are sorted. Two candidates with equal keys are the same network, bit for bit with the same seed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

from gsfnas.errors import UserError, shown

KEY_VERSION = "c1"
# More than any data set or network of the field uses, but small enough that a machine can hold such a clip.
MAX_FRAMES = 4096
MAX_RESOLUTION = 4096

# After or before a layer, in its place, or in the place of the mean over the frames.
Kind = Literal["after", "before", "replace", "consensus"]
Value = int | str


@dataclass(frozen=True, order=True)
class Site:
    """A named place in a backbone where a module can be inserted, at one input resolution.

    ``layer`` is the dotted name of the backbone's layer. ``channels``, ``height`` and ``width`` are those of the feature map
    that a module at this site receives, ``out_channels``, ``out_height`` and ``out_width`` those of the one that it returns:
    the same unless it replaces a layer. The consensus has no layer, and features of 1 x 1. ``is_default`` marks the sites that
    the role ``default`` selects.
    """

    name: str
    layer: str
    block: str
    role: str
    kind: Kind
    channels: int
    height: int
    width: int
    is_default: bool = False
    out_channels: int = 0
    out_height: int = 0
    out_width: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            if not getattr(self, f"out_{name}"):
                object.__setattr__(self, f"out_{name}", getattr(self, name))

    @property
    def stride(self) -> int:
        """Pixels of the input for one of the output, along an axis."""
        return -(-self.height // self.out_height)

    def holds(self, other: "Site") -> bool:
        """Whether a module at this site takes away the layer of ``other``, which must be empty then."""
        return self.kind == "replace" and other.layer.startswith(f"{self.layer}.")


@dataclass(frozen=True, order=True)
class BackboneRef:
    """Refers to a backbone by its name and the options that change its shape (``width``), as integers and strings."""

    name: str
    options: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, name: str, options: Mapping[str, Value] | None = None) -> Self:
        return cls(name, tuple(sorted((options or {}).items())))

    def __str__(self) -> str:
        options = ",".join(f"{name}={value}" for name, value in self.options)
        return f"{self.name}({options})" if options else self.name


@dataclass(frozen=True, order=True)
class Insertion:
    """A module's name and its canonical parameters, as created and checked by the module's spec (see ``gsfnas.modules``)."""

    module: str
    parameters: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, module: str, parameters: Mapping[str, Value]) -> Self:
        return cls(module, tuple(sorted(parameters.items())))

    def get(self, name: str, default: Value) -> Value:
        return dict(self.parameters).get(name, default)


@dataclass(frozen=True, order=True)
class Candidate:
    """One video network: a backbone with insertions, for clips of ``frames`` frames at ``resolution`` x ``resolution`` px.

    The sizes of the classification heads are not part of it; they are arguments of the functions that build or price it.
    """

    backbone: BackboneRef
    frames: int
    resolution: int
    insertions: tuple[tuple[str, Insertion], ...] = ()

    def __post_init__(self) -> None:
        for name, value, most in (("frames", self.frames, MAX_FRAMES), ("resolution", self.resolution, MAX_RESOLUTION)):
            if value < 1:
                raise UserError(f"`{name}` must be at least 1, but got {shown(value)}")
            if value > most:
                raise UserError(f"`{name}` must be at most {most}, but got {shown(value)}")
        names = [name for name, _ in self.insertions]
        if len(set(names)) < len(names):
            name = next(name for name in names if names.count(name) > 1)
            raise UserError(f"site {name!r} is named twice, but holds one module")
        if names != sorted(names):
            object.__setattr__(self, "insertions", tuple(sorted(self.insertions)))

    @cached_property
    def key(self) -> str:
        """The canonical name of this network: ``c1-`` and 16 hexadecimal digits of the SHA-256 of ``to_json``."""
        return f"{KEY_VERSION}-{hashlib.sha256(self.to_json().encode()).hexdigest()[:16]}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "backbone": {"name": self.backbone.name, **dict(self.backbone.options)},
            "frames": self.frames,
            "resolution": self.resolution,
            "insertions": {
                site: {"module": insertion.module, **dict(insertion.parameters)} for site, insertion in self.insertions
            },
        }

    def to_json(self) -> str:
        """Canonical JSON on one line; the inverse of ``from_json``."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parses a candidate. Whether its backbone and sites exist is only checked when it is built or priced.

        Raises UserError if the text is not JSON, or not that of a candidate.
        """
        try:
            data = json.loads(text, object_pairs_hook=_without_repeats)
        except json.JSONDecodeError as error:
            raise UserError(f"a candidate must be JSON, but {error.msg} at line {error.lineno}") from None
        except UserError:
            raise
        except (RecursionError, ValueError):
            raise UserError("a candidate must be JSON of a few levels and short numbers, but this one has more") from None
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        if not isinstance(data, dict):
            raise UserError(f"a candidate must be a JSON object, but got {type(data).__name__}")
        missing = {"backbone", "frames", "resolution"} - data.keys()
        extra = data.keys() - {"backbone", "frames", "resolution", "insertions"}
        if missing or extra:
            wrong = f"lacks {sorted(missing)}" if missing else f"has unknown fields {shown(sorted(extra))}"
            raise UserError(f"a candidate has backbone, frames, resolution and insertions, but this one {wrong}")
        backbone = _named(data["backbone"], "backbone", "name")
        insertions = data.get("insertions", {})
        if not isinstance(insertions, dict):
            raise UserError(f"`insertions` must map site names to modules, but got {type(insertions).__name__}")
        return cls(
            backbone=BackboneRef.of(*backbone),
            frames=_integer(data["frames"], "frames"),
            resolution=_integer(data["resolution"], "resolution"),
            insertions=tuple(
                sorted(
                    (site, Insertion.of(*_named(value, f"insertion at {shown(site)}", "module")))
                    for site, value in insertions.items()
                )
            ),
        )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict. Raises UserError for repeated names, of which Python's parser would keep the last."""
    if len(dict(pairs)) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise UserError(f"{shown(name)} is named twice in a JSON object")
    return dict(pairs)


def _integer(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"`{name}` must be an integer, but got {shown(value)}")
    return value


def _named(data: Any, what: str, key: str) -> tuple[str, dict[str, Value]]:
    """The name under ``key`` and the remaining fields, which must be integers or strings."""
    if not isinstance(data, dict) or not isinstance(data.get(key), str):
        raise UserError(f"{what} must be an object with a {key!r}, but got {shown(data)}")
    rest = {name: value for name, value in data.items() if name != key}
    for name, value in rest.items():
        if not isinstance(value, int | str) or isinstance(value, bool):
            hint = "; a candidate gives the number of shifted `channels`, a space the `ratio`" if name == "ratio" else ""
            raise UserError(f"{what}: `{name}` must be an integer or a string, but got {shown(value)}{hint}")
    return data[key], rest
