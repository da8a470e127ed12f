"""A search space as defined in a YAML file: sites and the insertions allowed there, or rows of named candidates."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from gsfnas import modules
from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError, shown, unknown
from gsfnas.escape import printable
from gsfnas.space._bound import BoundRows, BoundSpace
from gsfnas.space._restricted import RestrictedSpace
from gsfnas.space._rules import Coupling, Rules, parse_couplings
from gsfnas.space._selection import FIELDS, Selection

# Resolving a choice takes some 20 microseconds per site, and so does a placement.
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
    """A product of choices, or a list of named rows.

    As a product, each site in ``sites`` holds one of ``insertions``, or nothing if ``optional``; the first insertion is the one
    that the full candidate has at every site. An insertion may be for sites of its own, ``places``, instead of ``sites``. The
    rules of ``couple`` restrict the product, and so do layers that may be replaced, since sites inside them are then empty. As
    rows, each is a named candidate given as placements, where an empty list is the plain network; ablation tables have this
    form.
    """

    name: str
    insertions: tuple[Mapping[str, Any], ...] = ()
    sites: Selection = field(default_factory=Selection)
    optional: bool = True
    rows: tuple[tuple[str, tuple[Placement, ...]], ...] = ()
    couple: tuple[Coupling, ...] = ()
    places: tuple[Selection | None, ...] = ()

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parses the mapping of a YAML file.

        A list of values in an insertion gives one choice per value; several lists give their product. Raises UserError for an
        unknown field, an invalid value, a space without insertions or rows, and for more than ``MAX_CHOICES`` choices per site
        or ``MAX_PLACEMENTS`` placements.
        """
        if not isinstance(data, Mapping):
            raise UserError(f"a space must be a mapping of name, sites and insertions, but got {type(data).__name__}")
        fields = {"name", "sites", "insertions", "optional", "couple", "rows"}
        for field_name in data:
            if field_name not in fields:
                raise unknown("field of a space", field_name if isinstance(field_name, str) else shown(field_name), fields)
        name = _name(data.get("name", "space"), "the name of a space")
        if "rows" in data:
            others = data.keys() & {"sites", "insertions", "optional", "couple"}
            if others:
                raise UserError(f"space {name!r} has rows, which name their own sites, so it cannot have `{sorted(others)[0]}`")
            return cls(name, rows=_parse_rows(name, data["rows"]))
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
        own = [_own_sites(name, insertion) for insertion in insertions]
        count = sum(math.prod(len(values) for values in choices.values()) for choices in listed)
        if not count:
            raise UserError(f"space {name!r} must list at least one insertion, but each has an empty list")
        if count > MAX_CHOICES:
            raise UserError(
                f"space {name!r} must have at most {MAX_CHOICES:,} choices per site, but its lists give {shown(count)}"
            )
        for choices in listed:
            for field_name, values in choices.items():
                _check_values(field_name, values)
        expanded, places = [], []
        for place, choices in zip(own, listed, strict=True):
            points = list(itertools.product(*choices.values()))
            expanded += [dict(zip(choices, point, strict=True)) for point in points]
            places += [place] * len(points)
        couple = parse_couplings(name, [] if data.get("couple") is None else data["couple"])
        return cls(name, tuple(expanded), Selection.from_dict(sites), optional, couple=couple, places=tuple(places))

    def select(self, sites: Iterable[Site]) -> tuple[Site, ...]:
        """The sites that this space selects, in the backbone's order. Raises UserError where a selection is empty."""
        sites = tuple(sites)
        if not self.rows:
            chosen = {site for places in self._sites_by_insertion(sites) for site in places}
        else:
            chosen = {
                site
                for row, placements in self.rows
                for placement in placements
                for site in placement.sites.of(sites, f"row {row!r} of space {self.name!r}")
            }
        return tuple(site for site in sites if site in chosen)

    def _sites_by_insertion(self, sites: tuple[Site, ...]) -> list[tuple[Site, ...]]:
        """For each insertion the sites that may hold it."""
        places = self.places or (None,) * len(self.insertions)
        return [(place or self.sites).of(sites, f"space {self.name!r}") for place in places]

    @property
    def modules(self) -> tuple[str, ...]:
        """The distinct names of modules that the file asks for, in its order."""
        rows = (placement.insertion for _, placements in self.rows for placement in placements)
        names = (insertion.get("module") for insertion in (*self.insertions, *rows))
        return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))

    def bind(
        self, backbone: BackboneRef, sites: Iterable[Site], *, frames: int, resolution: int, resolve: Resolve | None = None
    ) -> BoundSpace:
        """Binds this space to the sites of a backbone: the distinct canonical choices at each site, and the rows, if any.

        ``resolve`` turns a choice at a site into a canonical insertion; the default knows the modules of this package. Raises
        UserError for a choice that a selected site does not accept.
        """
        resolve, sites = resolve or modules.resolve, tuple(sites)
        chosen = self.select(sites)
        rows = [(row, self._row_insertions(row, placements, sites, resolve)) for row, placements in self.rows]
        places = [] if rows else [set(places) for places in self._sites_by_insertion(sites)]
        options, choices = [], []
        for site in chosen:
            if rows:
                choices_here = [None, *(insertions.get(site.name) for _, insertions in rows)]
            else:
                resolved = [
                    (resolve(site, insertion),) if site in here else ()
                    for insertion, here in zip(self.insertions, places, strict=True)
                ]
                choices_here = [*itertools.chain(*resolved), *([None] if self.optional else [])]
            # None first, then the choices in the order of the file.
            options.append(tuple(sorted(dict.fromkeys(choices_here), key=lambda insertion: insertion is not None)))
            # Of an insertion that is for other sites, any will do: rules couple only sites of the same insertions.
            choices.append(() if rows else tuple(options[-1].index(one[0]) if one else 0 for one in resolved))
        if not rows:
            product = (self.name, backbone, frames, resolution, chosen, tuple(options))
            groups = tuple(
                group
                for number, coupling in enumerate(self.couple, start=1)
                for group in coupling.groups(chosen, f"rule {number} of `couple` of space {self.name!r}")
            )
            for group in groups:
                first, *others = ([chosen[position] in here for here in places] for position in sorted(group.sites))
                if any(other != first for other in others):
                    where = chosen[min(group.sites)].name
                    raise UserError(f"{group.rule} couples sites that may hold different insertions, such as {where}")
            is_restricted = groups or Rules(chosen, tuple(options)).inside
            return RestrictedSpace(*product, tuple(choices), self.optional, groups) if is_restricted else BoundSpace(*product)
        candidates = tuple(
            (row, Candidate(backbone, frames, resolution, tuple(insertions.items()))) for row, insertions in rows
        )
        return BoundRows(self.name, backbone, frames, resolution, chosen, tuple(options), candidates)

    def _row_insertions(
        self, name: str, placements: Iterable[Placement], sites: tuple[Site, ...], resolve: Resolve
    ) -> dict[str, Insertion]:
        """The insertions of a row by site."""
        insertions_by_site: dict[str, Insertion] = {}
        for placement in placements:
            for site in placement.sites.of(sites, f"row {name!r} of space {self.name!r}"):
                insertion = resolve(site, placement.insertion)
                if site.name in insertions_by_site:
                    raise UserError(f"row {name!r} of space {self.name!r} has two modules for site {site.name}")
                if insertion is not None:
                    insertions_by_site[site.name] = insertion
        held = [site for site in sites if site.name in insertions_by_site]
        for outer, inner in itertools.permutations(held, 2):
            if outer.holds(inner):
                where = f"{inner.name}, which is inside {outer.layer}, but that is replaced"
                raise UserError(f"row {name!r} of space {self.name!r} has a module at {where}")
        return insertions_by_site


