"""The model of accuracy against formulas that do not share its code, and against data that are drawn from it."""

import numpy as np
import pytest
from scipy import special, stats

from gsfnas.surrogate import FAMILIES, NOISE_SHARES, PARAMETERS, Surrogate, kernel, logit, surrogates


def placements(sites: int) -> np.ndarray:
    return np.array(list(np.ndindex(*[2] * sites)))


def some_runs(seed: int = 0, number: int = 18, sites: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    choices = generator.integers(0, 3, (number, sites))
    # Replicates: the first three rows again.
    choices = np.concatenate([choices, choices[:3], choices[:1]])
    values = 0.6 + 0.05 * (choices[:, 0] > 0) + 0.1 * (choices[:, 1] == 2) + generator.normal(0, 0.02, len(choices))
    return choices, values


def log_evidence(family: str, parameter: float, noise: float, choices: np.ndarray, values: np.ndarray) -> float:
    """By numerical integration over mean and scale, on a fine grid, up to a constant."""
    covariance = (1 - noise) * kernel(family, parameter, choices, choices) + noise * np.eye(len(values))
    inverse, (_, determinant) = np.linalg.inv(covariance), np.linalg.slogdet(covariance)
    means = np.linspace(values.mean() - 3, values.mean() + 3, 1201)
    scales = np.exp(np.linspace(-8, 4, 1201))
    residual = values[None] - means[:, None]
    squares = np.einsum("mi,ij,mj->m", residual, inverse, residual)
    # The prior of the scale is 1/scale, so uniform in its logarithm.
    log_likelihood = -0.5 * squares[:, None] / scales**2 - len(values) * np.log(scales) - 0.5 * determinant
    return float(special.logsumexp(log_likelihood))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kernel_is_a_correlation(family: str) -> None:
    points = placements(4)
    for parameter in PARAMETERS[family]:
        found = kernel(family, parameter, points, points)
        assert np.diag(found) == pytest.approx(np.ones(16))
        assert np.linalg.eigvalsh(found).min() > -1e-9
        assert found == pytest.approx(found.T)
        # Two that differ everywhere are least alike.
        assert found[0].argmin() == 15


def test_the_evidence_is_the_integral_over_mean_and_scale() -> None:
    choices, values = some_runs(number=8)
    values = values * 10
    fit = Surrogate("pairwise", choices, values, are_fractions=False)
    grid = [(one.parameter, one.noise) for one in fit._all[::7]]
    found = np.array([one.evidence for one in fit._all[::7]])
    expected = np.array([log_evidence("pairwise", *one, choices, values) for one in grid])
    assert found - found[0] == pytest.approx(expected - expected[0], abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_left_out_is_predicted_as_if_it_had_never_run(family: str) -> None:
    """The closed form against a second fit without the candidate's runs, replicates too."""
    choices, values = some_runs()
    fit = Surrogate(family, choices, values)
    for index in (0, 1, 7):
        candidate = fit.candidates[index]
        others = ~(choices == candidate).all(axis=1)
        assert (~others).sum() == (3 if index == 0 else 2 if index == 1 else 1)
        rest = Surrogate(family, choices[others], values[others])
        share = special.softmax([one.evidence for one in rest._all])
        means = []
        for one in rest._all:
            cross = (1 - one.noise) * kernel(family, one.parameter, candidate[None], rest.choices)
            means.append(one.mean + (cross @ one.weights).item())
        predicted = special.expit(means) if rest.is_logit else np.array(means)
        assert fit.left_out[index] == pytest.approx((share * predicted).sum(), abs=1e-9)


def test_draws_have_the_posterior_mean_and_spread() -> None:
    """One point of the grid is a linear model: the formulas of Bayesian regression with a known ratio of variances."""
    choices, values = some_runs(number=12)
    fit = Surrogate("additive", choices, values)
    drawn = fit.draws(fit.candidates, 40_000, np.random.default_rng(0))
    means, variances = [], []
    for one, share in zip(fit._fits, fit.shares, strict=True):
        covariance = (1 - one.noise) * kernel("additive", 0.0, choices, choices) + one.noise * np.eye(len(values))
        cross = (1 - one.noise) * kernel("additive", 0.0, fit.candidates, choices)
        inverse = np.linalg.inv(covariance)
        ones = np.ones(len(values))
        mean = (ones @ inverse @ values) / (ones @ inverse @ ones)
        scale = (values - mean) @ inverse @ (values - mean) / (len(values) - 1)
        means.append((share, mean + cross @ inverse @ (values - mean)))
        left = 1 - cross @ inverse @ ones
        prior = (1 - one.noise) * kernel("additive", 0.0, fit.candidates, fit.candidates)
        spread = np.diag(prior - cross @ inverse @ cross.T) + left**2 / (ones @ inverse @ ones)
        freedom = len(values) - 1
        variances.append((share, scale * spread * freedom / (freedom - 2), means[-1][1]))
    mean = sum(share * one for share, one in means)
    variance = sum(share * (spread + (one - mean) ** 2) for share, spread, one in variances)
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=4 * np.sqrt(variance.max() / 40_000))
    assert drawn.var(axis=0) == pytest.approx(variance, rel=0.06)


def test_the_same_runs_give_the_same_numbers() -> None:
    choices, values = some_runs()
    one, other = (Surrogate("hamming", choices, values).draws(choices, 50, np.random.default_rng(3)) for _ in range(2))
    assert (one == other).all()


def test_the_family_that_made_the_data_predicts_them_best() -> None:
    generator = np.random.default_rng(4)
    points = placements(6)
    chosen = generator.choice(64, 40, replace=False)
    additive = 0.5 + points @ np.array([0.1, 0.06, 0.05, 0.02, 0.04, 0.08])
    # Either of two sites is as good as both, twice.
    joint = 0.3 + 0.2 * points[:, :2].any(axis=1) + 0.2 * points[:, 2:4].any(axis=1) + 0.05 * points[:, 4]
    assert surrogates(points[chosen], (additive + generator.normal(0, 0.01, 64))[chosen])[0].family == "additive"
    found = surrogates(points[chosen], (joint + generator.normal(0, 0.01, 64))[chosen])
    assert found[0].family != "additive"
    assert found[0].r2 > 0.5
    assert found[0].r2 > next(fit.r2 for fit in found if fit.family == "additive") + 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_of_new_candidates_hold_what_they_are_worth(family: str) -> None:
    """Accuracies drawn from each family in turn: of the candidates that did not run 95 % lie within their intervals."""
    generator = np.random.default_rng(5)
    points = placements(6)
    held = []
    for _ in range(60):
        parameter, noise = generator.choice(PARAMETERS[family]), generator.choice(NOISE_SHARES[2:6])
        covariance = (1 - noise) * kernel(family, parameter, points, points) + 1e-9 * np.eye(64)
        true = np.linalg.cholesky(covariance) @ generator.standard_normal(64)
        runs = generator.choice(64, 24)
        values = 0.3 * (true[runs] + np.sqrt(noise) * generator.standard_normal(24))
        true = 0.3 * true
        if family == "hamming":
            values, true = special.expit(values), special.expit(true)
        new = np.setdiff1d(np.arange(64), runs)[:4]
        low, high = np.quantile(Surrogate(family, points[runs], values).draws(points[new], 1000, generator), [0.025, 0.975], 0)
        held += list((low <= true[new]) & (true[new] <= high))
    # 240 intervals: two standard deviations are 2.8 %.
    assert stats.binomtest(sum(held), len(held), 0.95).pvalue > 0.01


def test_accuracies_of_0_and_1_have_a_logit() -> None:
    choices, values = some_runs()
    values[:2] = 0.0, 1.0
    assert np.isfinite(logit(values)).all()
    assert np.isfinite(Surrogate("hamming", choices, values).left_out).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_accuracies_are_no_error(family: str) -> None:
    choices, values = some_runs()
    fit = Surrogate(family, choices, np.full_like(values, 0.5))
    assert fit.left_out == pytest.approx(0.5)
    assert np.isnan(fit.r2)
    assert fit.draws(choices, 10, np.random.default_rng(0)) == pytest.approx(0.5, abs=1e-4)
