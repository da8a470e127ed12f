"""The specification of a site by its backbone, before the size of its features is known."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from gsfnas.candidate import Kind


@dataclass(frozen=True)
class SiteSpec:
    """A position for a module; ``layer`` is the dotted name of a layer that is called once per forward, on (N, C, H, W).

    ``kind`` says whether the module is after the layer, before it, or replaces it. ``name`` identifies the site in candidates;
    by default it is the layer's name, with the suffix ``.before`` or ``.replace`` for these kinds.
    """

    layer: str
    block: str
    role: str
    kind: Kind = "after"
    is_default: bool = False
    name: str = ""

    @property
    def site_name(self) -> str:
        """The name of the site, ``name`` or the default; the defaults of the two kinds of a layer differ."""
        return self.name or (self.layer if self.kind == "after" else f"{self.layer}.{self.kind}")


def around(block: str, roles: tuple[str, ...], default: str) -> list[SiteSpec]:
    """Sites before and after each layer ``block.role``, in the order of ``roles``.

    The default site is the one after the layer with the role ``default``.
    """
    return [
        place
        for role in roles
        for place in (
            SiteSpec(f"{block}.{role}", block, role, "before"),
            SiteSpec(f"{block}.{role}", block, role, "after", is_default=role == default),
        )
    ]


def derived_places(network: nn.Module, places: Iterable[SiteSpec]) -> list[SiteSpec]:
    """The places that follow from a network's site specs: replaced layers, and after, before or instead of blocks and stages.

    A block is a layer that a site spec names as its block; a stage is a sequence of layers that has such blocks. Whether a
    module can stand there is found out when the network runs.
    """
    places = list(places)
    found = [
        SiteSpec(place.layer, place.block, place.role, "replace") for place in {place.layer: place for place in places}.values()
    ]
    layers = dict(network.named_modules())
    blocks = [block for block in dict.fromkeys(place.block for place in places) if block and block in layers]
    parents = dict.fromkeys(block.rpartition(".")[0] for block in blocks)
    stages = [stage for stage in parents if stage and isinstance(layers[stage], nn.Sequential)]
    for role, names in (("block", blocks), ("stage", stages)):
        found += [place for name in names for place in _around_layer(name, role)]
    return found


def _around_layer(layer: str, role: str) -> Iterator[SiteSpec]:
    kinds: tuple[Kind, ...] = ("before", "after", "replace")
    return (SiteSpec(layer, layer, role, kind) for kind in kinds)
