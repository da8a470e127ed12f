"""Which of a backbone's sites: by role, by pattern, by kind."""

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from gsfnas.candidate import Site
from gsfnas.errors import UserError, unknown

FIELDS = ("role", "pattern", "kind")


@dataclass(frozen=True)
class Selection:
    """Sites by role or pattern: those of one of the ``roles`` that match one of the ``patterns`` and are of the ``kind``.

    ``default`` is the role of every site that its backbone marks so; patterns are shell patterns over site names. What is empty
    selects nothing away.
    """

    roles: tuple[str, ...] = ("default",)
    patterns: tuple[str, ...] = ()
    kind: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The selection of ``role``, ``pattern`` (each one or a list) and ``kind``. Raises UserError for another field."""
        for field in data:
            if field not in FIELDS:
                raise unknown("field of a space's sites", str(field), FIELDS)
        patterns = _strings(data.get("pattern"))
        return cls(_strings(data.get("role")) or (() if patterns else ("default",)), patterns, data.get("kind"))

    def of(self, sites: Iterable[Site], asker: str) -> tuple[Site, ...]:
        """Those of ``sites`` that are selected, in order. Raises UserError, which names ``asker``, where there is none."""
        sites = tuple(sites)
        chosen = tuple(site for site in sites if self._wants(site))
        if not chosen:
            named = [site.name for site in sites if dataclasses.replace(self, patterns=())._wants(site)]
            if named:
                some = ", ".join(named[:4]) + (", ..." if len(named) > 4 else "")
                raise UserError(f"no site of {asker} matches {', '.join(self.patterns)} (sites: {some})")
            roles = sorted({site.role for site in sites} | {"default" for site in sites if site.is_default})
            asked = ", ".join(self.roles) + (f" of kind {self.kind}" if self.kind else "")
            raise UserError(f"{asker} asks for sites {asked}, but the backbone has none (roles: {', '.join(roles)})")
        return chosen

    def _wants(self, site: Site) -> bool:
        role = not self.roles or site.role in self.roles or (site.is_default and "default" in self.roles)
        pattern = not self.patterns or any(fnmatch.fnmatchcase(site.name, pattern) for pattern in self.patterns)
        return role and pattern and self.kind in (None, site.kind)


def _strings(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)
