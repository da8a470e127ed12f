"""A model of accuracy over placements: Gaussian processes over categorical choices, with their hyperparameters integrated out.

A candidate is a row of integers, one choice for each site. y = mean + g(x) + noise, where g is a Gaussian process; mean and
scale have the usual improper priors, which leaves Student's t in closed form (Rasmussen and Williams, "Gaussian processes for
machine learning", 2006, 2.7 for the mean and 5.4.2 for what is left out), and the kernel's parameter and the share of the noise
in the variance are averaged over a grid by their evidence. So nothing is optimised, the same runs give the same numbers, and a
few runs do not pretend to know their hyperparameters.

Three families of kernels, each of variance 1, where s is the share of equal choices:
- ``additive``: s. Every site adds its own.
- ``pairwise``: (1 - p) s + p times the share of pairs of sites that are equal in both. Every pair of sites adds its own too.
- ``hamming``: r to the power of the number of sites with different choices; any interaction. On the logit of the accuracy.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

Matrix = NDArray[np.float64]
Choices = NDArray[np.int64]

# The share of noise in the variance, and the parameter of each family.
NOISE_SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
PARAMETERS: Mapping[str, tuple[float, ...]] = {
    "additive": (0.0,),
    "pairwise": (0.2, 0.4, 0.6, 0.8),
    "hamming": (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98),
}
FAMILIES = tuple(PARAMETERS)
# Accuracies as fractions are kept this far from 0 and 1, where a logit would be infinite.
MARGIN = 0.002
# Grid points whose share of the evidence is below this are left out.
_NEGLIGIBLE = 1e-3
_JITTER = 1e-9


def logit(fractions: Matrix) -> Matrix:
    """The logit of accuracies, which are fractions; 0 and 1 are moved inwards by ``MARGIN``."""
    return np.asarray(special.logit(np.clip(fractions, MARGIN, 1 - MARGIN)), dtype=float)


def kernel(family: str, parameter: float, one: Choices, other: Choices) -> Matrix:
    """The prior correlation (rows of ``one``, rows of ``other``) of a family's g; arguments are (rows, sites)."""
    sites = one.shape[1]
    equal = np.zeros((len(one), len(other)))
    for site in range(sites):
        equal += one[:, site, None] == other[None, :, site]
    if family == "hamming":
        return np.asarray(parameter ** (sites - equal), dtype=float)
    share: Matrix = equal / max(1, sites)
    if family == "additive" or sites < 2:
        return share
    pairs: Matrix = equal * (equal - 1) / (sites * (sites - 1))
    return np.asarray((1 - parameter) * share + parameter * pairs, dtype=float)


@dataclass(frozen=True)
class _Fit:
    """One point of the grid, conditioned on the runs: what predictions need, and its log evidence."""

    parameter: float
    noise: float
    factor: tuple[Matrix, bool]
    mean: float
    weights: Matrix
    ones: Matrix
    scale: float
    evidence: float
    left_out_mean: Matrix
    left_out_log_density: Matrix

    @property
    def precision_of_mean(self) -> float:
        return float(self.ones.sum())


