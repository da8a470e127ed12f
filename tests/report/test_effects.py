"""Effects that are known beforehand must be found again; what cannot be known must not be claimed."""

import numpy as np
import pytest
from scipy import stats

from gsfnas.candidate import Insertion, Site
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._effects import Effects, Run, effects_of
from gsfnas.testing import records as synthetic

NAMES = [site.name for site in synthetic.SITES]


def effects(runs: list[Run]) -> Effects:
    sites: dict[str, Site | None] = {site.name: site for site in synthetic.SITES}
    return effects_of(runs, sites, "val_top1")


def design_runs(noise: float = 0.0) -> list[Run]:
    generator = np.random.default_rng(1)
    candidates = [synthetic.placement(), *synthetic.design()]
    return [Run(one, {"val_top1": (synthetic.top1_of(one) + noise * generator.normal()) / 100}, True) for one in candidates]


def test_without_noise_the_worth_of_each_site_is_found_exactly() -> None:
    found = effects(design_runs())
    assert found.is_least_squares
    assert [effect.name for effect in found.sites] == NAMES
    assert [100 * (effect.value or 0) for effect in found.sites] == pytest.approx(synthetic.WORTH)
    assert found.residual_std == pytest.approx(0, abs=1e-9)


def test_intervals_are_those_of_ordinary_least_squares() -> None:
    runs = design_runs(noise=1.0)
    found = effects(runs)
    held = [{name for name, _ in run.candidate.insertions} for run in runs]
    design = np.array([[1.0, *(float(name in sites) for name in NAMES)] for sites in held])
    values = np.array([run.metrics["val_top1"] for run in runs])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ values
    freedom = len(runs) - 9
    variance = ((values - design @ coefficients) ** 2).sum() / freedom
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance * np.diag(inverse))
    assert found.freedom == freedom
    for index, effect in enumerate(found.sites, start=1):
        assert effect.value == pytest.approx(coefficients[index])
        assert (effect.low, effect.high) == pytest.approx(
            (coefficients[index] - half[index], coefficients[index] + half[index])
        )


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        runs = [
            Run(one, {"val_top1": (synthetic.top1_of(one) + generator.normal()) / 100}, True)
            for one in [synthetic.placement(), *synthetic.design()]
        ]
        pairs = zip(effects(runs).sites, synthetic.WORTH, strict=True)
        covered += sum((effect.low or 0) <= worth / 100 <= (effect.high or 0) for effect, worth in pairs)
    assert 0.91 <= covered / (60 * 8) <= 0.985


def test_what_the_sampler_chose_does_not_count() -> None:
    chosen = [Run(synthetic.placement(index), {"val_top1": 0.99}, False) for index in range(8)]
    assert effects(design_runs() + chosen).sites == effects(design_runs()).sites


def test_too_few_runs_fall_back_to_differences_of_means() -> None:
    # Nine parameters: eleven runs are enough, ten are not.
    assert effects(design_runs()[:11]).is_least_squares
    found = effects(design_runs()[:10])
    assert found.method == "difference of means"
    assert found.source == "all complete runs"
    first = found.sites[3]
    runs = design_runs()[:10]
    with_it = [run.metrics["val_top1"] for run in runs if NAMES[3] in dict(run.candidate.insertions)]
    without = [run.metrics["val_top1"] for run in runs if NAMES[3] not in dict(run.candidate.insertions)]
    assert first.value == pytest.approx(np.mean(with_it) - np.mean(without))
    assert first.low is not None
    assert first.high is not None
    assert first.low < np.mean(with_it) - np.mean(without) < first.high
    assert found == effects(runs)


def test_sites_that_always_go_together_are_not_told_apart() -> None:
    runs = [run for run in design_runs() for _ in range(2)]
    joined = [
        Run(synthetic.placement(*(index for index in range(8) if index // 2 % 2 == number % 2)), run.metrics, True)
        for number, run in enumerate(runs)
    ]
    assert not effects(joined).is_least_squares


def test_two_anchors_say_nothing_about_a_site() -> None:
    found = StudyAnalysis(synthetic.anchors_study()).effects["val_top1"]
    assert all(effect.value is None and effect.low is None for effect in found.sites)
    assert not any(effect.is_clear for effect in found.sites)


def test_the_synthetic_study_finds_its_strongest_site() -> None:
    found = StudyAnalysis(synthetic.placement_study()).effects["val_top1"]
    assert found.is_least_squares
    assert max(found.sites, key=lambda effect: effect.value or 0).name == NAMES[3]


def test_one_option_has_no_factor_table() -> None:
    """The shifted channels differ between sites by rounding alone: that is no option."""
    assert StudyAnalysis(synthetic.placement_study()).effects["val_top1"].factors == ()


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
    factors = {factor.name: factor for factor in effects(runs).factors}
    assert set(factors) == {"gate", "fuse"}
    gate = factors["gate"]
    (effect,) = gate.effects
    sign = 1 if effect.name == "learnable" else -1
    assert {effect.name, gate.reference} == {"learnable", "1"}
    assert 100 * (effect.value or 0) == pytest.approx(3 * sign)
    (fuse,) = factors["fuse"].effects
    assert not fuse.is_clear


def test_a_users_module_is_an_option_too() -> None:
    base = synthetic.placement(0).backbone
    assert base == synthetic.BACKBONE
    runs = []
    for number in range(6):
        insertion = Insertion.of("mine.modules:Attend" if number % 2 else "gate_shift_fuse", {"channels": 8})
        candidate = synthetic.Candidate(base, 8, 32, ((NAMES[0], insertion), (NAMES[number % 3 + 1], insertion)))
        runs.append(Run(candidate, {"val_top1": 0.4 + 0.02 * (number % 2) + 0.001 * number}, True))
    assert "module" in {factor.name for factor in effects(runs).factors}
