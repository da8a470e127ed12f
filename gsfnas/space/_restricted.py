"""A product of choices of which only some combinations are allowed: by rules between sites, and by bounds on costs."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gsfnas.candidate import Candidate, Insertion, Site
from gsfnas.errors import UserError
from gsfnas.space._bound import BoundSpace
from gsfnas.space._bounds import Bound, Limit
from gsfnas.space._diagram import Diagram, Point
from gsfnas.space._members import Members
from gsfnas.space._rules import Group, Rules


@dataclass(frozen=True)
class RestrictedSpace(BoundSpace):
    """The candidates of a product that keep its rules and are within the limits.

    At most one of a replaced layer and the sites inside it has a module. ``groups``, ``choices`` and ``optional`` are those of
    ``Rules``. Candidates are listed in the order of the sites, unless rules make another order of the sites easier to count.
    Creating one raises UserError if rules couple too much, or nothing is within the limits.
    """

    choices: tuple[Point, ...] = ()
    optional: bool = True
    groups: tuple[Group, ...] = ()
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        # Counted at once, so that a space without candidates is refused where it is made.
        if not self._ruled[1].size:
            cure = "set `optional` to true, or select fewer sites"
            raise UserError(f"no candidate keeps the rules between the sites of space {self.name!r}: {cure}")
        assert self._members.size

    @cached_property
    def size(self) -> int:
        """The number of candidates: exact if ``size_interval`` is None, else an estimate."""
        return self._members.size

    @property
    def size_interval(self) -> tuple[int, int] | None:
        return None if self._members.is_exact else self._members.interval

    @cached_property
    def full(self) -> Candidate:
        """The candidate with modules at as many sites as the rules allow, bounds aside; the first insertions, if possible."""
        places = dict(zip(self.sites, self.options, strict=True))
        return self._extreme(*self._ruled, lambda site, option: (option is not None, -places[site].index(option)), max)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        return tuple(limit.bound for limit in self.limits)

    def is_within(self, candidate: Candidate) -> bool:
        return not self._beyond(candidate)

    def __iter__(self) -> Iterator[Candidate]:
        """Iterates lazily over all candidates."""
        return map(self._at, self._members)

    def sample(self, generator: random.Random) -> Candidate:
        return self._at(self._members.sample(generator))

    def encode(self, candidate: Candidate) -> dict[str, int]:
        """The index of the choice at each site. Raises UserError for a candidate outside the space, with the rule or bound."""
        indices = super().encode(candidate)
        broken = self._rules.broken_by(tuple(indices.values())) or self._beyond(candidate)
        if broken:
            raise UserError(f"space {self.name!r} does not allow candidate {candidate.key}: {broken}")
        return indices

    def neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """Iterates lazily over the candidates that differ at one site, or at one group of coupled sites.

        A coupled group changes to another choice as a whole; with ``same: module``, at its sites that are not empty.
        """
        here = tuple(self.encode(candidate).values())
        found = {candidate}
        for point in self._moves(here):
            other = self._at(point)
            if other not in found and other in self:
                found.add(other)
                yield other

    def _moves(self, here: Point) -> Iterator[Point]:
        """The points that differ at one site or at one group, whether they belong to the space or not; some repeatedly."""
        for position, options in enumerate(self.options):
            for option in range(len(options)):
                yield self._with(here, {position: option})
        for group in self.groups:
            if group.same == "choice":
                yield self._with(here, dict.fromkeys(group.sites, 0))
        for tied in self._tied:
            for number in range(len(self.choices[0])):
                held = [at for at in sorted(tied) if self.options[at][here[at]] is not None]
                yield self._with(here, {position: self.choices[position][number] for position in held})
                for group in self.groups:
                    if group.same == "choice" and tied.issuperset(group.sites):
                        both = dict.fromkeys([*held, *group.sites])
                        yield self._with(here, {position: self.choices[position][number] for position in both})

    def extreme(
        self, weight: Callable[[Site, Insertion | None], tuple[int, ...]], choose: Callable[..., Any] = min
    ) -> Candidate:
        """As for a product; if the size is an estimate, only within those of the bounds that are counted exactly."""
        return self._extreme(self._members.order, self._members.diagram, weight, choose)

    def _extreme(
        self,
        order: Point,
        diagram: Diagram,
        weight: Callable[[Site, Insertion | None], tuple[int, ...]],
        choose: Callable[..., Any],
    ) -> Candidate:
        weights = [[weight(self.sites[at], option) for option in self.options[at]] for at in order]
        found = diagram.extreme(weights, choose)
        return self._at([option for _, option in sorted(zip(order, found, strict=True))])

    @cached_property
    def _tied(self) -> list[set[int]]:
        """The sites of groups that share sites, directly or through other groups."""
        tied: list[set[int]] = []
        for group in self.groups:
            joined = set(group.sites).union(*(other for other in tied if not other.isdisjoint(group.sites)))
            tied = [other for other in tied if other.isdisjoint(group.sites)] + [joined]
        return tied

    @property
    def rules_text(self) -> tuple[str, ...]:
        """Each rule between the sites in words."""
        said = {
            "choice": "the same at each or at none" if self.optional else "the same at each",
            "module": "the same at each that is not empty",
        }
        by_rule: dict[str, list[Group]] = {}
        for group in self.groups:
            by_rule.setdefault(group.rule, []).append(group)
        told = []
        for groups in by_rule.values():
            names = [self.sites[position].name for position in groups[0].sites]
            where = ", ".join(names) if len(names) <= 4 else f"{names[0]}, {names[1]} and {len(names) - 2} more"
            others = f"; and so in {len(groups) - 1} more blocks" if len(groups) > 1 else ""
            told.append(f"{said[groups[0].same]}: {where}{others}")
        outer = list(dict.fromkeys(self.sites[position].layer for position, _ in self._rules.inside))
        if outer:
            told.append(f"where one of {len(outer)} layers is replaced, as {outer[0]}, the sites inside it are empty")
        return tuple(told)

    @staticmethod
    def _with(here: Point, changes: dict[int, int]) -> Point:
        return tuple(changes.get(position, option) for position, option in enumerate(here))

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self.sites, self.options, self.groups, self.choices, self.optional)

    @cached_property
    def _ruled(self) -> tuple[Point, Diagram]:
        return self._rules.compile()

    @cached_property
    def _members(self) -> Members:
        return Members.of(self.name, *self._ruled, self.limits)

    def _at(self, point: Sequence[int]) -> Candidate:
        return self._candidate([options[option] for options, option in zip(self.options, point, strict=True)])

    def _beyond(self, candidate: Candidate) -> str | None:
        """The first bound that a candidate is not within, in words; sites may be empty even if the space does not allow it."""
        for limit in self.limits:
            held = dict(candidate.insertions)
            cost = sum(
                costs[options.index(held[site.name])]
                for site, options, costs in zip(self.sites, self.options, limit.by_site, strict=True)
                if site.name in held
            )
            if cost > limit.budget:
                return f"{limit.bound.metric} is {limit.value(cost)}, which is not within {limit.bound}"
        return None


def restricted(space: BoundSpace, limits: Sequence[Limit]) -> RestrictedSpace:
    """A product, or a restricted space, within further limits."""
    rest = {field: getattr(space, field) for field in ("choices", "optional", "groups") if isinstance(space, RestrictedSpace)}
    known = space.limits if isinstance(space, RestrictedSpace) else ()
    return RestrictedSpace(
        space.name,
        space.backbone,
        space.frames,
        space.resolution,
        space.sites,
        space.options,
        limits=(*known, *limits),
        **rest,
    )
