"""Rules between the sites of a space: coupled sites hold the same, and what is inside a replaced layer is empty.

A rule ``couple`` of a space's file selects sites and says what is the same at them. With ``same: choice`` each of them holds
the same insertion of the file, or each is empty. With ``same: module`` those that are not empty hold the same insertion of the
file. An insertion of the file is resolved at each site, so a share of the channels may be another number of channels. The rule
holds for all selected sites of the network, or, with ``within: block``, for those of each block.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

from gsfnas.candidate import Insertion, Site
from gsfnas.errors import UserError, shown, unknown
from gsfnas.space._diagram import MAX_ENTRIES, Diagram, Point
from gsfnas.space._selection import FIELDS, Selection

Same = Literal["choice", "module"]
Within = Literal["network", "block"]
_MAX_RULES = 100


@dataclass(frozen=True)
class Group:
    """Sites, by their positions in a space, of which a rule says what is the same; ``rule`` names it in messages."""

    rule: str
    same: Same
    sites: tuple[int, ...]


@dataclass(frozen=True)
class Coupling:
    """One rule of ``couple``."""

    sites: Selection
    same: Same
    within: Within = "network"

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parses ``role``, ``pattern``, ``kind``, ``same`` and ``within``; without the first three, all sites are selected.

        Raises UserError for any other field or value.
        """
        if not isinstance(data, Mapping):
            raise UserError(f"a rule of `couple` must be a mapping of sites and `same`, but got {shown(data)}")
        fields = (*FIELDS, "same", "within")
        for field in data:
            if field not in fields:
                raise unknown("field of a rule of `couple`", field if isinstance(field, str) else shown(field), fields)
        same, within = data.get("same"), data.get("within", "network")
        for field, value, choices in (("same", same, get_args(Same)), ("within", within, get_args(Within))):
            if not isinstance(value, str) or value not in choices:
                raise UserError(f"`{field}` of a rule of `couple` must be {' or '.join(choices)}, but got {shown(value)}")
        selection = Selection.from_dict({field: data[field] for field in FIELDS if field in data})
        if data.get("role") is None:
            selection = dataclasses.replace(selection, roles=())
        return cls(selection, same, within)  # type: ignore[arg-type]

    def groups(self, sites: Sequence[Site], rule: str) -> tuple[Group, ...]:
        """The groups of two or more of a space's sites. Raises UserError if no site is selected."""
        is_everywhere = not (self.sites.roles or self.sites.patterns or self.sites.kind)
        chosen = set(sites if is_everywhere else self.sites.of(sites, rule))
        by_block: dict[str, list[int]] = {}
        for position, site in enumerate(sites):
            if site in chosen:
                by_block.setdefault(site.block if self.within == "block" else "", []).append(position)
        return tuple(Group(rule, self.same, tuple(group)) for group in by_block.values() if len(group) > 1)


def parse_couplings(space: str, data: Any) -> tuple[Coupling, ...]:
    """The rules of ``couple``. Raises UserError for what is no list of rules."""
    if not isinstance(data, Sequence) or isinstance(data, str | bytes):
        raise UserError(f"`couple` of space {space!r} must be a list of rules, but got {shown(data)}")
    if len(data) > _MAX_RULES:
        raise UserError(f"`couple` of space {space!r} must have at most {_MAX_RULES} rules, but has {len(data)}")
    return tuple(Coupling.from_dict(rule) for rule in data)


