"""A search space as its YAML file says it: which sites, and what may stand at each; or rows, each a placement by name."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from gsfnas import spec
from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError, shown, unknown
from gsfnas.escape import printable
from gsfnas.space._bound import BoundRows, BoundSpace
from gsfnas.space._selection import FIELDS, Selection

# A choice costs a site some 20 microseconds, a placement each of its sites as much.
MAX_CHOICES = 5000
MAX_PLACEMENTS = 5000
_MAX_NAME = 200

Resolve = Callable[[Site, Mapping[str, Any]], Insertion | None]


@dataclass(frozen=True)
class Placement:
    """One insertion at every site of a selection."""

    sites: Selection
    insertion: Mapping[str, Any]


@dataclass(frozen=True)
class Space:
    """A product of choices, or named rows.

    As a product: each site of ``sites`` holds one of ``insertions``, in order, the first being what the full candidate holds
    everywhere; with ``optional`` a site may stay empty. As rows: each is a candidate by name, given as placements, none of them
    being the plain network; this is the form of an ablation table.
    """

    name: str
    insertions: tuple[Mapping[str, Any], ...] = ()
    sites: Selection = field(default_factory=Selection)
    optional: bool = True
    rows: tuple[tuple[str, tuple[Placement, ...]], ...] = ()

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The space of a YAML mapping; a list in an insertion stands for one choice an element, lists for their product.

        Raises UserError for a field that is none, a value that cannot be meant, a space without an insertion or a row, and
        more than ``MAX_CHOICES`` choices a site or ``MAX_PLACEMENTS`` placements.
        """
        if not isinstance(data, Mapping):
            raise UserError(f"a space must be a mapping of name, sites and insertions, but got {type(data).__name__}")
        fields = {"name", "sites", "insertions", "optional", "rows"}
        for field_name in data:
            if field_name not in fields:
                raise unknown("field of a space", field_name if isinstance(field_name, str) else shown(field_name), fields)
        name = _name(data.get("name", "space"), "the name of a space")
        if "rows" in data:
            others = data.keys() & {"sites", "insertions", "optional"}
            if others:
                raise UserError(f"space {name!r} has rows, whose sites are their own, so it cannot have `{sorted(others)[0]}`")
            return cls(name, rows=_rows(name, data["rows"]))
        sites = {} if data.get("sites") is None else data["sites"]
        if not isinstance(sites, Mapping):
            raise UserError(f"`sites` of a space must be a mapping of role, pattern or kind, but got {shown(sites)}")
        optional = data.get("optional", True)
        if not isinstance(optional, bool):
            raise UserError(f"`optional` of space {name!r} must be true or false, but got {shown(optional)}")
        insertions = data.get("insertions")
        if not _is_list(insertions) or not insertions:
            raise UserError(f"space {name!r} must list at least one insertion, but got {shown(insertions)}")
        listed = [_choices(insertion) for insertion in insertions]
        count = sum(math.prod(len(values) for values in choices.values()) for choices in listed)
        if not count:
            raise UserError(f"space {name!r} must list at least one insertion, but each has an empty list")
        if count > MAX_CHOICES:
            raise UserError(
                f"space {name!r} may give a site at most {MAX_CHOICES:,} choices, but its lists come to {shown(count)}"
            )
        for choices in listed:
            for field_name, values in choices.items():
                _check_values(field_name, values)
        expanded = tuple(
            dict(zip(choices, point, strict=True)) for choices in listed for point in itertools.product(*choices.values())
        )
        return cls(name, expanded, Selection.from_dict(sites), optional)

    def select(self, sites: Iterable[Site]) -> tuple[Site, ...]:
        """The sites that this space speaks of, in the backbone's order. Raises UserError where a selection has none."""
        sites = tuple(sites)
        if not self.rows:
            return self.sites.of(sites, f"space {self.name!r}")
        chosen = {
            site
            for row, placements in self.rows
            for placement in placements
            for site in placement.sites.of(sites, f"row {row!r} of space {self.name!r}")
        }
        return tuple(site for site in sites if site in chosen)

    def bind(
        self, backbone: BackboneRef, sites: Iterable[Site], *, frames: int, resolution: int, resolve: Resolve | None = None
    ) -> BoundSpace:
        """This space on one backbone's sites: each site's distinct canonical choices, and the rows where it has some.

        ``resolve`` turns a choice at a site into a canonical insertion; the default knows the modules of this package. Raises
        UserError for a choice that cannot stand at a selected site.
        """
        resolve, sites = resolve or spec.resolve, tuple(sites)
        chosen = self.select(sites)
        rows = [(row, self._row(row, placements, sites, resolve)) for row, placements in self.rows]
        options = []
        for site in chosen:
            if rows:
                here = [None, *(insertions.get(site.name) for _, insertions in rows)]
            else:
                here = [resolve(site, insertion) for insertion in self.insertions]
                here += [None] if self.optional else []
            # Nothing comes first, then the choices as the file orders them.
            options.append(tuple(sorted(dict.fromkeys(here), key=lambda insertion: insertion is not None)))
        if not rows:
            return BoundSpace(self.name, backbone, frames, resolution, chosen, tuple(options))
        candidates = tuple((row, Candidate(backbone, frames, resolution, tuple(held.items()))) for row, held in rows)
        return BoundRows(self.name, backbone, frames, resolution, chosen, tuple(options), candidates)

    def _row(
        self, name: str, placements: Iterable[Placement], sites: tuple[Site, ...], resolve: Resolve
    ) -> dict[str, Insertion]:
        """What a row holds at which site."""
        held: dict[str, Insertion] = {}
        for placement in placements:
            for site in placement.sites.of(sites, f"row {name!r} of space {self.name!r}"):
                insertion = resolve(site, placement.insertion)
                if site.name in held:
                    raise UserError(f"row {name!r} of space {self.name!r} has two modules for site {site.name}")
                if insertion is not None:
                    held[site.name] = insertion
        return held


