"""95 % confidence intervals for the expectation of a score at its sample size."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit, logit

LEVEL = 0.95
VALUES = 20
"""Values of a statistic that an interval is made of in `by_leaving_out`."""


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


def of_paired_shares(gaps: np.ndarray) -> Interval:
    """Interval of the difference of two fractions of the same items, from -1, 0 and 1 [N].

    Wald with one item added to each kind of disagreement (Bonett & Price 2012), valid where few
    items differ, or none.
    """
    count, gained, lost = len(gaps) + 2, (gaps > 0).sum() + 1, (gaps < 0).sum() + 1
    value = (gained - lost) / count
    spread = np.sqrt(((gained + lost) / count - value**2) / count)
    margin = float(stats.norm.ppf(0.5 + LEVEL / 2) * spread)
    return Interval(max(-1.0, float(value) - margin), min(1.0, float(value) + margin))


def by_leaving_out(
    statistic: Callable[[np.ndarray], float],
    count: int,
    parts: int = 2,
    step: float = 0.0,
    bounded: bool = False,
    seed: int = 0,
) -> Interval:
    """Interval of any statistic of a set of images, from its values without one part of the set.

    The delete-d jackknife (Shao & Wu 1989): a part sampled without replacement varies around the
    whole set as the whole set varies around the truth, up to a factor. The bootstrap is no
    alternative: it duplicates images, and distances of zero distort kernel distances and neighbour
    scores.

    Args:
        statistic: function of the rows [M] int64 of the images that are kept.
        count: number of images.
        parts: of the set, one of which is left out: 2 for distances of whole sets. Scores of
            neighbours depend on how close images lie: with half of them left out, intervals of poor
            models are too narrow, and with a few, those of good models too wide.
        step: smallest difference that the statistic can show; the ends are at least so far away,
            since values that are all equal do not prove that no other could have come.
        bounded: whether it lies between 0 and 1, which takes a `step`: then its interval is
            symmetric in its log-odds, and longer towards the middle.
        seed: of the random parts.
    """
    rng = np.random.default_rng(seed)
    found: list[float] = []
    while len(found) < VALUES:
        for left_out in np.array_split(rng.permutation(count), parts):
            kept = np.setdiff1d(np.arange(count), left_out, assume_unique=True)
            found.append(statistic(kept))
    value = statistic(np.arange(count))
    spread = np.std(found, ddof=1) * np.sqrt(parts - 1)
    margin = float(stats.t.ppf(0.5 + LEVEL / 2, len(found) - 1) * spread)
    margin = max(margin, step)
    if not bounded:
        return Interval(value - margin, value + margin)
    width = 1 + 2 * step  # a little more than from 0 to 1, whose log-odds are not finite
    inside = (value + step) / width
    reach = margin / width / (inside * (1 - inside))
    low, high = (width * float(expit(logit(inside) + sign * reach)) - step for sign in (-1.0, 1.0))
    return Interval(max(0.0, min(low, value - step)), min(1.0, max(high, value + step)))
