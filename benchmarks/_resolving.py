"""How well runs tell placements apart: intraclass correlation, ranges, agreement of seeds. Arrays are (placements, seeds)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

Accuracies = npt.NDArray[np.float64]

# Placements of one module count that are compared with each other.
MIN_GROUP = 3


@dataclass(frozen=True)
class Figures:
    """What the runs of one set of placements say; accuracies and ranges in points, NaN where there is too little to tell.

    ``icc`` is that of the seed means, ``icc_single`` that of one run. The first six leave out the worst and the best placement
    by their mean, which alone could make any data set look decisive. ``equal_count_*`` compare placements with the same number
    of modules only; ``equal_count_range`` is the widest range of such a group, over all placements.
    """

    icc: float
    icc_single: float
    range: float
    kendall_tau: float
    seed_sd: float
    placements: int
    equal_count_icc: float
    equal_count_icc_single: float
    equal_count_range: float


def figures(accuracies: Accuracies, counts: Sequence[int]) -> Figures:
    """``counts`` is the number of modules of each placement. At least 4 placements and 2 seeds."""
    assert accuracies.shape[0] == len(counts) >= 4, "two are left out, and two are needed"
    assert accuracies.shape[1] >= 2, "one seed says nothing about the noise"
    means = accuracies.mean(axis=1)
    inner = accuracies[np.argsort(means, kind="stable")[1:-1]]
    groups = [accuracies[np.equal(counts, count)] for count in sorted(set(counts))]
    groups = [group for group in groups if len(group) >= MIN_GROUP]
    return Figures(
        icc=icc([inner]),
        icc_single=icc([inner], of_means=False),
        range=float(np.ptp(inner.mean(axis=1))),
        kendall_tau=mean_tau(inner),
        seed_sd=float(np.sqrt(inner.var(axis=1, ddof=1).mean())),
        placements=len(inner),
        equal_count_icc=icc(groups),
        equal_count_icc_single=icc(groups, of_means=False),
        equal_count_range=max((float(np.ptp(group.mean(axis=1))) for group in groups), default=float("nan")),
    )


def icc(groups: Sequence[Accuracies], *, of_means: bool = True) -> float:
    """The share of the variance between placements that is not noise of the seeds, within the groups.

    One-way random effects (Shrout and Fleiss, 1979): ICC(1, k) of the means over k seeds, or ICC(1, 1) of one run. The
    differences between the groups' own means do not count. Negative where seeds differ by more than placements do.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if freedom < 1:
        return float("nan")
    seeds = groups[0].shape[1]
    between = seeds * sum(float(group.mean(axis=1).var() * len(group)) for group in groups) / freedom
    within = float(np.concatenate(groups).var(axis=1, ddof=1).mean())
    total = between if of_means else between + (seeds - 1) * within
    return (between - within) / total if total > 0 else float("nan")


def mean_tau(accuracies: Accuracies) -> float:
    """The mean over pairs of seeds of Kendall's tau-b between the orders of the placements."""
    return float(np.mean([kendall_tau(first, second) for first, second in combinations(accuracies.T, 2)]))


def kendall_tau(first: Accuracies, second: Accuracies) -> float:
    """Tau-b, which corrects for ties; NaN if all values of one are equal."""
    return float(kendalltau(first, second).statistic)


def best_single_share(empty: float, full: float, singles: Sequence[float]) -> float:
    """What the best single module gains, as a share of what a module at every site gains; NaN if that is nothing."""
    return (max(singles) - empty) / (full - empty) if full > empty else float("nan")