class Surrogate:
    """A family's posterior given runs: ``choices`` (runs, sites) and ``values`` (runs); rows may repeat, with other values.

    A candidate's runs are left out together where one is predicted from the others. ``are_fractions`` says whether the values
    are from 0 to 1, so that they have a logit. At least 3 runs.
    """

    def __init__(self, family: str, choices: Choices, values: Matrix, *, are_fractions: bool = True) -> None:
        assert len(choices) == len(values) >= 3, "two runs leave no freedom"
        self.family = family
        self.choices = np.asarray(choices, dtype=np.int64)
        self._groups = _groups_of(self.choices)
        self._sizes = np.array([len(members) for members in self._groups])
        self.is_logit = family == "hamming" and are_fractions
        self.values = logit(values) if self.is_logit else np.asarray(values, dtype=float)
        self.freedom = len(self.values) - 1
        # Equal values carry no information on the scale.
        self._floor = 1e-12 * max(1.0, float(np.abs(self.values).max()) ** 2)
        fits = [
            self._fit(correlation, parameter, noise)
            for parameter in PARAMETERS[family]
            for correlation in [kernel(family, parameter, self.choices, self.choices)]
            for noise in NOISE_SHARES
        ]
        evidence = np.array([fit.evidence for fit in fits])
        share = np.exp(evidence - special.logsumexp(evidence))
        self._all = fits
        kept = share > _NEGLIGIBLE * share.max()
        self._fits = [fit for fit, is_kept in zip(fits, kept, strict=True) if is_kept]
        self.shares = share[kept] / share[kept].sum()

    def _fit(self, correlation: Matrix, parameter: float, noise: float) -> _Fit:
        number = len(self.values)
        covariance = (1 - noise) * correlation
        covariance[np.diag_indices(number)] += noise
        factor = linalg.cho_factor(covariance, lower=True)
        inverse = linalg.cho_solve(factor, np.eye(number))
        ones = inverse.sum(axis=1)
        mean = float(ones @ self.values / ones.sum())
        residual = self.values - mean
        weights = inverse @ residual
        squares = max(float(residual @ weights), self._floor)
        log_determinant = 2 * float(np.log(np.diag(factor[0])).sum())
        evidence = -0.5 * (log_determinant + math.log(ones.sum()) + self.freedom * math.log(squares))
        # With the mean integrated out, the precision of the values is this.
        precision = inverse - np.outer(ones, ones) / ones.sum()
        left_out, density = self._leave_out(precision, squares)
        return _Fit(parameter, noise, factor, mean, weights, ones, squares / self.freedom, evidence, left_out, density)

    def _leave_out(self, precision: Matrix, squares: float) -> tuple[Matrix, Matrix]:
        """For each candidate: the prediction of its runs' mean from the other candidates', and the log density of its runs.

        The density is up to a constant that no hyperparameter changes.
        """
        weights, diagonal = precision @ self.values, np.diag(precision)
        # Of a candidate with one run, which is most of them, all follows from the diagonal.
        first = np.array([members[0] for members in self._groups])
        off = weights[first] / diagonal[first]
        means, taken, log_determinants = self.values[first] - off, weights[first] * off, np.log(diagonal[first])
        for index, members in enumerate(self._groups):
            if len(members) == 1:
                continue
            block = precision[np.ix_(members, members)]
            several = np.linalg.solve(block, weights[members])
            means[index] = (self.values[members] - several).mean()
            taken[index] = weights[members] @ several
            log_determinants[index] = np.linalg.slogdet(block)[1]
        rest = np.maximum(squares - taken, self._floor)
        freedom = np.maximum(self.freedom - self._sizes, 1)
        return means, 0.5 * (log_determinants + freedom * np.log(rest) - self.freedom * math.log(squares))

    @cached_property
    def left_out(self) -> Matrix:
        """The accuracy of each candidate (in the order of ``candidates``) as predicted from the runs of all others alone.

        The hyperparameters are weighed by the others' runs too.
        """
        # Evidence without a candidate = evidence of all - density of the candidate given the others.
        log_share = np.array([fit.evidence - fit.left_out_log_density for fit in self._all])
        share = np.exp(log_share - special.logsumexp(log_share, axis=0))
        found = np.array([fit.left_out_mean for fit in self._all])
        return np.asarray((share * (special.expit(found) if self.is_logit else found)).sum(axis=0), dtype=float)

    @property
    def candidates(self) -> Choices:
        """The distinct rows of the runs, in the order of their first run."""
        return np.asarray(self.choices[[members[0] for members in self._groups]])

    @cached_property
    def candidate_means(self) -> Matrix:
        """The mean accuracy of each candidate over its runs."""
        values = special.expit(self.values) if self.is_logit else self.values
        return np.array([values[members].mean() for members in self._groups])

    @cached_property
    def r2(self) -> float:
        """The share of the variance between candidates that predictions without their own runs explain; negative if none."""
        means = self.candidate_means
        total = float(((means - means.mean()) ** 2).sum())
        return 1 - float(((means - self.left_out) ** 2).sum()) / total if total > 0 else float("nan")

    def draws(self, points: Choices, number: int, generator: np.random.Generator) -> Matrix:
        """(number, points): accuracies of candidates, over seeds, drawn from the posterior."""
        counts = _systematic(self.shares, number, generator)
        found = [self._draw(fit, points, int(count), generator) for fit, count in zip(self._fits, counts, strict=True) if count]
        values = np.concatenate(found)
        return np.asarray(special.expit(values) if self.is_logit else values, dtype=float)

    def _draw(self, fit: _Fit, points: Choices, number: int, generator: np.random.Generator) -> Matrix:
        cross = (1 - fit.noise) * kernel(self.family, fit.parameter, points, self.choices)
        prior = (1 - fit.noise) * kernel(self.family, fit.parameter, points, points)
        solved = linalg.cho_solve(fit.factor, cross.T)
        # The mean is not known either.
        without_mean = 1 - cross @ fit.ones
        mean = fit.mean + cross @ fit.weights
        covariance = prior - cross @ solved + np.outer(without_mean, without_mean) / fit.precision_of_mean
        covariance[np.diag_indices(len(points))] += _JITTER
        values, vectors = linalg.eigh(covariance)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        chance = generator.standard_normal((number, len(points)))
        scale = np.sqrt(fit.scale * self.freedom / generator.chisquare(self.freedom, number))
        return np.asarray(mean + scale[:, None] * (chance @ root.T), dtype=float)


def surrogates(choices: Choices, values: Matrix, *, are_fractions: bool = True) -> list[Surrogate]:
    """All three families given the same runs, best first: by how well the runs of others predict a candidate.

    Of equally good ones the simplest comes first.
    """
    fits = [Surrogate(family, choices, values, are_fractions=are_fractions) for family in FAMILIES]
    return sorted(fits, key=lambda fit: math.inf if math.isnan(fit.r2) else -round(fit.r2, 6))


def _groups_of(choices: Choices) -> list[NDArray[np.int64]]:
    """The runs of each distinct row, in the order of their first run."""
    found: dict[bytes, list[int]] = {}
    for index, row in enumerate(choices):
        found.setdefault(row.tobytes(), []).append(index)
    return [np.array(members) for members in found.values()]


def _systematic(shares: Matrix, number: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How many of ``number`` draws each share gets, within one of its expectation."""
    edges = np.floor(np.cumsum(shares) * number + generator.random())
    edges[-1] = number
    return np.diff(np.concatenate([[0.0], np.minimum(edges, number)])).astype(np.int64)
