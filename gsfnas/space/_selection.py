"""Selects sites of a backbone by role, pattern and kind."""

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from gsfnas.candidate import Site
from gsfnas.errors import UserError, shortened, shown, unknown

FIELDS = ("role", "pattern", "kind")

# A site's name has some 20 characters. Matching takes time in proportion to patterns x sites, more with many stars.
_MAX_NAMES = 100
_MAX_LENGTH = 100


@dataclass(frozen=True)
class Selection:
    """The sites with one of the ``roles``, matching one of the ``patterns``, and of the ``kind``.

    The role ``default`` means the backbone's default sites; patterns are shell patterns over site names. An empty field does
    not filter. Blocks and stages are selected by their role alone, replaced layers by their kind, the consensus by its role or
    kind, and each of them by its whole name; so patterns such as ``layer1.*`` mean places after and before layers.
    """

    roles: tuple[str, ...] = ("default",)
    patterns: tuple[str, ...] = ()
    kind: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Parses ``role``, ``pattern`` (each one name or a list) and ``kind``.

        Raises UserError for any other field, and for a value that is not a name.
        """
        for field in data:
            if field not in FIELDS:
                raise unknown("field of a space's sites", field if isinstance(field, str) else shown(field), FIELDS)
        kind = data.get("kind")
        if kind is not None and not isinstance(kind, str):
            raise UserError(f"`kind` of a space's sites must be one kind, but got {shown(kind)}")
        patterns = _names(data.get("pattern"), "pattern")
        return cls(_names(data.get("role"), "role") or (() if patterns else ("default",)), patterns, kind)

    def of(self, sites: Iterable[Site], asker: str) -> tuple[Site, ...]:
        """The selected ones of ``sites``, in order. Raises UserError, naming ``asker``, if there are none."""
        sites = tuple(sites)
        chosen = tuple(site for site in sites if self._selects(site))
        if not chosen:
            anywhere = dataclasses.replace(self, patterns=())
            named = [site.name for site in sites if anywhere._selects(site)]
            if named:
                some = ", ".join(named[:4]) + (", ..." if len(named) > 4 else "")
                raise UserError(f"no site of {asker} matches {shortened(', '.join(self.patterns))} (sites: {some})")
            roles = sorted({site.role for site in sites} | {"default" for site in sites if site.is_default})
            asked = shortened(", ".join(self.roles) + (f" of kind {self.kind}" if self.kind else ""))
            raise UserError(f"{asker} asks for sites {asked}, but the backbone has none (roles: {', '.join(roles)})")
        return chosen

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(fnmatch.translate(pattern)) for pattern in self.patterns)

    def _selects(self, site: Site) -> bool:
        if site.name not in self.patterns and not self._asks_for(site):
            return False
        role = not self.roles or site.role in self.roles or (site.is_default and "default" in self.roles)
        pattern = not self.patterns or any(pattern.match(site.name) for pattern in self._compiled)
        return role and pattern and self.kind in (None, site.kind)

    def _asks_for(self, site: Site) -> bool:
        """Whether the role and the kind may mean a site that is no plain one after or before a layer."""
        if site.kind == "consensus":
            return self.kind == "consensus" or "consensus" in self.roles
        is_layer = site.role not in ("block", "stage") or site.role in self.roles
        return is_layer and (site.kind != "replace" or self.kind == "replace")


def _names(value: Any, field: str) -> tuple[str, ...]:
    """Parses one name or a list of names."""
    names = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or isinstance(names, bytes) or not all(isinstance(name, str) for name in names):
        raise UserError(f"`{field}` of a space's sites must be a name or a list of names, but got {shown(value)}")
    if len(names) > _MAX_NAMES or any(len(name) > _MAX_LENGTH for name in names):
        most = f"at most {_MAX_NAMES} names of at most {_MAX_LENGTH} characters"
        raise UserError(f"`{field}` of a space's sites has {most}, but got {shown(value)}")
    return tuple(names)
