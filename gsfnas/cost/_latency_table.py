"""Predicts the latency of a candidate on one device before it is evaluated: a table of measured parts, summed.

    latency(candidate) = latency(backbone) + sum over its insertions of (latency(backbone with that one) - latency(backbone))

After the lookup table of FBNet (Wu et al., CVPR 2019, section 3.2). There the parts are operators that run alone. Here a part
is what one insertion adds to the whole network, since that depends on what stands before and behind it; so it also works for
insertions that replace a layer. The sum still ignores what insertions cost each other.

For each insertion the network with it and the plain one run in turns, so that a slow spell of the machine falls on both. The
fastest pass counts, since all that disturbs a pass makes it longer. Measurements are kept in the cache folder, one file
for each set of ``Conditions``.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

import torch

import gsfnas
from gsfnas import checked
from gsfnas.candidate import Candidate, Insertion
from gsfnas.component import fingerprint, is_outside, load
from gsfnas.cost._latency import processor, timing
from gsfnas.errors import UserError
from gsfnas.files import CannotWriteError, default_cache, read_text, write
from gsfnas.metrics import LATENCY_ESTIMATE
from gsfnas.model import build_model
from gsfnas.seeds import digest
from gsfnas.space import BoundRows, BoundSpace

_FORMAT = 2
# Estimates are multiples of this part of a millisecond: sums of floats are then exact, in any order.
_PARTS_OF_MS = 1024
_PRECISION = "float32"
# Passes of each network: so many, or as fit into so many seconds, but at least a few; on a busy machine up to _PATIENCE s.
_WARM_UP, _ROUNDS, _MIN_ROUNDS, _SECONDS, _PATIENCE = 3, 40, 10, 1.5, 6.0
# Passes are disturbed if half of them take this many times as long as the fastest, or longer.
_DISTURBED = 1.5
_SAY_SECONDS = 10.0

Say = Callable[[str], None]
# A site's name, and what stands there.
Part = tuple[str, Insertion]


@dataclass(frozen=True)
class Conditions:
    """What a table holds for: where and with which code it was measured. All but the versions are shown to users."""

    device: str
    threads: int
    precision: str
    gsfnas: str
    torch: str

    def __str__(self) -> str:
        return f"{self.device}, {self.threads} thread{'' if self.threads == 1 else 's'}, {self.precision}"

    @classmethod
    def here(cls, device: str) -> "Conditions":
        """Those of a device of this machine; a CPU is named by its model."""
        target = torch.device(device)
        name = torch.cuda.get_device_name(target) if target.type == "cuda" else f"{target.type} ({processor()})"
        return cls(name, torch.get_num_threads(), _PRECISION, gsfnas.__version__, version("torch"))


@dataclass(frozen=True)
class LatencyEstimate:
    """Estimates candidates of one space: the latency of the plain backbone, and what each insertion at a site adds to it."""

    backbone_ms: float
    added_ms: Mapping[Part, float]

    def __call__(self, candidate: Candidate) -> dict[str, float]:
        """``latency_estimate_ms`` of a candidate, whose insertions must all be of the space."""
        return {LATENCY_ESTIMATE: self.backbone_ms + sum(self.added_ms[part] for part in candidate.insertions)}

    def to_json(self) -> dict[str, float]:
        """The measured parts by name, in milliseconds, as a study keeps them; the plain backbone has an empty name."""
        return {"": self.backbone_ms} | {_part_name(part): ms for part, ms in self.added_ms.items()}

    @classmethod
    def from_json(cls, value: Any, space: BoundSpace) -> Self | None:
        """What ``to_json`` has returned, for a space; None if it is not complete for that space, or damaged."""
        names = {part: _part_name(part) for part in parts_of(space)}
        try:
            known = checked.mapping(value, "latency_parts")
            ms = {name: float(checked.number(checked.field(known, name), name)) for name in ("", *names.values())}
        except UserError:
            return None
        return cls(ms[""], {part: ms[name] for part, name in names.items()})


@dataclass(frozen=True)
class LatencyTable:
    """The measurements on one device. ``heads`` are the (task, classes) pairs of the networks, ``folder`` that of the cache."""

    heads: tuple[tuple[str, int], ...]
    device: str
    folder: Path | None = None

    @cached_property
    def conditions(self) -> Conditions:
        return Conditions.here(self.device)

    @property
    def path(self) -> Path:
        """The file of the measurements under these conditions."""
        folder = default_cache() if self.folder is None else self.folder
        return folder / "latency" / f"{digest(asdict(self.conditions))}.json"

    def estimate(self, space: BoundSpace, say: Say) -> LatencyEstimate:
        """The estimates for a space; measures what the file lacks of it, in this process, and says how far it is.

        Measure while nothing else runs on the machine. Of two processes that measure the same, the values of the first stay.
        Raises UserError if a network cannot be built.
        """
        plain = space.empty
        parts = {part: Candidate(plain.backbone, plain.frames, plain.resolution, (part,)) for part in parts_of(space)}
        names = {candidate: self._name(candidate) for candidate in (plain, *parts.values())}
        known = read_table(self.path, self.conditions)
        missing = [candidate for candidate, name in names.items() if name not in known]
        if missing:
            known = self._measure(plain, missing, names, known, say)
        rounded = {name: round(known[name] * _PARTS_OF_MS) / _PARTS_OF_MS for name in names.values()}
        return LatencyEstimate(rounded[names[plain]], {part: rounded[names[one]] for part, one in parts.items()})

    def _measure(
        self, plain: Candidate, missing: Sequence[Candidate], names: Mapping[Candidate, str], known: dict[str, float], say: Say
    ) -> dict[str, float]:
        """Measures the missing parts one after the other; what is done is kept even if this is interrupted."""
        say(f"measuring the latency of {len(missing)} parts of the networks, for {LATENCY_ESTIMATE} ({self.conditions})")
        found: dict[str, float] = {}
        calm: dict[str, float] = {}
        latest = time.monotonic()
        try:
            for number, candidate in enumerate(missing, start=1):
                part = self._part(plain, candidate)
                name, plain_name = names[candidate], names[plain]
                if candidate == plain:
                    found[name] = part.value
                else:
                    found[name] = (part.value - 1) * (found | known)[plain_name]
                # A share of a disturbed time is rough, too.
                if part.is_calm and (candidate == plain or plain_name in calm | known):
                    calm[name] = found[name]
                if time.monotonic() - latest > _SAY_SECONDS:
                    latest = time.monotonic()
                    say(f"measured {number} of {len(missing)} parts")
        finally:
            others = known | read_table(self.path, self.conditions)
            try:
                write_table(self.path, self.conditions, calm | others)
            except CannotWriteError as error:
                say(f"the latencies of the parts are measured again next time: {error}")
        if num_disturbed := len(found) - len(calm):
            say(
                f"the estimates are rough: something else was running on this machine, which disturbed {num_disturbed} of "
                f"{len(missing)} measurements; another study measures these again"
            )
        return found | others

    def _part(self, plain: Candidate, candidate: Candidate) -> "_Measured":
        """How many times as long as the plain network the one with one insertion takes; for the plain one, its milliseconds.

        Both run in turns, so that a device that is slower for a while is so for both.
        """
        if candidate == plain:
            (passes,) = self._passes(plain)
            return _Measured(min(passes), _is_calm(passes))
        without, with_it = self._passes(plain, candidate)
        return _Measured(min(with_it) / min(without), _is_calm(without) and _is_calm(with_it))

    def _passes(self, *candidates: Candidate) -> list[tuple[float, ...]]:
        """Milliseconds of the passes of each network, which run in turns; more of them while something disturbs them."""
        models = [build_model(candidate, dict(self.heads)) for candidate in candidates]
        rounds: list[list[float]] = []
        with timing(self.device, candidates[0].frames, candidates[0].resolution, _PRECISION) as times:
            for model in models:
                times(model, _WARM_UP)
            started = time.monotonic()
            is_enough = False
            while not is_enough:
                rounds.append([times(model, 1)[0] for model in models])
                took, passes = time.monotonic() - started, list(zip(*rounds, strict=True))
                is_done = len(rounds) >= _ROUNDS or took > _SECONDS
                is_enough = len(rounds) >= _MIN_ROUNDS and (took > _PATIENCE or (is_done and all(map(_is_calm, passes))))
        return passes

    def _name(self, candidate: Candidate) -> str:
        """The name of a measurement: the candidate's key, the heads, and fingerprints of code from outside this package."""
        codes = [fingerprint(load(name, "backbone")) for name in [candidate.backbone.name] if is_outside(name)]
        modules = [insertion.module for _, insertion in candidate.insertions if is_outside(insertion.module)]
        codes += [fingerprint(load(name, "module", is_value=True)) for name in modules]
        heads = ",".join(f"{task}={classes}" for task, classes in self.heads)
        return "+".join([f"{candidate.key} {heads}", *(code for code in codes if code)])


