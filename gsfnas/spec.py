"""The specs of temporal modules: which parameters they accept, their canonical form, and their cost in closed form.

This module does not import torch. Source of the operator and its counts: Gate-Shift-Fuse, section 3.1. Where the published code
departs from the equations is described in ``gsfnas.temporal``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from gsfnas.candidate import Insertion, Kind, Site, Value
from gsfnas.errors import UserError, shown, unknown

GATES = ("learnable", "1", "-1", "0")
FUSES = ("learnable", "sum")

# The named members of the gate-shift-fuse family: name -> (gate, fuse).
FAMILY: Mapping[str, tuple[str, str]] = {
    "gsf": ("learnable", "learnable"),
    "gsm": ("learnable", "sum"),
    "tsm": ("1", "sum"),
    "tdn": ("-1", "sum"),
    "tsn": ("0", "sum"),
}


@dataclass(frozen=True)
class ModuleCost:
    """The cost that one module adds for one clip: parameters, and operations by convention (a multiply-add counts as one)."""

    params: int = 0
    macs_fvcore: int = 0
    macs_ptflops: int = 0
    activations: int = 0
    saved_bytes: int = 0


class ModuleSpec(Protocol):
    """Describes a module without building it: everything that search spaces and cost models need to know."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of site at which the module can be inserted."""

    def resolve(self, site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
        """The canonical insertion for a user's parameters, or None if the module would be the identity."""

    def check(self, site: Site, insertion: Insertion) -> None:
        """Raises UserError unless ``insertion`` is canonical and allowed at ``site``."""

    def out_channels(self, site: Site, insertion: Insertion) -> int:
        """The number of channels of the module's output."""

    def cost(self, site: Site, insertion: Insertion, frames: int) -> ModuleCost:
        """The cost for one clip of ``frames`` frames, in closed form."""


def touched_channels(channels: int, ratio: float) -> int:
    """The number of shifted channels for a ratio of ``channels``: rounded down to a multiple of 4, and at least 4.

    It must be a multiple of 4, since there are two groups and the halves of each group are interleaved. Raises UserError for a
    ratio outside (0, 1], and for fewer than 4 channels.
    """
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 < ratio <= 1:
        raise UserError(f"`ratio` must be in (0, 1], but got {shown(ratio)}")
    if channels < 4:
        raise UserError(f"two groups need at least 4 channels, but there are {channels}")
    # 400 * 0.29 is 115.99999999999999 in floating point, but 116 is meant.
    return max(4, int(channels * ratio + 1e-9) // 4 * 4)


@dataclass(frozen=True)
class Options:
    """All parameters of one gate-shift-fuse module, with defaults filled in; a switch that has no effect is off.

    ``touched`` is the number of shifted channels.
    """

    touched: int
    gate: str = "learnable"
    fuse: str = "learnable"
    gate_norm: bool = True
    bias: bool = True
    interleave: bool = True

    @classmethod
    def of(
        cls,
        touched: int,
        gate: str = "learnable",
        fuse: str = "learnable",
        gate_norm: bool | None = None,
        bias: bool | None = None,
        interleave: bool | None = None,
    ) -> Self:
        """Fills in switches that are None: as published for a learnable gate; with a fixed gate there is no interleaving."""
        learnable = _choice("gate", gate, GATES) == "learnable"
        convolves = _choice("fuse", fuse, FUSES) == "learnable" or learnable
        if touched == 4:
            # Interleaving the two channels of a group is a 2 x 1 transpose, which changes nothing.
            interleave = False
        return cls(
            touched,
            gate,
            fuse,
            gate_norm=learnable and gate_norm in (None, True),
            bias=convolves and bias in (None, True),
            interleave=learnable if interleave is None else bool(interleave),
        )

    @classmethod
    def of_insertion(cls, insertion: Insertion) -> Self:
        """The options of a canonical insertion."""
        values: dict[str, Any] = dict(insertion.parameters)
        touched = values.pop("channels")
        return cls.of(touched, **values)


@dataclass(frozen=True)
class GateShiftFuseSpec:
    """The spec of all gate-shift-fuse modules; ``FAMILY`` lists those with a name of their own.

    Canonical parameters: ``channels`` (the shifted ones) and, if they differ from the defaults, ``gate`` (default: learnable),
    ``fuse`` (default: learnable) and the switches ``gate_norm``, ``bias``, ``interleave`` (0 or 1; 1 is the published module).
    A switch that has no effect is omitted.
    """

    kinds: frozenset[Kind] = field(default=frozenset({"after", "before"}))

    def resolve(self, site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
        known = {"ratio", "channels", "gate", "fuse", "gate_norm", "bias", "interleave"}
        for name in parameters:
            if name not in known:
                raise unknown("parameter of gate_shift_fuse", name if isinstance(name, str) else shown(name), known)
        _check_kind(site, "gate_shift_fuse", self.kinds)
        gate = _choice("gate", parameters.get("gate", "learnable"), GATES)
        fuse = _choice("fuse", parameters.get("fuse", "learnable"), FUSES)
        if "channels" in parameters and "ratio" in parameters:
            raise UserError(f"{site.name}: give `ratio` or `channels`, not both")
        if "channels" in parameters:
            touched = parameters["channels"]
            if not isinstance(touched, int) or touched % 4 or not 4 <= touched <= site.channels:
                raise UserError(
                    f"{site.name}: `channels` must be a multiple of 4 from 4 to {site.channels}, but got {shown(touched)}"
                )
        else:
            try:
                touched = touched_channels(site.channels, parameters.get("ratio", 1.0))
            except UserError as error:
                raise UserError(f"{site.name}: {error}") from None
        values: dict[str, Value] = {"channels": touched}
        if gate != "learnable":
            values["gate"] = gate
        if fuse != "learnable":
            values["fuse"] = fuse
        published = int(gate == "learnable")
        if gate == "learnable" and not _switch(parameters, "gate_norm", 1):
            values["gate_norm"] = 0
        if "learnable" in (gate, fuse) and not _switch(parameters, "bias", 1):
            values["bias"] = 0
        # With 4 channels, interleaving the two channels of each group is a 2 x 1 transpose, which changes nothing.
        if touched > 4 and _switch(parameters, "interleave", published) != published:
            values["interleave"] = 1 - published
        if (gate, fuse) == FAMILY["tsn"] and "interleave" not in values:
            return None
        return Insertion.of("gate_shift_fuse", values)

    def check(self, site: Site, insertion: Insertion) -> None:
        if self.resolve(site, dict(insertion.parameters)) != insertion:
            raise UserError(f"{site.name}: {dict(insertion.parameters)} is not canonical (a default or a no-op is written out)")

    def out_channels(self, site: Site, insertion: Insertion) -> int:
        return site.channels

    def cost(self, site: Site, insertion: Insertion, frames: int) -> ModuleCost:
        """The cost for one clip of ``frames`` frames, in closed form; ``docs/operator.md`` has the conventions."""
        options = Options.of_insertion(insertion)
        touched, positions = options.touched, frames * site.height * site.width
        params = fvcore = ptflops = activations = 0
        # Numbers that the operator keeps for its backward pass: the shifted features, if they are multiplied by something that
        # was computed from them.
        saved = touched * positions if "learnable" in (options.gate, options.fuse) else 0
        if options.gate == "learnable":
            params += 27 * touched + 2 * options.bias
            fvcore += 27 * touched * positions
            ptflops += 27 * touched * positions + 2 * positions * options.bias
            activations += 2 * positions
            saved += 2 * positions  # the gating planes
            if options.gate_norm:
                params += 2 * touched
                fvcore += 2 * touched * positions
                saved += 2 * touched  # mean and variance
                # A ReLU is counted twice: as a module, and as the functional that the module calls.
                ptflops += 4 * touched * positions
        if options.fuse == "learnable":
            params += 36 + 2 * options.bias
            fvcore += 18 * touched * frames
            ptflops += (18 + options.bias) * touched * frames
            activations += touched * frames
            saved += 3 * touched * frames  # the maps of two planes, and the fusion weights
        return ModuleCost(params, fvcore, ptflops, activations, saved_bytes=4 * saved)


# Name -> spec of a module.
SPECS: Mapping[str, ModuleSpec] = {"gate_shift_fuse": GateShiftFuseSpec()}


def resolve(site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
    """The canonical insertion for ``{"module": name, ...}``, where the name is in ``SPECS`` or ``FAMILY``.

    None if the module would be the identity. Raises UserError for an unknown module or parameter, and an invalid value.
    """
    rest = dict(parameters)
    name = rest.pop("module", "gsf")
    if not isinstance(name, str):
        raise UserError(f"`module` must be the name of a module, but got {shown(name)}")
    if name not in FAMILY and name not in SPECS:
        raise unknown("module", name, [*SPECS, *FAMILY])
    if name in FAMILY:
        for part, value in zip(("gate", "fuse"), FAMILY[name], strict=True):
            if part in rest:
                raise UserError(f"module {name!r} fixes `{part}` to {value}; ask for gate_shift_fuse to choose it")
            rest[part] = value
        name = "gate_shift_fuse"
    return spec_of(name).resolve(site, rest)


def spec_of(name: str) -> ModuleSpec:
    """The spec of the module with this name. Raises UserError for an unknown name."""
    if name in FAMILY:
        gate, fuse = FAMILY[name]
        raise UserError(f"a candidate says {name!r} as module gate_shift_fuse with gate {gate}, fuse {fuse} and its `channels`")
    if name not in SPECS:
        raise unknown("module", name, SPECS)
    return SPECS[name]


def label(insertion: Insertion | None) -> str:
    """A short label for tables and figures: ``gsf:16`` is GSF on 16 channels, ``-`` is no insertion."""
    if insertion is None:
        return "-"
    values = dict(insertion.parameters)
    point = (str(values.pop("gate", "learnable")), str(values.pop("fuse", "learnable")))
    names = {pair: name for name, pair in FAMILY.items()}
    channels = values.pop("channels", "")
    rest = "".join(f",{name}={value}" for name, value in values.items())
    if insertion.module != "gate_shift_fuse":
        return f"{insertion.module}:{channels}{rest}"
    return f"{names.get(point, f'gate {point[0]} fuse {point[1]}')}:{channels}{rest}"


def _check_kind(site: Site, module: str, kinds: frozenset[Kind]) -> None:
    if site.kind not in kinds:
        raise UserError(
            f"{module} stands at sites of kind {' or '.join(sorted(kinds))}, but {site.name} is of kind {site.kind}"
        )


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    text = value if isinstance(value, str) else shown(value)
    if text not in choices:
        raise UserError(f"`{name}` must be one of {', '.join(choices)}, but got {shown(value)}")
    return text


def _switch(parameters: Mapping[str, Any], name: str, default: int) -> int:
    value = parameters.get(name, default)
    if value not in (0, 1):
        raise UserError(f"`{name}` must be 0 or 1, but got {shown(value)}")
    return int(value)
