"""The interface of temporal modules: a spec, which describes a module without building it, and builds it when asked.

This file does not import torch, and neither may the file of a spec at its top.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gsfnas.candidate import Insertion, Kind, Site, Value
from gsfnas.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModuleCost:
    """The cost that one module adds for one clip: parameters, and operations by convention (a multiply-add counts as one)."""

    params: int = 0
    macs_fvcore: int = 0
    macs_ptflops: int = 0
    activations: int = 0
    saved_bytes: int = 0


class Output(NamedTuple):
    """What a module at the consensus returns for one clip: the number of rows, and the features of each."""

    rows: int
    features: int


class PublishedForm(Protocol):
    """How published code stores a module in its state dicts, so that ``gsfnas weights import`` finds the module in them.

    A module with tensors of its own is found by their names (``find``); one without, by the attribute under which it keeps the
    layer at its site (``wrapper``). ``title`` is its name in messages, and ``assumption`` a clause on what the state dict does
    not record. ``parts`` says which published tensors, concatenated along the first axis, are each of the module's tensors.
    """

    kind: Kind
    title: str = "a module"
    wrapper: str = ""
    assumption: str = ""
    parts: Mapping[str, tuple[str, ...]] = {}

    def find(self, name: str) -> tuple[str, str] | None:
        """The layer at the module's site, and the part, of a published tensor of it (without the network's prefix), or None."""
        return None

    @abstractmethod
    def guess(self, site: Site, shapes: Mapping[str, tuple[int, ...]]) -> Insertion | None:
        """The insertion that parts of these shapes belong to; None if it is the identity. Raises UserError if it is none."""
        ...


class ModuleSpec(Protocol):
    """Describes a module: its parameters, the sites that accept it, its canonical form, its cost, and how it is built.

    ``name`` is stored in candidates: a shipped name or, for a module from outside, ``package.module:OBJECT``. ``kinds`` are the
    kinds of site where it can stand. ``aliases`` are other names that users may ask for, each with the parameters it fixes.
    """

    name: str
    kinds: frozenset[Kind]
    aliases: Mapping[str, Mapping[str, Value]] = {}

    @abstractmethod
    def resolve(self, site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
        """The canonical insertion for a user's parameters, or None if the module would be the identity.

        A canonical insertion has integers and strings as values and omits defaults. Resolving its parameters again must give
        the same insertion. Raises UserError for an unknown parameter, an invalid value, and a site that does not accept the
        module.
        """
        ...

    @abstractmethod
    def build(
        self, site: Site, insertion: Insertion, frames: int, *, layer: "nn.Module | None" = None, inplace: bool = False
    ) -> "nn.Module":
        """The module of a canonical insertion: (N, C, H, W) -> the same shape, N = clips x frames; the frames of a clip follow
        each other.

        At a site of kind ``replace``, ``layer`` is what stood there, with its weights; the module may contain it, and returns
        features of the shape that it returned. At the consensus, the module gets (N, F) and returns what ``output`` says.
        ``inplace`` allows it to overwrite its input. If the module has a method ``counting_form()``, it returns a module with
        equal outputs, made of layers that operation counters know.
        """
        ...

    def check(self, site: Site, insertion: Insertion) -> None:
        """Raises UserError unless ``insertion`` is canonical and allowed at ``site``."""
        if self.resolve(site, dict(insertion.parameters)) != insertion:
            raise UserError(f"{site.name}: {dict(insertion.parameters)} is not canonical (a default or a no-op is written out)")

    def cost(self, site: Site, insertion: Insertion, frames: int) -> ModuleCost | None:
        """The cost for one clip of ``frames`` frames in closed form; None to have it counted on the module itself."""
        return None

    def published(self) -> Sequence[PublishedForm]:
        """How published code stores this module; empty by default: its weights are then read under the names here alone."""
        return ()

    def output(self, site: Site, insertion: Insertion, frames: int) -> Output:
        """At the consensus: what the module returns for one clip. By default, ``site.channels`` features for each frame."""
        return Output(frames, site.channels)

    def label(self, insertion: Insertion) -> str:
        """A short label for tables and figures: a name, a colon, and what distinguishes the insertion from others, if any."""
        return plain_label(insertion)

    def options(self, site: Site | None, insertion: Insertion) -> Mapping[str, str | float]:
        """All parameters of an insertion for statistics, defaults written out; channels as a share of the site's."""
        return plain_options(insertion)


def plain_label(insertion: Insertion) -> str:
    """The label of a module that has none of its own: its name, and all its parameters."""
    values = ",".join(f"{name}={value}" for name, value in insertion.parameters)
    return f"{insertion.module}:{values}" if values else insertion.module


def plain_options(insertion: Insertion) -> Mapping[str, str | float]:
    """The stored parameters of an insertion as text."""
    return {name: str(value) for name, value in insertion.parameters}


def check_kind(site: Site, module: str, kinds: frozenset[Kind]) -> None:
    """Raises UserError if a site is of none of ``kinds``."""
    if site.kind not in kinds:
        raise UserError(
            f"{module} stands at sites of kind {' or '.join(sorted(kinds))}, but {site.name} is of kind {site.kind}"
        )