class _Measured(NamedTuple):
    """A measurement; ``is_calm`` is false if something else disturbed it."""

    value: float
    is_calm: bool


def _is_calm(passes: Sequence[float]) -> bool:
    return median(passes) < _DISTURBED * min(passes)


def _part_name(part: Part) -> str:
    return f"{part[0]} {part[1]}"


def parts_of(space: BoundSpace) -> tuple[Part, ...]:
    """The distinct (site, insertion) pairs of a space's candidates, in the order of its sites."""
    if isinstance(space, BoundRows):
        held: Iterable[Part] = (part for candidate in space.candidates for part in candidate.insertions)
    else:
        pairs = zip(space.sites, space.options, strict=True)
        held = ((site.name, one) for site, options in pairs for one in options if one is not None)
    return tuple(dict.fromkeys(held))


def read_table(path: Path, conditions: Conditions) -> dict[str, float]:
    """Name -> milliseconds, as ``write_table`` has written them; empty if there is no such file, or it is damaged."""
    try:
        values = checked.mapping(json.loads(read_text(path)), "the table")
        if values.get("format") != _FORMAT or values.get("conditions") != asdict(conditions):
            return {}
        found: dict[str, Any] = checked.mapping(checked.field(values, "milliseconds"), "milliseconds")
        return {name: float(checked.number(value, name)) for name, value in found.items()}
    except (UserError, ValueError, RecursionError):
        return {}


def write_table(path: Path, conditions: Conditions, milliseconds: Mapping[str, float]) -> None:
    """Writes a table atomically. Raises CannotWriteError if that fails."""
    values = {"format": _FORMAT, "conditions": asdict(conditions), "milliseconds": dict(sorted(milliseconds.items()))}
    write(path, json.dumps(values, indent=1) + "\n")
