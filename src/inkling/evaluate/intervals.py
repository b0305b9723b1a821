"""95 % confidence intervals for the expectation of a score at its sample size."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
SPLITS = 10
"""Random splits into halves in `by_halves`."""


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def of_a_share(count: int, total: int) -> Interval:
    """Interval of a fraction `count / total` (Wilson 1927), valid near 0 and 1 too."""
    ends = stats.binomtest(count, total).proportion_ci(LEVEL, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def of_a_mean(values: np.ndarray, seed: int = 0) -> Interval:
    """Interval of the mean of independent values [N], by the BCa bootstrap (Efron 1987)."""
    if not np.ptp(values):
        return Interval(float(values[0]), float(values[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (values,),
            np.mean,
            confidence_level=LEVEL,
            n_resamples=2000,
            batch=100,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return Interval(float(found.low), float(found.high))


def by_halves(
    statistic: Callable[[np.ndarray], float], count: int, splits: int = SPLITS, seed: int = 0
) -> Interval:
    """Interval of any statistic of a set of images, from its values on random halves of the set.

    The delete-half jackknife (Shao & Wu 1989): a half sampled without replacement varies around
    the whole set as the whole set varies around the truth. Deleting only a few images makes the
    intervals of neighbour scores too wide by half. The bootstrap is no alternative: it duplicates
    images, and distances of zero distort kernel distances and neighbour scores.

    Args:
        statistic: function of the rows [M] int64 of the images that are kept.
        count: number of images.
        splits: number of splits into two halves.
        seed: of the splits.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        order, half = rng.permutation(count), count // 2
        found += [statistic(order[:half]), statistic(order[half : 2 * half])]
    value = statistic(np.arange(count))
    margin = float(stats.t.ppf(0.5 + LEVEL / 2, len(found) - 1) * np.std(found, ddof=1))
    return Interval(value - margin, value + margin)
