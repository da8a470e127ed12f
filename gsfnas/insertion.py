"""Modules at the sites of a network: as children of the layers that they stand at, or in the place of a layer.

A layer with a module after or before it is of a subclass of its own class, which runs the module after (or before) what the
class does: compilers, tracers, printing and copies see the module in its place, and the layer keeps its parameters and their
names. A module that replaces a layer takes its name in the network.
"""

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import Tensor, nn

from gsfnas.candidate import Site
from gsfnas.errors import UserError, unknown

KINDS = ("after", "before", "replace")


class Inserted:
    """A module at a site of a network; ``module`` can be exchanged.

    ``place`` is the module's name in the network: ``layer1.0.conv1.after``, or the layer's own where it replaces the layer.
    """

    def __init__(self, site: Site, module: nn.Module, network: nn.Module) -> None:
        self.site, self._network = site, network
        if site.kind == "replace":
            self.place = site.layer
            self.module = module
            return
        layer = _occupy(network.get_submodule(site.layer))
        names = itertools.chain([site.kind], (f"{site.kind}_{number}" for number in itertools.count(2)))
        slot = next(name for name in names if not hasattr(layer, name))
        self.place = f"{site.layer}.{slot}"
        layer.add_module(slot, module)
        layer.slots[site.kind].append(slot)

    @property
    def module(self) -> nn.Module:
        return self._network.get_submodule(self.place)

    @module.setter
    def module(self, module: nn.Module) -> None:
        before = self.module
        if isinstance(before, Occupied):
            # It replaced a layer, and there are modules after or before it.
            _occupy(module).slots = before.slots
            for slot in itertools.chain(*before.slots.values()):
                module.add_module(slot, before.get_submodule(slot))
        parent, _, name = self.place.rpartition(".")
        setattr(self._network.get_submodule(parent), name, module)

    def remove(self) -> None:
        """Takes the module away. What replaces a layer cannot be removed, since the layer is gone."""
        layer = self._network.get_submodule(self.site.layer)
        assert isinstance(layer, Occupied)
        slot = self.place.rpartition(".")[2]
        delattr(layer, slot)
        layer.slots[self.site.kind].remove(slot)
        if not any(layer.slots.values()):
            _vacate(layer)


def insert(backbone: nn.Module, modules: Mapping[Site, nn.Module]) -> tuple[Inserted, ...]:
    """Lets each module run at its site; the network's own parameter names stay as they are. In the order of ``modules``.

    Raises UserError for a site whose layer the network has not, or whose kind has no place in a backbone.
    """
    layers = dict(backbone.named_modules())
    for site in modules:
        if site.kind not in KINDS:
            kinds = ", ".join(KINDS)
            raise UserError(f"a site in a backbone is of kind {kinds}, but site {site.name} is of kind {site.kind}")
        if site.layer not in layers:
            raise unknown("layer", site.layer, layers)
    # First what replaces layers, so that what is after or before them belongs to what stands there then.
    order = sorted(modules, key=lambda site: site.kind != "replace")
    found = {site: Inserted(site, modules[site], backbone) for site in order}
    return tuple(found[site] for site in modules)


def take_apart(network: nn.Module) -> None:
    """Puts in the place of each layer with modules a chain of those before it, the layer as it was, and those after it.

    For tools that go by the exact class of a layer. Parameters are named otherwise then.
    """
    for name, layer in list(network.named_children()):
        take_apart(layer)
        if isinstance(layer, Occupied):
            slots = layer.slots
            before, after = ([layer.get_submodule(slot) for slot in slots[kind]] for kind in ("before", "after"))
            for slot in (*slots["before"], *slots["after"]):
                delattr(layer, slot)
            _vacate(layer)
            setattr(network, name, nn.Sequential(*before, layer, *after))


class Occupied(nn.Module):
    """What a layer's class becomes a subclass of; ``slots`` names the children that run before and after it, in this order."""

    vacant: type[nn.Module]
    slots: dict[str, list[str]]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        for name in self.slots["before"]:
            x = self._modules[name](x)  # type: ignore[misc]
        out = self._own(x, *args, **kwargs)
        for name in self.slots["after"]:
            out = self._modules[name](out)  # type: ignore[misc]
        return out

    def _own(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return super().forward(x, *args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copies and pickles name the class that the layer had; this one is made anew."""
        return _made, (self.vacant,), self.__dict__


class _OccupiedSequential(Occupied):
    """A container runs its children one after the other; those that are inserted have their own turn."""

    def _own(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        inserted = {name for names in self.slots.values() for name in names}
        for name, child in self._modules.items():
            if name not in inserted:
                x = child(x)  # type: ignore[misc]
        return x


def _occupy(layer: Any) -> Any:
    """Makes the layer, in place, one that modules can stand after and before."""
    if not isinstance(layer, Occupied):
        vacant: Any = type(layer)
        layer.__class__ = _occupied(vacant)
        layer.slots = {"before": [], "after": []}
    return layer


@cache
def _occupied(vacant: Any) -> Any:
    how = _OccupiedSequential if vacant.forward is nn.Sequential.forward else Occupied
    return type(vacant.__name__, (how, vacant), {"vacant": vacant, "__module__": __name__})


def _made(vacant: Any) -> Any:
    made = _occupied(vacant)
    return made.__new__(made)


def _vacate(layer: Occupied) -> None:
    vacant: Any = layer.vacant
    del layer.slots
    layer.__class__ = vacant
