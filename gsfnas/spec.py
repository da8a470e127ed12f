"""What a temporal module accepts, how its parameters become canonical, and what it costs in closed form. No torch here.

Source of the operator and its counts: Gate-Shift-Fuse, section 3.1; the departures of the published code from the equations
are in ``gsfnas.temporal``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from gsfnas.candidate import Insertion, Kind, Site, Value
from gsfnas.errors import UserError, shown, unknown

GATES = ("learnable", "1", "-1", "0")
FUSES = ("learnable", "sum")

# The named points of the family: (gate, fuse).
FAMILY: Mapping[str, tuple[str, str]] = {
    "gsf": ("learnable", "learnable"),
    "gsm": ("learnable", "sum"),
    "tsm": ("1", "sum"),
    "tdn": ("-1", "sum"),
    "tsn": ("0", "sum"),
}


@dataclass(frozen=True)
class ModuleCost:
    """What one module adds for a clip of T frames: parameters, and operations by convention (multiply-adds count one)."""

    params: int = 0
    macs_fvcore: int = 0
    macs_ptflops: int = 0
    activations: int = 0
    saved_bytes: int = 0


class ModuleSpec(Protocol):
    """The value side of a module: all that a space and a price need to know of it."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of site it can stand at."""

    def resolve(self, site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
        """The canonical insertion for what a user asks, or None where it changes nothing (the identity)."""

    def check(self, site: Site, insertion: Insertion) -> None:
        """Raises UserError unless ``insertion`` is canonical and can stand at ``site``."""

    def out_channels(self, site: Site, insertion: Insertion) -> int:
        """Channels of what the module returns."""

    def cost(self, site: Site, insertion: Insertion, frames: int) -> ModuleCost:
        """Closed form for one clip of ``frames`` frames."""


def touched_channels(channels: int, ratio: float) -> int:
    """How many of ``channels`` a ratio touches: rounded down to a multiple of 4, at least 4.

    Two groups whose halves are interleaved need a multiple of 4. Raises UserError for a ratio outside (0, 1] and for fewer
    than 4 channels.
    """
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 < ratio <= 1:
        raise UserError(f"`ratio` must be in (0, 1], but got {shown(ratio)}")
    if channels < 4:
        raise UserError(f"two groups need at least 4 channels, but there are {channels}")
    # 400 * 0.29 is 115.99999999999999 in floating point, and means 116.
    return max(4, int(channels * ratio + 1e-9) // 4 * 4)


@dataclass(frozen=True)
class Options:
    """Every parameter of one gate-shift-fuse module, written out; a switch that has no effect is off."""

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
        """A switch that is None is as published where the gate is learnable; a fixed gate does not interleave."""
        learnable = _choice("gate", gate, GATES) == "learnable"
        convolves = _choice("fuse", fuse, FUSES) == "learnable" or learnable
        if touched == 4:
            # Two channels of a group as a 2 x 1 transpose: it moves nothing.
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
        """Those of a canonical insertion."""
        values: dict[str, Any] = dict(insertion.parameters)
        touched = values.pop("channels")
        return cls.of(touched, **values)


@dataclass(frozen=True)
class GateShiftFuseSpec:
    """Gate, shift, fuse: the whole family, whose named points are in ``FAMILY``.

    Canonical parameters: ``channels`` (touched), then, where they differ from the defaults, ``gate`` (learnable), ``fuse``
    (learnable) and the three switches ``gate_norm``, ``bias``, ``interleave`` (0 or 1; 1 is the published module). A switch
    that has no effect is omitted.
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
        # Interleaving the two channels of each group of a 4-channel module is a 2 x 1 transpose: it moves nothing.
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
        """Closed form for one clip of ``frames`` frames; the convention of each number is in ``docs/operator.md``."""
        options = Options.of_insertion(insertion)
        touched, positions = options.touched, frames * site.height * site.width
        params = fvcore = ptflops = activations = 0
        # Numbers that the operator keeps for its backward pass: the touched features, where it multiplies by what they gave.
        saved = touched * positions if "learnable" in (options.gate, options.fuse) else 0
        if options.gate == "learnable":
            params += 27 * touched + 2 * options.bias
            fvcore += 27 * touched * positions
            ptflops += 27 * touched * positions + 2 * positions * options.bias
            activations += 2 * positions
            saved += 2 * positions  # the planes
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
            saved += 3 * touched * frames  # the maps of two planes, and the shares
        return ModuleCost(params, fvcore, ptflops, activations, saved_bytes=4 * saved)


# Modules by name.
SPECS: Mapping[str, ModuleSpec] = {"gate_shift_fuse": GateShiftFuseSpec()}


def resolve(site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
    """The canonical insertion for ``{"module": name, ...}``, where the name is a module's or a named point of the family.

    None where the module is the identity. Raises UserError for an unknown module or parameter, and a ratio that cannot be.
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
    """The spec of a module by its name. Raises UserError for a name that is none."""
    if name in FAMILY:
        gate, fuse = FAMILY[name]
        raise UserError(f"a candidate says {name!r} as module gate_shift_fuse with gate {gate}, fuse {fuse} and its `channels`")
    if name not in SPECS:
        raise unknown("module", name, SPECS)
    return SPECS[name]


def label(insertion: Insertion | None) -> str:
    """A short name for people: ``gsf:16`` is GSF on 16 channels, ``-`` is nothing."""
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
