"""How far a score could be off: 95 % intervals for its expectation at the same sample size."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
GROUPS = 20
"""Groups that the jackknife leaves out in turn."""


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


def by_jackknife(
    statistic: Callable[[np.ndarray], float],
    count: int,
    groups: int = GROUPS,
    seed: int = 0,
) -> Interval:
    """Of any statistic of a set of pictures: parts are left out in turn (Shao & Wu 1989).

    Nothing is drawn twice, as the bootstrap would: duplicates have distance zero, which distances
    between distributions and scores of neighbours take for news.

    Args:
        statistic: of the rows [M] int64 that are kept.
        count: rows there are.
        groups: parts.
        seed: who is in which part.
    """
    order = np.random.default_rng(seed).permutation(count)
    parts = np.array_split(order, min(groups, count))
    left = [statistic(np.setdiff1d(order, part)) for part in parts]
    return around(statistic(np.arange(count)), np.array(left))


def around(value: float, left: np.ndarray) -> Interval:
    """The interval around a value from those [G] with one part left out each."""
    groups = len(left)
    error = np.sqrt((groups - 1) / groups * ((left - left.mean()) ** 2).sum())
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, groups - 1) * error)
    return Interval(value - reach, value + reach)
