"""A space on one backbone: the product of the choices at each site, so its size is a product too."""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError
from gsfnas.modules import label
from gsfnas.space._bounds import Bound

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class BoundSpace:
    """Every candidate with one of ``options[i]`` at ``sites[i]``; a site's options are distinct, with None first if present."""

    name: str
    backbone: BackboneRef
    frames: int
    resolution: int
    sites: tuple[Site, ...]
    options: tuple[tuple[Insertion | None, ...], ...]

    @cached_property
    def size(self) -> int:
        """The number of distinct candidates: exact, and instant for any number of sites."""
        return math.prod(len(options) for options in self.options)

    @property
    def size_interval(self) -> tuple[int, int] | None:
        """The 95 % interval of ``size`` if that is an estimate; None if it is exact."""
        return None

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The bounds that all candidates are within."""
        return ()

    def is_within(self, candidate: Candidate) -> bool:
        """Whether a candidate with insertions of this space is within its bounds, even if it does not belong to the space."""
        return True

    @property
    def empty(self) -> Candidate:
        """The plain 2D network without insertions (TSN), even if the space does not contain it."""
        return self._candidate([None] * len(self.sites))

    @property
    def full(self) -> Candidate:
        """The candidate with the space's first insertion at every site."""
        return self._candidate([next((o for o in options if o is not None), None) for options in self.options])

    def __iter__(self) -> Iterator[Candidate]:
        """Iterates lazily over all candidates; the last site changes fastest."""
        return (self._candidate(choice) for choice in itertools.product(*self.options))

    def __contains__(self, candidate: object) -> bool:
        if not isinstance(candidate, Candidate):
            return False
        try:
            return self.decode(self.encode(candidate)) == candidate
        except UserError:
            return False

    def sample(self, generator: random.Random) -> Candidate:
        """A random candidate, uniform over the space."""
        return self._candidate([generator.choice(options) for options in self.options])

    def suggest(self, trial: "optuna.Trial") -> Candidate:
        """Suggests the candidate of an Optuna trial: one categorical parameter per site, named after the site."""
        return self.decode(
            {
                site.name: int(trial.suggest_categorical(site.name, range(len(options))))
                for site, options in zip(self.sites, self.options, strict=True)
            }
        )

    def encode(self, candidate: Candidate) -> dict[str, int]:
        """The index of the choice at each site. Raises UserError for a candidate outside the space."""
        if (candidate.backbone, candidate.frames, candidate.resolution) != (self.backbone, self.frames, self.resolution):
            raise UserError(
                f"the space is bound to {self.backbone}, {self.frames} frames at {self.resolution} px, but the candidate has "
                f"{candidate.backbone}, {candidate.frames} frames at {candidate.resolution} px"
            )
        insertions = dict(candidate.insertions)
        indices = {}
        for site, options in zip(self.sites, self.options, strict=True):
            insertion = insertions.pop(site.name, None)
            if insertion not in options:
                raise UserError(f"space {self.name!r} does not allow {label(insertion)} at {site.name}")
            indices[site.name] = options.index(insertion)
        if insertions:
            raise UserError(f"space {self.name!r} has no site {sorted(insertions)[0]!r}")
        return indices

    def decode(self, indices: Mapping[str, int]) -> Candidate:
        """The candidate with these choices; the inverse of ``encode``."""
        return self._candidate([options[indices[site.name]] for site, options in zip(self.sites, self.options, strict=True)])

    def neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """Iterates lazily over all candidates that differ at exactly one site.

        Raises UserError for a candidate outside the space.
        """
        indices = self.encode(candidate)
        for site, options in zip(self.sites, self.options, strict=True):
            for index in range(len(options)):
                if index != indices[site.name]:
                    yield self.decode({**indices, site.name: index})

    def extreme(
        self, weight: Callable[[Site, Insertion | None], tuple[int, ...]], choose: Callable[..., Any] = min
    ) -> Candidate:
        """The candidate with the smallest sum of ``weight(site, option)``, a tuple; with ``choose=max``, the largest."""
        chosen = []
        for site, options in zip(self.sites, self.options, strict=True):
            weights = [weight(site, option) for option in options]
            chosen.append(options[choose(range(len(options)), key=weights.__getitem__)])
        return self._candidate(chosen)

    def _candidate(self, choice: "list[Insertion | None] | tuple[Insertion | None, ...]") -> Candidate:
        held = ((site.name, insertion) for site, insertion in zip(self.sites, choice, strict=True) if insertion is not None)
        return Candidate(self.backbone, self.frames, self.resolution, tuple(sorted(held)))


@dataclass(frozen=True)
class BoundRows(BoundSpace):
    """A list of named candidates instead of a product; two names may stand for the same candidate.

    ``sites`` and ``options`` are collected from all rows, so that candidates are encoded as in any other space. ``kept_within``
    are the bounds by which ``rows`` were chosen.
    """

    rows: tuple[tuple[str, Candidate], ...] = ()
    kept_within: tuple[Bound, ...] = ()

    @property
    def bounds(self) -> tuple[Bound, ...]:
        return self.kept_within

    def is_within(self, candidate: Candidate) -> bool:
        return not self.kept_within or candidate in self.candidates

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The distinct candidates, in the order of the rows."""
        return tuple(dict.fromkeys(candidate for _, candidate in self.rows))

    @cached_property
    def size(self) -> int:
        return len(self.candidates)

    @property
    def full(self) -> Candidate:
        """The first row with insertions at the most sites."""
        return max(self.candidates, key=lambda candidate: len(candidate.insertions))

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __contains__(self, candidate: object) -> bool:
        return candidate in self.candidates

    def sample(self, generator: random.Random) -> Candidate:
        return generator.choice(self.candidates)

    def suggest(self, trial: "optuna.Trial") -> Candidate:
        """Suggests the candidate of an Optuna trial: one categorical parameter, ``row``."""
        return dict(self.rows)[str(trial.suggest_categorical("row", [name for name, _ in self.rows]))]

    def encode(self, candidate: Candidate) -> dict[str, int]:
        if candidate not in self.candidates:
            raise UserError(f"space {self.name!r} has no row with candidate {candidate.key}")
        return super().encode(candidate)

    def neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """All other rows: in a list of named candidates, every row is a neighbour of every other."""
        self.encode(candidate)
        return (other for other in self.candidates if other != candidate)
