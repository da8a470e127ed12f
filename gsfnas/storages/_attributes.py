"""The attributes of a study in its journal: how they are written, and how they are read and checked.

All readers raise UserError, naming field and value, if a value is missing or has the wrong type.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from gsfnas import checked
from gsfnas.candidate import Kind, Site
from gsfnas.metrics import DEFAULT_OBJECTIVES, Metric, objectives_of
from gsfnas.samplers.base import Point
from gsfnas.space import BoundRows, BoundSpace

FORMAT = 1
HEADER = "gsfnas"
ASKED = "asked"
DESIGN = "design"
ENDED = "ended"
ENVIRONMENT = "environment:"
CONFIGURATION = "configuration:"


@dataclass(frozen=True)
class Header:
    """What a study searches, written once when it begins. ``identity`` has its recipe, data, budget, space and sites.

    ``rows`` are the (name, candidate key) pairs of a space of rows. ``space_interval`` is the 95 % interval of the size if that
    is an estimate. ``bounds`` are those of the study, ``objectives`` the metrics that it searches for.
    """

    space: str
    space_size: int
    sites: tuple[Site, ...]
    classes: int
    identity: Mapping[str, Any]
    rows: tuple[tuple[str, str], ...] = ()
    space_interval: tuple[int, int] | None = None
    bounds: tuple[str, ...] = ()
    objectives: tuple[Metric, ...] = DEFAULT_OBJECTIVES


@dataclass(frozen=True)
class Asked:
    """What the latest call requested; ``configuration`` is the hash of its configuration."""

    trials: int
    configuration: str
    study_yaml: str


def header_to_attribute(space: BoundSpace, classes: int, identity: Mapping[str, Any], version: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": version,
        "space": space.name,
        "space_size": space.size,
        **({} if space.size_interval is None else {"space_interval": list(space.size_interval)}),
        "sites": [_site_to_attribute(site) for site in space.sites],
        "classes": classes,
        "identity": dict(identity),
        "rows": [[name, candidate.key] for name, candidate in space.rows] if isinstance(space, BoundRows) else [],
    }


def header_from_attribute(value: Any) -> Header:
    values = checked.mapping(value, HEADER)
    identity = checked.mapping(checked.field(values, "identity"), "identity")
    for name in ("recipe", "data"):
        checked.text(checked.field(identity, name), f"identity.{name}")
    checked.integer(checked.field(identity, "budget"), "identity.budget")
    interval = values.get("space_interval")
    if interval is not None and len(checked.items(interval, "space_interval")) != 2:
        raise checked.refused("space_interval", "two integers", interval)
    return Header(
        space=checked.text(checked.field(values, "space"), "space"),
        space_size=_size(checked.field(values, "space_size"), "space_size"),
        sites=tuple(_site(site) for site in checked.items(checked.field(values, "sites"), "sites")),
        classes=checked.integer(checked.field(values, "classes"), "classes"),
        identity=identity,
        rows=tuple(_row(row) for row in checked.items(values.get("rows", []), "rows")),
        space_interval=None
        if interval is None
        else (_size(interval[0], "space_interval"), _size(interval[1], "space_interval")),
        bounds=tuple(checked.text(bound, "a bound") for bound in checked.items(identity.get("bounds", []), "identity.bounds")),
        objectives=objectives_of_identity(identity),
    )


def objectives_of_identity(identity: Mapping[str, Any]) -> tuple[Metric, ...]:
    """The objectives of the study with this identity, which names them only where they are not the default ones."""
    study = checked.mapping(identity.get("study", {}), "identity.study")
    return objectives_of(study["objectives"], "`identity.study.objectives`") if "objectives" in study else DEFAULT_OBJECTIVES


def asked_from_attribute(value: Any) -> Asked:
    values = checked.mapping(value, ASKED)
    return Asked(
        trials=checked.integer(checked.field(values, "trials"), "asked.trials"),
        configuration=checked.text(checked.field(values, "configuration"), "asked.configuration"),
        study_yaml=checked.text(values.get("study_yaml", ""), "asked.study_yaml"),
    )


def design_from_attribute(value: Any) -> list[Point]:
    """The points of the balanced design: for each candidate, the index of the choice at each site."""
    points = [checked.items(point, "a point of design") for point in checked.items(value, DESIGN)]
    return [tuple(checked.integer(index, "an index of design") for index in point) for point in points]


def named_from_attributes(attributes: Mapping[str, Any], prefix: str) -> dict[str, dict[str, Any]]:
    """Hash -> environment or configuration, depending on ``prefix``."""
    return {
        name.removeprefix(prefix): checked.mapping(value, name) for name, value in attributes.items() if name.startswith(prefix)
    }


def check_attribute(name: str, value: Any) -> None:
    """Checks the value of one attribute of a study. Unknown names are ignored."""
    if name == HEADER:
        header_from_attribute(value)
    elif name in (ASKED, ENDED):
        asked_from_attribute(value)
    elif name == DESIGN:
        design_from_attribute(value)
    elif name.startswith((ENVIRONMENT, CONFIGURATION)):
        checked.mapping(value, name)


def _size(value: Any, what: str) -> int:
    """The size of a space, which may exceed 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise checked.refused(what, "an integer of at least 0", value)
    return value


# The size of an output that is that of its input.
_SAME: Mapping[str, Any] = {"out_channels": 0, "out_height": 0, "out_width": 0}


def _site_to_attribute(site: Site) -> dict[str, Any]:
    """All fields of a site; the size of its output only where it differs from that of its input."""
    return {
        name: value
        for name, value in asdict(site).items()
        if not name.startswith("out_") or value != getattr(site, name.removeprefix("out_"))
    }


def _site(value: Any) -> Site:
    values = checked.mapping(value, "a site")
    is_default = values.get("is_default", False)
    if not isinstance(is_default, bool):
        raise checked.refused("is_default", "true or false", is_default)
    return Site(
        **checked.fields(values, checked.text, "name", "layer", "block", "role"),
        kind=checked.one_of(checked.field(values, "kind"), "kind", get_args(Kind)),
        **checked.fields(values, checked.integer, "channels", "height", "width"),
        is_default=is_default,
        **checked.fields({**_SAME, **values}, checked.integer, "out_channels", "out_height", "out_width"),
    )


def _row(value: Any) -> tuple[str, str]:
    pair = checked.items(value, "a row")
    if len(pair) != 2:
        raise checked.refused("a row", "a name and a key", value)
    return checked.text(pair[0], "a row's name"), checked.text(pair[1], "a row's key")