@dataclass(frozen=True)
class Rules:
    """The rules of a space on a backbone.

    ``choices[i][k]`` is the option that insertion k of the file resolves to at site i; ``optional`` is whether a site may be
    empty whatever the file lists. Both matter for ``groups`` alone.
    """

    sites: tuple[Site, ...]
    options: tuple[tuple[Insertion | None, ...], ...]
    groups: tuple[Group, ...] = ()
    choices: tuple[Point, ...] = ()
    optional: bool = True

    @cached_property
    def inside(self) -> list[tuple[int, int]]:
        """The pairs of positions (a site that may be replaced, a site inside it) of which only one may have a module."""
        filled = [position for position, options in enumerate(self.options) if any(option is not None for option in options)]
        outer = [position for position in filled if self.sites[position].kind == "replace"]
        return [(one, other) for one in outer for other in filled if self.sites[one].holds(self.sites[other])]

    def broken_by(self, point: Point) -> str | None:
        """What is wrong with a point of the product (an option for each site) in words; None if it keeps all rules."""
        for outer, inner in self.inside:
            if self.options[outer][point[outer]] is not None and self.options[inner][point[inner]] is not None:
                return (
                    f"{self.sites[inner].name} must be empty, since it is inside {self.sites[outer].layer}, which is replaced"
                )
        for group in self.groups:
            kept = self._all_choices
            for position in group.sites:
                kept &= self._allowed(group, position, point[position])
            if not kept:
                names = ", ".join(self.sites[position].name for position in group.sites[:3])
                more = ", ..." if len(group.sites) > 3 else ""
                return f"{group.rule} asks for the same {group.same} at {names}{more}"
        return None

    def compile(self) -> tuple[Point, Diagram]:
        """The positions in the order of a diagram's levels, and the diagram of all points that keep the rules.

        Raises UserError, naming a rule, if the rules tie so many sites together that the diagram would be too large.
        """
        found = self._compiled(self.groups)
        if found is not None:
            return found
        count = next(number for number in range(len(self.groups) + 1) if self._compiled(self.groups[:number]) is None)
        rule = self.groups[count - 1].rule if count else "the sites inside replaced layers"
        size = f"its candidates cannot be counted with {MAX_ENTRIES:,} table entries"
        raise UserError(f"{rule} couples sites that other rules couple in another way, so {size}; leave one of them out")

    def _compiled(self, groups: Sequence[Group]) -> tuple[Point, Diagram] | None:
        for first in ([group for group in groups if group.same == "choice"], groups):
            order = self._order(first)
            diagram = self._diagram(order, groups)
            if diagram is not None:
                return order, diagram
        return None

    def _order(self, first: Sequence[Group]) -> Point:
        """Groups one after the other, then each site that may be replaced before all that is inside it.

        So a diagram has few nodes: what is decided last about a group or a layer comes soon after what is decided first.
        """
        parents: dict[int, int] = {}
        for outer, inner in self.inside:
            known = parents.get(inner)
            if known is None or len(self.sites[known].layer) < len(self.sites[outer].layer):
                parents[inner] = outer
        children: dict[int | None, list[int]] = {}
        for position in range(len(self.sites)):
            children.setdefault(parents.get(position), []).append(position)
        order = dict.fromkeys(position for group in first for position in group.sites)
        waiting = children.get(None, [])[::-1]
        while waiting:
            position = waiting.pop()
            order.setdefault(position)
            waiting.extend(reversed(children.get(position, [])))
        return tuple(order)

    def _diagram(self, order: Point, groups: Sequence[Group]) -> Diagram | None:
        """A state is the set of later levels that must be empty, and for each group the choices that its sites can still share.

        Both are bits of an integer. A group whose sites are all decided has no bits, so that equal states are equal.
        """
        level_of = {position: level for level, position in enumerate(order)}
        excluded = [0] * len(order)
        for pair in self.inside:
            for one, other in (pair, pair[::-1]):
                excluded[level_of[one]] |= 1 << level_of[other]
        later = [-1 << (level + 1) for level in range(len(order))]
        last = [max(level_of[position] for position in group.sites) for group in groups]
        at_level: list[list[tuple[int, list[int]]]] = [[] for _ in order]
        for number, group in enumerate(groups):
            for position in group.sites:
                allowed = [self._allowed(group, position, option) for option in range(len(self.options[position]))]
                at_level[level_of[position]].append((number, allowed))

        def step(level: int, state: tuple[int, tuple[int, ...]], option: int) -> tuple[int, tuple[int, ...]] | None:
            empty, kept = state
            if self.options[order[level]][option] is not None:
                if empty >> level & 1:
                    return None
                empty |= excluded[level]
            if at_level[level]:
                left = list(kept)
                for number, allowed in at_level[level]:
                    now = left[number] & allowed[option]
                    if not now:
                        return None
                    left[number] = 0 if level == last[number] else now
                kept = tuple(left)
            return empty & later[level], kept

        return Diagram.build([len(self.options[position]) for position in order], (0, (self._all_choices,) * len(groups)), step)

    @cached_property
    def _all_choices(self) -> int:
        """One bit for each insertion of the file, and one for none."""
        return (2 << len(self.choices[0])) - 1 if self.choices else 0

    def _allowed(self, group: Group, position: int, option: int) -> int:
        """The choices, as bits, that are possible for a group when one of its sites holds ``option``."""
        none = 1 << len(self.choices[position])
        bits = sum(1 << number for number, choice in enumerate(self.choices[position]) if choice == option)
        if self.options[position][option] is not None or not self.optional:
            return bits
        return self._all_choices if group.same == "module" else bits | none
