"""Modules at the sites of a network, as children of the layers that they stand at.

A layer with a module is of a subclass of its own class, which runs the module after (or before) what the class does: compilers,
tracers, printing and copies see the module in its place, and the layer keeps its parameters and their names.
"""

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import Tensor, nn

from gsfnas.candidate import Site
from gsfnas.errors import UserError, unknown

KINDS = ("after", "before")


class Inserted:
    """A module that runs at a site of a network; ``module`` can be exchanged, ``remove()`` takes it away."""

    def __init__(self, site: Site, module: nn.Module, layer: nn.Module) -> None:
        self.site = site
        self._layer = layer
        if not isinstance(layer, Occupied):
            found: Any = layer
            vacant: Any = type(layer)
            found.__class__ = _occupied(vacant)
            found.slots = {kind: [] for kind in KINDS}
        names = itertools.chain([site.kind], (f"{site.kind}_{number}" for number in itertools.count(2)))
        self.slot = next(name for name in names if not hasattr(layer, name))
        layer.add_module(self.slot, module)
        self._slots.append(self.slot)

    @property
    def _slots(self) -> list[str]:
        names: list[str] = self._layer.slots[self.site.kind]  # type: ignore[index, assignment]
        return names

    @property
    def module(self) -> nn.Module:
        return self._layer.get_submodule(self.slot)

    @module.setter
    def module(self, module: nn.Module) -> None:
        setattr(self._layer, self.slot, module)

    def remove(self) -> None:
        delattr(self._layer, self.slot)
        self._slots.remove(self.slot)
        assert isinstance(self._layer, Occupied)
        if not any(self._layer.slots.values()):
            _vacate(self._layer)


def insert(backbone: nn.Module, modules: Mapping[Site, nn.Module]) -> tuple[Inserted, ...]:
    """Lets each module run at its site, a child of the site's layer; the network's own parameter names stay as they are.

    Raises UserError for a site whose layer the network has not, or whose kind cannot be inserted at.
    """
    layers = dict(backbone.named_modules())
    for site in modules:
        if site.layer not in layers:
            raise unknown("layer", site.layer, layers)
        if site.kind not in KINDS:
            raise UserError(f"modules are inserted {' or '.join(KINDS)} a layer, but site {site.name} is of kind {site.kind}")
    return tuple(Inserted(site, module, layers[site.layer]) for site, module in modules.items())


def take_apart(network: nn.Module) -> None:
    """Puts in the place of each layer with modules a chain of those before it, the layer as it was, and those after it.

    For tools that go by the exact class of a layer. Parameters are named otherwise then.
    """
    for name, layer in list(network.named_children()):
        take_apart(layer)
        if isinstance(layer, Occupied):
            slots = layer.slots
            before, after = ([layer.get_submodule(slot) for slot in slots[kind]] for kind in KINDS[::-1])
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
