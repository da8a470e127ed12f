"""The spec of gate-shift-fuse: the parameters that it accepts, their canonical form, and its cost in closed form.

This module does not import torch. Source of the operator and its counts: Gate-Shift-Fuse, section 3.1. Where the published code
departs from the equations is described in ``network.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from gsfnas.candidate import Insertion, Kind, Site, Value
from gsfnas.errors import UserError, shown, unknown
from gsfnas.modules.base import ModuleCost, ModuleSpec, PublishedForm, check_kind

if TYPE_CHECKING:
    from torch import nn

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


def shifted_channels(channels: int, ratio: float) -> int:
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

    ``num_shifted`` is the number of shifted channels.
    """

    num_shifted: int
    gate: str = "learnable"
    fuse: str = "learnable"
    gate_norm: bool = True
    bias: bool = True
    interleave: bool = True

    @classmethod
    def of(
        cls,
        num_shifted: int,
        gate: str = "learnable",
        fuse: str = "learnable",
        gate_norm: bool | None = None,
        bias: bool | None = None,
        interleave: bool | None = None,
    ) -> Self:
        """Fills in switches that are None: as published for a learnable gate; with a fixed gate there is no interleaving."""
        learnable = _choice("gate", gate, GATES) == "learnable"
        convolves = _choice("fuse", fuse, FUSES) == "learnable" or learnable
        if num_shifted == 4:
            # Interleaving the two channels of a group is a 2 x 1 transpose, which changes nothing.
            interleave = False
        return cls(
            num_shifted,
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
        num_shifted = values.pop("channels")
        return cls.of(num_shifted, **values)


class GateShiftFuseSpec(ModuleSpec):
    """The spec of all gate-shift-fuse modules; ``FAMILY`` lists those with a name of their own.

    Canonical parameters: ``channels`` (the shifted ones) and, if they differ from the defaults, ``gate`` (default: learnable),
    ``fuse`` (default: learnable) and the switches ``gate_norm``, ``bias``, ``interleave`` (0 or 1; 1 is the published module).
    A switch that has no effect is omitted.
    """

    name = "gate_shift_fuse"
    kinds: frozenset[Kind] = frozenset({"after", "before"})
    aliases: Mapping[str, Mapping[str, Value]] = {name: {"gate": gate, "fuse": fuse} for name, (gate, fuse) in FAMILY.items()}

    def resolve(self, site: Site, parameters: Mapping[str, Any]) -> Insertion | None:
        known = {"ratio", "channels", "gate", "fuse", "gate_norm", "bias", "interleave"}
        for name in parameters:
            if name not in known:
                raise unknown("parameter of gate_shift_fuse", name if isinstance(name, str) else shown(name), known)
        check_kind(site, self.name, self.kinds)
        gate = _choice("gate", parameters.get("gate", "learnable"), GATES)
        fuse = _choice("fuse", parameters.get("fuse", "learnable"), FUSES)
        if "channels" in parameters and "ratio" in parameters:
            raise UserError(f"{site.name}: give `ratio` or `channels`, not both")
        if "channels" in parameters:
            num_shifted = parameters["channels"]
            if not isinstance(num_shifted, int) or num_shifted % 4 or not 4 <= num_shifted <= site.channels:
                raise UserError(
                    f"{site.name}: `channels` must be a multiple of 4 from 4 to {site.channels}, but got {shown(num_shifted)}"
                )
        else:
            try:
                num_shifted = shifted_channels(site.channels, parameters.get("ratio", 1.0))
            except UserError as error:
                raise UserError(f"{site.name}: {error}") from None
        values: dict[str, Value] = {"channels": num_shifted}
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
        if num_shifted > 4 and _switch(parameters, "interleave", published) != published:
            values["interleave"] = 1 - published
        if (gate, fuse) == FAMILY["tsn"] and "interleave" not in values:
            return None
        return Insertion.of("gate_shift_fuse", values)

    def build(
        self, site: Site, insertion: Insertion, frames: int, *, layer: "nn.Module | None" = None, inplace: bool = False
    ) -> "nn.Module":
        from gsfnas.modules.gate_shift_fuse.network import GateShiftFuse

        options = vars(Options.of_insertion(insertion))
        return GateShiftFuse(site.channels, frames, inplace=inplace, **options)

    def cost(self, site: Site, insertion: Insertion, frames: int) -> ModuleCost:
        """The cost for one clip of ``frames`` frames, in closed form; ``docs/operator.md`` has the conventions."""
        options = Options.of_insertion(insertion)
        num_shifted, positions = options.num_shifted, frames * site.height * site.width
        params = fvcore = ptflops = activations = 0
        # Numbers that the operator keeps for its backward pass: the shifted features, if they are multiplied by something that
        # was computed from them.
        saved = num_shifted * positions if "learnable" in (options.gate, options.fuse) else 0
        if options.gate == "learnable":
            params += 27 * num_shifted + 2 * options.bias
            fvcore += 27 * num_shifted * positions
            ptflops += 27 * num_shifted * positions + 2 * positions * options.bias
            activations += 2 * positions
            saved += 2 * positions  # the gating planes
            if options.gate_norm:
                params += 2 * num_shifted
                fvcore += 2 * num_shifted * positions
                saved += 2 * num_shifted  # mean and variance
                # A ReLU is counted twice: as a module, and as the functional that the module calls.
                ptflops += 4 * num_shifted * positions
        if options.fuse == "learnable":
            params += 36 + 2 * options.bias
            fvcore += 18 * num_shifted * frames
            ptflops += (18 + options.bias) * num_shifted * frames
            activations += num_shifted * frames
            saved += 3 * num_shifted * frames  # the maps of two planes, and the fusion weights
        return ModuleCost(params, fvcore, ptflops, activations, saved_bytes=4 * saved)

    def published(self) -> Sequence[PublishedForm]:
        from gsfnas.modules.gate_shift_fuse.published import FORMS

        return FORMS

    def label(self, insertion: Insertion) -> str:
        """``gsf:16`` for GSF on 16 channels; a mixture without a name is written out."""
        values = dict(insertion.parameters)
        point = (str(values.pop("gate", "learnable")), str(values.pop("fuse", "learnable")))
        names = {pair: name for name, pair in FAMILY.items()}
        channels = values.pop("channels", "")
        rest = "".join(f",{name}={value}" for name, value in values.items())
        return f"{names.get(point, f'gate {point[0]} fuse {point[1]}')}:{channels}{rest}"

    def options(self, site: Site | None, insertion: Insertion) -> Mapping[str, str | float]:
        levels: dict[str, str | float] = {"gate": "learnable", "fuse": "learnable"}
        for name, value in insertion.parameters:
            if name != "channels":
                levels[name] = str(value)
            elif site is not None and isinstance(value, int):
                levels[name] = round(value / site.channels, 3)
        return levels


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


SPEC = GateShiftFuseSpec()
