"""How far a score could be off: 95 % intervals for its expectation at the same sample size."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
SPLITS = 10
"""Splits into halves by which whole sets are resampled."""


class Interval(NamedTuple):
    """Ends of an interval."""

    low: float
    high: float


def of_a_share(count: int, total: int) -> Interval:
    """Of a share of independent pictures (Wilson 1927): sound near 0 and 1 too."""
    ends = stats.binomtest(count, total).proportion_ci(LEVEL, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def of_a_mean(values: np.ndarray, seed: int = 0) -> Interval:
    """Of the mean of independent values [N], by the bootstrap (Efron 1987: BCa)."""
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
    """Of any statistic of a set of pictures: half of them are left out, again and again.

    The jackknife that deletes half (Shao & Wu 1989): a half drawn without replacement varies around
    the whole set as the whole set does around the truth. Leaving out only a few makes intervals of
    neighbour scores half too wide, and the bootstrap draws pictures twice: duplicates have distance
    zero, which distances and neighbours take for news.

    Args:
        statistic: of the rows [M] int64 that are kept.
        count: rows there are.
        splits: into two halves.
        seed: of the splits.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        order, half = rng.permutation(count), count // 2
        found += [statistic(order[:half]), statistic(order[half : 2 * half])]
    value = statistic(np.arange(count))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(found) - 1) * np.std(found, ddof=1))
    return Interval(value - reach, value + reach)
