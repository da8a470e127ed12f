"""Effects of options that are known beforehand must be found again."""

import numpy as np
import pytest

from gsfnas.candidate import Insertion, Site
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._effects import Factor, Run, factors_of
from gsfnas.testing import records as synthetic

NAMES = [site.name for site in synthetic.SITES]


def factors(runs: list[Run]) -> tuple[Factor, ...]:
    sites: dict[str, Site | None] = {site.name: site for site in synthetic.SITES}
    return factors_of(runs, sites, "val_top1")


def test_one_option_has_no_factor_table() -> None:
    """The shifted channels differ between sites by rounding alone: that is no option."""
    assert StudyAnalysis(synthetic.placement_study()).factors["val_top1"] == ()


def test_the_worth_of_an_option_is_found() -> None:
    """Every insertion adds 2 points, 3 more with a learnable gate, nothing by its fusion."""
    generator = np.random.default_rng(0)
    runs = []
    for _ in range(40):
        gates = generator.choice(["learnable", "1", ""], 8)
        fuses = generator.choice(["learnable", "sum"], 8)
        options = zip(gates, fuses, strict=True)
        candidate = synthetic.candidate_of(
            [{"module": "gate_shift_fuse", "gate": str(gate), "fuse": str(fuse)} if gate else None for gate, fuse in options]
        )
        top1 = 30 + sum(2 + 3 * (insertion.get("gate", "learnable") == "learnable") for _, insertion in candidate.insertions)
        runs.append(Run(candidate, {"val_top1": top1 / 100}, True))
    found = {factor.name: factor for factor in factors(runs)}
    assert set(found) == {"gate", "fuse"}
    gate = found["gate"]
    (effect,) = gate.effects
    sign = 1 if effect.name == "learnable" else -1
    assert {effect.name, gate.reference} == {"learnable", "1"}
    assert 100 * (effect.value or 0) == pytest.approx(3 * sign)
    (fuse,) = found["fuse"].effects
    assert not fuse.is_clear


def test_a_users_module_is_an_option_too() -> None:
    base = synthetic.placement(0).backbone
    assert base == synthetic.BACKBONE
    runs = []
    for number in range(6):
        insertion = Insertion.of("mine.modules:Attend" if number % 2 else "gate_shift_fuse", {"channels": 8})
        candidate = synthetic.Candidate(base, 8, 32, ((NAMES[0], insertion), (NAMES[number % 3 + 1], insertion)))
        runs.append(Run(candidate, {"val_top1": 0.4 + 0.02 * (number % 2) + 0.001 * number}, True))
    assert "module" in {factor.name for factor in factors(runs)}


def test_what_the_sampler_chose_does_not_count() -> None:
    """As long as the balanced design and the anchors are enough to tell the sites apart."""
    generator = np.random.default_rng(1)
    runs = []
    for _ in range(30):
        chosen = generator.choice(["learnable", "1", ""], 8)
        candidate = synthetic.candidate_of(
            [{"module": "gate_shift_fuse", "gate": str(gate), "fuse": "sum"} if gate else None for gate in chosen]
        )
        runs.append(Run(candidate, {"val_top1": 0.3 + 0.02 * len(candidate.insertions)}, True))
    more = [Run(run.candidate, {"val_top1": 0.9}, False) for run in runs[:8]]
    assert factors(runs + more) == factors(runs)
    assert factors(runs[:4] + more) != factors(runs[:4])