def _parse_rows(space: str, data: Any) -> tuple[tuple[str, tuple[Placement, ...]], ...]:
    if not isinstance(data, Mapping) or not data:
        raise UserError(f"`rows` of space {space!r} must map names to lists of placements, but got {shown(data)}")
    names = [_name(name, f"the name of a row of space {space!r}") for name in data]
    if len(set(names)) < len(names):
        raise UserError(f"space {space!r} names row {next(name for name in names if names.count(name) > 1)!r} twice")
    rows = [_placements(f"row {name!r} of space {space!r}", row) for name, row in zip(names, data.values(), strict=True)]
    if sum(map(len, rows)) > MAX_PLACEMENTS:
        raise UserError(f"the rows of space {space!r} must have at most {MAX_PLACEMENTS:,} placements, but have more")
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
                parameter = name if isinstance(name, str) else shown(name)
                raise UserError(f"`{parameter}` of {row} must be one value, but got {shown(value)}")
        placements.append(Placement(Selection.from_dict(sites), insertion))
    return tuple(placements)


def _choices(insertion: Any) -> dict[str, Sequence[Any]]:
    """The list of values of each parameter."""
    if not isinstance(insertion, Mapping):
        raise UserError(f"an insertion must be a mapping with a `module`, but got {shown(insertion)}")
    for name in insertion:
        if not isinstance(name, str):
            raise UserError(f"a parameter of an insertion must have a name, but got {shown(name)}")
    return {name: value if _is_list(value) else [value] for name, value in insertion.items() if name != "sites"}


def _own_sites(space: str, insertion: Any) -> Selection | None:
    """The sites that an insertion of a space names for itself."""
    own = insertion.get("sites") if isinstance(insertion, Mapping) else None
    if own is not None and not isinstance(own, Mapping):
        fields = ", ".join(FIELDS)
        raise UserError(f"`sites` of an insertion of space {space!r} must be a mapping of {fields}, but got {shown(own)}")
    return None if own is None else Selection.from_dict(own)


def _check_values(name: str, values: Sequence[Any]) -> None:
    for value in values:
        if not isinstance(value, str | int | float | None):
            raise UserError(f"`{name}` of an insertion must be one value or a list of values, but got {shown(value)}")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _name(value: Any, what: str) -> str:
    """A name as shown in tables and file names."""
    # YAML reads names such as 2026 or 0.25 as numbers.
    name = shown(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME or printable(name) != name:
        raise UserError(f"{what} must be text of at most {_MAX_NAME} characters that can be shown, but got {shown(value)}")
    return name
