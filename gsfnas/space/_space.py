"""A search space as its YAML file says it: which sites, and what may stand at each; or rows, each a placement by name."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from gsfnas import spec
from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError, unknown
from gsfnas.space._bound import BoundRows, BoundSpace
from gsfnas.space._selection import FIELDS, Selection

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

        Raises UserError for a field that is none, and for a space without an insertion or a row.
        """
        if not isinstance(data, Mapping):
            raise UserError(f"a space must be a mapping of name, sites and insertions, but got {type(data).__name__}")
        fields = {"name", "sites", "insertions", "optional", "rows"}
        for name in data:
            if name not in fields:
                raise unknown("field of a space", str(name), fields)
        name = str(data.get("name", "space"))
        if "rows" in data:
            others = data.keys() & {"sites", "insertions", "optional"}
            if others:
                raise UserError(f"space {name!r} has rows, whose sites are their own, so it cannot have `{sorted(others)[0]}`")
            return cls(name, rows=_rows(name, data["rows"]))
        sites = data.get("sites") or {}
        if not isinstance(sites, Mapping):
            raise UserError(f"`sites` of a space must be a mapping of role, pattern or kind, but got {sites!r}")
        insertions = data.get("insertions")
        if not isinstance(insertions, Sequence) or isinstance(insertions, str) or not insertions:
            raise UserError(f"space {name!r} must list at least one insertion, but got {insertions!r}")
        expanded = tuple(choice for insertion in insertions for choice in _product(insertion))
        if not expanded:
            raise UserError(f"space {name!r} must list at least one insertion, but each has an empty list")
        return cls(name, expanded, Selection.from_dict(sites), bool(data.get("optional", True)))

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
        rows = [(row, self._row(row, sites, resolve)) for row, _ in self.rows]
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

    def _row(self, name: str, sites: tuple[Site, ...], resolve: Resolve) -> dict[str, Insertion]:
        """What a row holds at which site."""
        held: dict[str, Insertion] = {}
        for placement in dict(self.rows)[name]:
            for site in placement.sites.of(sites, f"row {name!r} of space {self.name!r}"):
                insertion = resolve(site, placement.insertion)
                if site.name in held:
                    raise UserError(f"row {name!r} of space {self.name!r} has two modules for site {site.name}")
                if insertion is not None:
                    held[site.name] = insertion
        return held


def _rows(space: str, data: Any) -> tuple[tuple[str, tuple[Placement, ...]], ...]:
    if not isinstance(data, Mapping) or not data:
        raise UserError(f"`rows` of space {space!r} must map names to lists of placements, but got {data!r}")
    return tuple((str(name), _placements(f"row {str(name)!r} of space {space!r}", row)) for name, row in data.items())


def _placements(row: str, data: Any) -> tuple[Placement, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise UserError(f"{row} must be a list of placements, [] for the plain network, but got {data!r}")
    placements = []
    for placement in data:
        if not isinstance(placement, Mapping) or "module" not in placement:
            raise UserError(f"a placement of {row} must be a mapping of sites and a `module`, but got {placement!r}")
        sites = {name: value for name, value in placement.items() if name in FIELDS}
        insertion = {name: value for name, value in placement.items() if name not in FIELDS}
        for name, value in insertion.items():
            if not isinstance(value, str | int | float):
                raise UserError(f"`{name}` of {row} must be one value, but got {value!r}")
        placements.append(Placement(Selection.from_dict(sites), insertion))
    return tuple(placements)


def _product(insertion: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(insertion, Mapping):
        raise UserError(f"an insertion must be a mapping with a `module`, but got {insertion!r}")
    names = list(insertion)
    values = [value if isinstance(value, Sequence) and not isinstance(value, str) else [value] for value in insertion.values()]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*values)]
