"""A search space as its YAML file says it: which sites, and what may stand at each."""

import dataclasses
import fnmatch
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from gsfnas import spec
from gsfnas.candidate import BackboneRef, Insertion, Site
from gsfnas.errors import UserError, unknown
from gsfnas.space._bound import BoundSpace

Resolve = Callable[[Site, Mapping[str, Any]], Insertion | None]


@dataclass(frozen=True)
class Space:
    """Sites by role or pattern, and the insertions each may hold.

    ``roles`` and ``patterns`` (shell patterns over site names) each select where given; a site is in the space if it is of one
    of the roles (``default`` is every site that its backbone marks so), matches one of the patterns and is of the kind.
    ``insertions`` are the choices in order, the first being what the full candidate holds everywhere. With ``optional`` a site
    may stay empty.
    """

    name: str
    insertions: tuple[Mapping[str, Any], ...]
    roles: tuple[str, ...] = ("default",)
    patterns: tuple[str, ...] = ()
    kind: str | None = None
    optional: bool = True

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The space of a YAML mapping; a list in an insertion stands for one choice an element, lists for their product.

        Raises UserError for a field that is none, and for a space without an insertion.
        """
        if not isinstance(data, Mapping):
            raise UserError(f"a space must be a mapping of name, sites and insertions, but got {type(data).__name__}")
        fields = {"name", "sites", "insertions", "optional"}
        for field in data:
            if field not in fields:
                raise unknown("field of a space", str(field), fields)
        sites = data.get("sites") or {}
        if not isinstance(sites, Mapping):
            raise UserError(f"`sites` of a space must be a mapping of role, pattern or kind, but got {sites!r}")
        for field in sites:
            if field not in {"role", "pattern", "kind"}:
                raise unknown("field of a space's sites", str(field), {"role", "pattern", "kind"})
        insertions = data.get("insertions")
        if not isinstance(insertions, Sequence) or isinstance(insertions, str) or not insertions:
            raise UserError(f"space {data.get('name')!r} must list at least one insertion, but got {insertions!r}")
        expanded = tuple(choice for insertion in insertions for choice in _product(insertion))
        if not expanded:
            raise UserError(f"space {data.get('name')!r} must list at least one insertion, but each has an empty list")
        patterns = _strings(sites.get("pattern"))
        return cls(
            name=str(data.get("name", "space")),
            insertions=expanded,
            roles=_strings(sites.get("role")) or (() if patterns else ("default",)),
            patterns=patterns,
            kind=sites.get("kind"),
            optional=bool(data.get("optional", True)),
        )

    def select(self, sites: Iterable[Site]) -> tuple[Site, ...]:
        """The sites that this space speaks of, in the backbone's order. Raises UserError where there is none."""
        sites = tuple(sites)
        chosen = tuple(site for site in sites if self._wants(site))
        if not chosen:
            named = [site.name for site in sites if dataclasses.replace(self, patterns=())._wants(site)]
            if named:
                some = ", ".join(named[:4]) + (", ..." if len(named) > 4 else "")
                raise UserError(f"no site of space {self.name!r} matches {', '.join(self.patterns)} (sites: {some})")
            roles = sorted({site.role for site in sites} | {"default" for site in sites if site.is_default})
            asked = ", ".join(self.roles) + (f" of kind {self.kind}" if self.kind else "")
            raise UserError(
                f"space {self.name!r} asks for sites {asked}, but the backbone has none (roles: {', '.join(roles)})"
            )
        return chosen

    def _wants(self, site: Site) -> bool:
        role = not self.roles or site.role in self.roles or (site.is_default and "default" in self.roles)
        pattern = not self.patterns or any(fnmatch.fnmatchcase(site.name, pattern) for pattern in self.patterns)
        return role and pattern and self.kind in (None, site.kind)

    def bind(
        self, backbone: BackboneRef, sites: Iterable[Site], *, frames: int, resolution: int, resolve: Resolve | None = None
    ) -> BoundSpace:
        """This space on one backbone's sites: each site's distinct canonical choices.

        ``resolve`` turns a choice at a site into a canonical insertion; the default knows the modules of this package. Raises
        UserError for a choice that cannot stand at a selected site.
        """
        resolve = resolve or spec.resolve
        chosen = self.select(sites)
        options = []
        for site in chosen:
            here = [resolve(site, insertion) for insertion in self.insertions]
            distinct = list(dict.fromkeys(here))
            if self.optional and None not in distinct:
                distinct.append(None)
            # Nothing comes first, then the choices as the file orders them.
            options.append(tuple(sorted(distinct, key=lambda insertion: insertion is not None)))
        return BoundSpace(self.name, backbone, frames, resolution, chosen, tuple(options))


def _strings(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


def _product(insertion: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(insertion, Mapping):
        raise UserError(f"an insertion must be a mapping with a `module`, but got {insertion!r}")
    names = list(insertion)
    values = [value if isinstance(value, Sequence) and not isinstance(value, str) else [value] for value in insertion.values()]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*values)]
