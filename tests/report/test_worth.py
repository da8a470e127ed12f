"""What sites are worth: found where it is known beforehand, undecided where it cannot be known."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from gsfnas.candidate import Candidate
from gsfnas.report._analysis import StudyAnalysis
from gsfnas.report._worth import MAX_RUNS, Run, Worth, worth_of
from gsfnas.report.sections.pairs import Pairs
from gsfnas.testing import records as synthetic

NAMES = [site.name for site in synthetic.SITES]


def runs_of(number: int, noise: float, seed: int = 0) -> list[Run]:
    """Random placements with accuracies whose worths are ``synthetic.WORTH``, in points."""
    generator = np.random.default_rng(seed)
    held = [np.flatnonzero(generator.random(8) < 0.5) for _ in range(number)]
    candidates = [synthetic.placement(*map(int, one)) for one in held]
    return [Run(one, (synthetic.top1_of(one) + noise * generator.normal()) / 100) for one in candidates]


def worth(runs: list[Run], asked: Candidate | None = None) -> Worth:
    return worth_of(runs, NAMES, asked=asked)


def test_without_noise_the_worth_of_each_site_is_found() -> None:
    found = worth(runs_of(40, 0.0))
    assert [effect.name for effect in found.sites] == NAMES
    assert [100 * (effect.value or 0) for effect in found.sites] == pytest.approx(synthetic.WORTH, abs=0.2)
    assert all(effect.is_clear for effect in found.sites)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = wrong = 0
    for seed in range(25):
        for effect, true in zip(worth(runs_of(24, 5.0, seed)).sites, synthetic.WORTH, strict=True):
            assert effect.low is not None
            assert effect.high is not None
            covered += effect.low <= true / 100 <= effect.high
            wrong += effect.is_clear and (effect.value or 0) * true < 0
    assert 0.91 <= covered / 200 <= 0.98
    assert wrong / 200 <= 0.025


def test_more_runs_make_intervals_narrower_and_say_how_many_are_needed() -> None:
    few, many = worth(runs_of(16, 6.0)), worth(runs_of(160, 6.0))
    widths = [np.median([(one.high or 0) - (one.low or 0) for one in found.sites]) for found in (few, many)]
    assert widths[1] < widths[0] / 2
    assert len(many.decided) > len(few.decided)
    assert set(few.more_runs) <= {effect.name for effect in few.sites if not effect.is_clear}
    # A site with an interval twice as wide as it may be takes three times as many runs again.
    name = next(iter(few.more_runs))
    effect = next(one for one in few.sites if one.name == name)
    ratio = ((effect.high or 0) - (effect.low or 0)) / 2 / abs(effect.value or 0)
    assert few.more_runs[name] == pytest.approx(16 * (ratio**2 - 1), abs=1)


def test_sites_that_only_help_together_show_in_their_pair() -> None:
    generator = np.random.default_rng(3)
    runs = []
    for _ in range(60):
        held = {int(index) for index in np.flatnonzero(generator.random(8) < 0.5)}
        value = 0.5 + 0.2 * ({0, 1} <= held) + 0.03 * (4 in held) + 0.01 * generator.normal()
        runs.append(Run(synthetic.placement(*sorted(held)), value))
    found = worth(runs)
    assert found.model != "additive"
    assert found.pairs[0].name == f"{NAMES[0]} + {NAMES[1]}"
    assert found.pairs[0].is_clear
    assert (found.pairs[0].low or 0) < 0.2 < (found.pairs[0].high or 0) + 0.03
    # Alone half of it: in half of the placements the other is there.
    assert found.sites[0].value == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_a_few_runs_say_nothing_about_a_site(number: int) -> None:
    found = worth(runs_of(number, 1.0))
    assert found.model == ""
    assert all(effect.value is None and not effect.is_clear for effect in found.sites)


def test_a_site_that_always_or_never_holds_a_module_is_not_told() -> None:
    runs = [run for run in runs_of(200, 1.0) if dict(run.candidate.insertions).keys() & {NAMES[2]}]
    found = worth([run for run in runs if NAMES[3] not in dict(run.candidate.insertions)])
    assert [effect.value is None for effect in found.sites] == [name in NAMES[2:4] for name in NAMES]
    assert not any(NAMES[2] in effect.name for effect in found.pairs)


def test_sites_that_always_go_together_are_not_told_apart() -> None:
    runs = []
    for run in runs_of(40, 1.0):
        held = {NAMES.index(name) for name, _ in run.candidate.insertions}
        both = {index for index in held if index > 1} | ({0, 1} if 0 in held else set())
        runs.append(Run(synthetic.placement(*sorted(both)), run.value))
    first, second, third = worth(runs).sites[:3]
    width = [(one.high or 0) - (one.low or 0) for one in (first, second, third)]
    assert width[0] > 1.5 * width[2]
    assert width[1] > 1.5 * width[2]


def test_the_same_runs_give_the_same_numbers() -> None:
    runs = runs_of(20, 3.0)
    assert worth(runs, runs[0].candidate) == worth(runs, runs[0].candidate)


def test_runs_without_a_value_are_left_out() -> None:
    runs = runs_of(20, 3.0)
    assert worth([*runs, replace(runs[0], value=float("nan"))]) == worth(runs)


def test_very_many_runs_take_a_part_of_them() -> None:
    found = worth(runs_of(MAX_RUNS + 50, 3.0))
    assert found.runs == MAX_RUNS


def test_certainty_grows_with_the_lead_and_names_the_likeliest() -> None:
    placements = list(itertools.islice(itertools.product((0, 1), repeat=4), 16))
    runs, best = [], synthetic.placement(0, 1, 2, 3)
    for held in placements:
        candidate = synthetic.placement(*(index for index in range(4) if held[index]))
        runs.append(Run(candidate, 0.5 + 0.08 * sum(held)))
    clear = worth_of(runs, NAMES[:4], asked=best).certainty
    assert clear is not None
    assert clear.is_best > 0.95
    generator = np.random.default_rng(0)
    noisy = [replace(run, value=run.value + 0.15 * generator.normal()) for run in runs]
    unclear = worth_of(noisy, NAMES[:4], asked=best).certainty
    assert unclear is not None
    assert unclear.is_best < 0.9
    assert unclear.is_best <= unclear.is_near
    assert clear.likeliest == best
    assert clear.likeliest_is_best == clear.is_best
    assert unclear.likeliest_is_best >= unclear.is_best


def test_lower_is_better_for_a_loss() -> None:
    runs = [Run(run.candidate, 1.5 - run.value) for run in runs_of(40, 0.3)]
    best = min(runs, key=lambda run: run.value).candidate
    found = worth_of(runs, NAMES, is_fraction=False, is_higher_better=False, asked=best).certainty
    worst = worth_of(runs, NAMES, is_fraction=False, is_higher_better=True, asked=best).certainty
    assert found is not None
    assert worst is not None
    assert found.is_best > 0.2 > worst.is_best


def test_the_synthetic_study_finds_its_strongest_site() -> None:
    analysis = StudyAnalysis(synthetic.placement_study())
    assert analysis.worth.decided[0].name == NAMES[3]
    assert analysis.worth.runs == 29
    assert Pairs().applies(analysis)
    assert not Pairs().applies(StudyAnalysis(synthetic.anchors_study()))