def _rows(space: str, data: Any) -> tuple[tuple[str, tuple[Placement, ...]], ...]:
    if not isinstance(data, Mapping) or not data:
        raise UserError(f"`rows` of space {space!r} must map names to lists of placements, but got {shown(data)}")
    names = [_name(name, f"the name of a row of space {space!r}") for name in data]
    if len(set(names)) < len(names):
        raise UserError(f"space {space!r} names row {next(name for name in names if names.count(name) > 1)!r} twice")
    rows = [_placements(f"row {name!r} of space {space!r}", row) for name, row in zip(names, data.values(), strict=True)]
    if sum(map(len, rows)) > MAX_PLACEMENTS:
        raise UserError(f"the rows of space {space!r} may have at most {MAX_PLACEMENTS:,} placements, but have more")
    return tuple(zip(names, rows, strict=True))


def _placements(row: str, data: Any) -> tuple[Placement, ...]:
    if not _is_list(data):
        raise UserError(f"{row} must be a list of placements, [] for the plain network, but got {shown(data)}")
    placements = []
    for placement in data:
        if not isinstance(placement, Mapping) or "module" not in placement:
            raise UserError(f"a placement of {row} must be a mapping of sites and a `module`, but got {shown(placement)}")
        sites = {name: value for name, value in placement.items() if name in FIELDS}
        insertion = {name: value for name, value in placement.items() if name not in FIELDS}
        for name, value in insertion.items():
            if not isinstance(name, str) or not isinstance(value, str | int | float):
                known = name if isinstance(name, str) else shown(name)
                raise UserError(f"`{known}` of {row} must be one value, but got {shown(value)}")
        placements.append(Placement(Selection.from_dict(sites), insertion))
    return tuple(placements)


def _choices(insertion: Any) -> dict[str, Sequence[Any]]:
    """The values of each parameter, one or several."""
    if not isinstance(insertion, Mapping):
        raise UserError(f"an insertion must be a mapping with a `module`, but got {shown(insertion)}")
    for name in insertion:
        if not isinstance(name, str):
            raise UserError(f"a parameter of an insertion must have a name, but got {shown(name)}")
    return {name: value if _is_list(value) else [value] for name, value in insertion.items()}


def _check_values(name: str, values: Sequence[Any]) -> None:
    for value in values:
        if not isinstance(value, str | int | float | None):
            raise UserError(f"`{name}` of an insertion must be one value or a list of values, but got {shown(value)}")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _name(value: Any, what: str) -> str:
    """A name for people: it stands in tables and in files."""
    # A space of 2026, a row of 0.25.
    name = shown(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME or printable(name) != name:
        raise UserError(f"{what} must be text of at most {_MAX_NAME} characters that can be shown, but got {shown(value)}")
    return name
