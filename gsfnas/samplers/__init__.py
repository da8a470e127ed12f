"""Samplers propose the runs of a study. They are asked in turn, until one has a proposal."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gsfnas.component import fingerprint
from gsfnas.samplers._anchors import Anchors, anchors, distinct_candidates
from gsfnas.samplers._design import Design
from gsfnas.samplers._grid import Grid
from gsfnas.samplers._named import NamedCandidates
from gsfnas.samplers._replicates import Replicates, ReplicatesOfAll
from gsfnas.samplers._search import NSGA2, TPE, Random
from gsfnas.samplers.base import History, Proposal, Sampler
from gsfnas.space import BoundRows, BoundSpace

# The names that `sampler=` accepts: the search that follows the anchors and the initial design.
SAMPLERS: Mapping[str, str] = {
    "tpe": "gsfnas.samplers._search:TPE",
    "nsga2": "gsfnas.samplers._search:NSGA2",
    "grid": "gsfnas.samplers._grid:Grid",
    "random": "gsfnas.samplers._search:Random",
    "anchors": "gsfnas.samplers._anchors:Anchors",
    "design": "gsfnas.samplers._design:Design",
    "rows": "gsfnas.samplers._named:NamedCandidates",
    "replicates": "gsfnas.samplers._replicates:Replicates",
}


def chain(space: BoundSpace, search: Sampler, initial_fraction: float) -> tuple[Sampler, ...]:
    """The samplers of a study in the order in which they are asked.

    A search begins with the anchors and a balanced design, and ends with replicates of the anchors and the best candidate, or
    of all after a grid that says so. If the space is a list of named candidates, all are evaluated and all are replicated.
    """
    if isinstance(space, BoundRows):
        return NamedCandidates(), ReplicatesOfAll()
    replicates = ReplicatesOfAll() if isinstance(search, Grid) and search.replicate_all else Replicates()
    return Anchors(), Design(initial_fraction), search, replicates


def identity_of(sampler: Sampler) -> dict[str, Any]:
    """All that determines a sampler's proposals, as plain values: its name, non-default options, fingerprint of user code."""
    cls = type(sampler)
    shipped = {home: name for name, home in SAMPLERS.items()}
    home = f"{cls.__module__}:{cls.__qualname__}"
    fields: tuple[Any, ...] = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    options = {field.name: getattr(sampler, field.name) for field in fields} if fields else vars(sampler)
    defaults = {field.name: field.default for field in fields}
    changed = {f"sampler.{name}": value for name, value in options.items() if name not in defaults or value != defaults[name]}
    code = fingerprint(sampler)
    return {"sampler": shipped.get(home, home), **changed, **({"sampler.code": code} if code else {})}


__all__ = [
    "NSGA2",
    "SAMPLERS",
    "TPE",
    "Anchors",
    "Design",
    "Grid",
    "History",
    "NamedCandidates",
    "Proposal",
    "Random",
    "Replicates",
    "ReplicatesOfAll",
    "Sampler",
    "anchors",
    "chain",
    "distinct_candidates",
    "identity_of",
]
