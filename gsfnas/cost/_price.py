"""The price of a candidate: its backbone, counted once and cached, plus the closed forms of the head and the insertions.

The parts add up, because every counter sums over layers and an insertion keeps the shape of its input. Since no model is built
for a candidate, a whole space can be priced quickly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import torch

from gsfnas.backbone import backbone_sites
from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.cost._count import count_fvcore, count_ptflops
from gsfnas.cost._memory import saved_bytes
from gsfnas.cost._module import module_cost
from gsfnas.errors import UserError, unknown
from gsfnas.model import build_model, check_together, counting_form
from gsfnas.modules import ModuleCost, Output, spec_of

DEFAULT_HEADS: Mapping[str, int] = {"class": 1000}
_FIELDS = ("params", "macs_fvcore", "macs_ptflops", "activations", "saved_bytes")
_values = attrgetter(*_FIELDS)


@dataclass(frozen=True)
class Cost:
    """The price of one clip in parts: the backbone, the head, and the insertion at each site.

    The head is that of the plain network; an insertion at the consensus includes what it changes of the head, and one that
    replaces a layer is counted without that layer.
    """

    backbone: ModuleCost
    head: ModuleCost
    by_site: Mapping[str, ModuleCost]
    total: ModuleCost

    @property
    def gmacs(self) -> float:
        """fvcore's MACs in units of 10^9."""
        return self.total.macs_fvcore / 1e9

    def as_record(self) -> dict[str, int]:
        """The totals in the form stored in a record."""
        return dict(zip(_FIELDS, _values(self.total), strict=True))


class Pricer:
    """Prices candidates of one backbone, resolution and number of frames; more than 20,000 per second."""

    def __init__(self, backbone: BackboneRef, frames: int, resolution: int, heads: Mapping[str, int] = DEFAULT_HEADS) -> None:
        for task, classes in heads.items():
            if classes < 1:
                raise UserError(f"task {task!r} must have at least 1 class, but got {classes}")
        self.backbone, self.frames, self.resolution = backbone, frames, resolution
        self._sites = {site.name: site for site in backbone_sites(backbone, resolution)}
        # Of each layer that may be replaced: the sites inside it.
        inside = {
            one.name: frozenset(other.name for other in self._sites.values() if one.holds(other))
            for one in self._sites.values()
            if one.kind == "replace"
        }
        self._inside = {name: names for name, names in inside.items() if names}
        self._heads = tuple(heads.values())
        self._backbone, num_features = _backbone_cost(backbone, resolution, frames)
        self._head = _sum(_linear(num_features, classes, frames) for classes in heads.values())
        self._base = _sum([self._backbone, self._head])
        self._cache: dict[tuple[str, Insertion], ModuleCost] = {}

    def __call__(self, candidate: Candidate) -> Cost:
        """The cost of a candidate.

        Raises UserError for another backbone, resolution or number of frames, an unknown site, and a module that the site
        does not accept.
        """
        if (candidate.backbone, candidate.frames, candidate.resolution) != (self.backbone, self.frames, self.resolution):
            raise UserError(
                f"this pricer is for {self.backbone}, {self.frames} frames at {self.resolution} px, but the candidate has "
                f"{candidate.backbone}, {candidate.frames} frames at {candidate.resolution} px"
            )
        by_site = {name: self._insertion(name, insertion) for name, insertion in candidate.insertions}
        if any(not self._inside[name].isdisjoint(by_site) for name in self._inside.keys() & by_site.keys()):
            check_together(self._sites[name] for name in by_site)
        return Cost(self._backbone, self._head, by_site, _sum([self._base, *by_site.values()]))

    def _insertion(self, name: str, insertion: Insertion) -> ModuleCost:
        cost = self._cache.get((name, insertion))
        if cost is None:
            if name not in self._sites:
                raise unknown(f"site of {self.backbone}", name, self._sites)
            site = self._sites[name]
            cost = module_cost(self.backbone, site, insertion, self.frames)
            if site.kind == "consensus":
                cost = self._with_head(cost, spec_of(insertion.module).output(site, insertion, self.frames))
            self._cache[name, insertion] = cost
        return cost

    def _with_head(self, cost: ModuleCost, output: Output) -> ModuleCost:
        """The cost of a consensus, plus the change of the head that works on what it returns."""
        head = _sum(_linear(output.features, classes, output.rows) for classes in self._heads)
        return _sum([cost, head, ModuleCost(*(-value for value in _values(self._head)))])


def price(candidate: Candidate, heads: Mapping[str, int] = DEFAULT_HEADS) -> Cost:
    """The cost of one clip of ``candidate`` with these classification heads (task -> classes).

    Raises UserError as ``Pricer`` does.
    """
    return _pricer(candidate.backbone, candidate.frames, candidate.resolution, tuple(heads.items()))(candidate)


@lru_cache(maxsize=64)
def _pricer(backbone: BackboneRef, frames: int, resolution: int, heads: tuple[tuple[str, int], ...]) -> Pricer:
    return Pricer(backbone, frames, resolution, dict(heads))


@lru_cache(maxsize=64)
def _backbone_cost(backbone: BackboneRef, resolution: int, frames: int) -> tuple[ModuleCost, int]:
    """The cost of the plain backbone without a head for a clip of ``frames``, and its number of features."""
    one, num_features = _cost_of_frame(backbone, resolution)
    constant, slope = _activation_memory(backbone, resolution)
    cost = ModuleCost(
        params=one.params,
        macs_fvcore=one.macs_fvcore * frames,
        macs_ptflops=one.macs_ptflops * frames,
        activations=one.activations * frames,
        saved_bytes=constant + slope * frames,
    )
    return cost, num_features


@lru_cache(maxsize=64)
def _cost_of_frame(backbone: BackboneRef, resolution: int) -> tuple[ModuleCost, int]:
    """The cost of one frame through the plain backbone by both counters, which are linear in the number of frames."""
    model = build_model(Candidate(backbone, 1, resolution), {"class": 1})
    num_features = int(model.backbone.num_features)  # type: ignore[arg-type]
    head = _linear(num_features, 1, 1)
    clip = torch.zeros(1, 1, 3, resolution, resolution)
    params = sum(parameter.numel() for parameter in model.parameters())
    form = counting_form(model)
    fvcore = count_fvcore(form, clip)
    cost = ModuleCost(
        params=params - head.params,
        macs_fvcore=fvcore.operations - head.macs_fvcore,
        macs_ptflops=count_ptflops(form, clip) - head.macs_ptflops,
        activations=fvcore.activations - head.activations,
    )
    return cost, num_features


@lru_cache(maxsize=64)
def _activation_memory(backbone: BackboneRef, resolution: int) -> tuple[int, int]:
    """Activation memory of the plain network as a line over frames: the constant bytes, and the bytes per frame."""
    sizes = []
    for frames in (2, 3):
        model = build_model(Candidate(backbone, frames, resolution), {"class": 1}).train()
        sizes.append(saved_bytes(model, torch.zeros(1, frames, 3, resolution, resolution)))
    slope = sizes[1] - sizes[0]
    return sizes[0] - 2 * slope, slope


def _linear(features: int, classes: int, frames: int) -> ModuleCost:
    """A head's linear layer, applied to every frame. fvcore leaves its bias out, ptflops counts it."""
    return ModuleCost(
        params=(features + 1) * classes,
        macs_fvcore=frames * features * classes,
        macs_ptflops=frames * (features + 1) * classes,
        activations=frames * classes,
    )


def _sum(costs: Iterable[ModuleCost]) -> ModuleCost:
    return ModuleCost(*(sum(column) for column in zip(*map(_values, costs), strict=True)))
