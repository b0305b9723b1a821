"""Scores of drawn pictures against real ones: arithmetic on features and verdicts, nothing else."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.metrics import pairwise_distances

from inkling.errors import UserError


def check(drawn: np.ndarray, real: np.ndarray) -> None:
    """Refuse feature sets that no score could mean anything for.

    Args:
        drawn: [N, D] float64.
        real: [M, D] float64.

    Raises:
        UserError: widths differ, values that are not finite, or pictures that are all alike.
    """
    for name, found in (("drawn", drawn), ("real", real)):
        if found.ndim != 2 or len(found) == 0:
            raise UserError(f"there are no {name} pictures to score; draw or name some")
        if not np.isfinite(found).all():
            raise UserError(
                f"features of the {name} pictures are not finite (NaN or infinite pixels?); look "
                "at the pictures"
            )
    if drawn.shape[1] != real.shape[1]:
        raise UserError(
            f"drawn pictures have {drawn.shape[1]} features and real ones {real.shape[1]}; take "
            "both through the same features"
        )
    for name, found in (("drawn", drawn), ("real", real)):
        if not found.std(0).any():
            raise UserError(f"all {len(found)} {name} pictures are alike; look at them")


def check_count(drawn: np.ndarray, real: np.ndarray) -> None:
    """Refuse sets too small for a covariance.

    Raises:
        UserError: no more samples than features.
    """
    for name, found in (("drawn", drawn), ("real", real)):
        if len(found) <= found.shape[1]:
            raise UserError(
                f"{len(found)} {name} pictures for {found.shape[1]} features: a Frechet distance "
                f"of them says nothing; take at least {found.shape[1] + 1}, better ten times as "
                "many, or go by the kernel distance"
            )


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of the Gaussians fitted to two feature sets (Heusel et al. 2017, eq. 6).

    Args:
        a: [N, D] float64.
        b: [M, D] float64.
    """
    gap = a.mean(0) - b.mean(0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The trace of a matrix root is the sum of the roots of the eigenvalues, which are real and
    # not negative for a product of covariances; rounding may say otherwise by a hair.
    cov_a, cov_b = np.atleast_2d(cov_a), np.atleast_2d(cov_b)
    roots = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0))
    return float(gap @ gap + np.trace(cov_a + cov_b) - 2 * roots.sum())


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`(a.b/D + 1)^3` (Binkowski et al. 2018, eq. 3), [N, M]."""
    powers: np.ndarray = (a @ b.T / a.shape[1] + 1) ** 3
    return powers


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kernel distance, KID: the unbiased squared MMD (Binkowski et al. 2018, eq. 4).

    Its expectation does not depend on the sample size and is zero for two sets of one law, so it
    may be negative.

    Args:
        a: [N, D] float64.
        b: [M, D] float64.
    """
    return kernel_distances(a, b)(np.arange(len(a)))


def kernel_distances(a: np.ndarray, b: np.ndarray) -> Callable[[np.ndarray], float]:
    """The kernel distance as a function of which rows [K] of `a` are kept, for resampling."""
    among_a, among_b, towards_b = _kernel(a, a), _kernel(b, b), _kernel(a, b).mean(1)
    m = len(b)
    constant = (among_b.sum() - np.trace(among_b)) / (m * (m - 1))

    def distance(rows: np.ndarray) -> float:
        kept, n = among_a[np.ix_(rows, rows)], len(rows)
        mine = (kept.sum() - np.trace(kept)) / (n * (n - 1))
        return float(mine + constant - 2 * towards_b[rows].mean())

    return distance


def radii(points: np.ndarray, k: int) -> np.ndarray:
    """The distance of each point [N, D] to its k-th neighbour among the others, [N]."""
    gaps = pairwise_distances(points)
    nearest: np.ndarray = np.partition(gaps, k, axis=1)[:, k]  # the first is the point itself
    return nearest


def balls(points: np.ndarray, others: np.ndarray, k: int) -> np.ndarray:
    """In how many k-NN balls of `others` [M, D] each of the points [N, D] lies, [N] int64."""
    counts: np.ndarray = (pairwise_distances(points, others) <= radii(others, k)).sum(axis=1)
    return counts


def recall(real: np.ndarray, drawn: np.ndarray, k: int = 3) -> float:
    """Share of real features inside the k-NN balls of drawn ones (Kynkaanniemi et al. 2019).

    With `real` and `drawn` exchanged this is precision.

    Args:
        real: [N, D].
        drawn: [M, D], M > k.
    """
    return float((balls(real, drawn, k) > 0).mean())


def density(real: np.ndarray, drawn: np.ndarray, k: int = 5) -> float:
    """In how many k-NN balls of real features a drawn one lies, over k (Naeem et al. 2020, eq. 3).

    About 1 for two sets of one law; unlike in precision, one real outlier hardly counts.
    """
    return float(balls(drawn, real, k).mean() / k)


def coverage(real: np.ndarray, drawn: np.ndarray, k: int = 5) -> float:
    """Share of real features in whose k-NN ball some drawn one lies (Naeem et al. 2020, eq. 4)."""
    inside = pairwise_distances(real, drawn) <= radii(real, k)[:, None]
    return float(inside.any(axis=1).mean())


def inception_score(shares: np.ndarray) -> float:
    """`exp E KL(p(y|x) || p(y))` (Salimans et al. 2016, eq. 1), from 1 to the number of classes.

    Args:
        shares: [N, classes] class probabilities of drawn pictures.
    """
    shares = np.clip(shares, 1e-12, None)
    mean = shares.mean(0)
    return float(np.exp((shares * (np.log(shares) - np.log(mean))).sum(1).mean()))


class Scores(NamedTuple):
    """How a set of drawn pictures compares with real ones."""

    accuracy: float
    """Share of pictures in which the judge sees the asked class."""
    frechet: float
    """Against the whole reference set."""
    recall: float
    """Share of as many real pictures that lie among the drawn."""
    precision: float
    """Share of drawn pictures that lie among as many real ones."""


def score(
    features: np.ndarray,
    verdicts: np.ndarray,
    asked: np.ndarray,
    reference: np.ndarray,
    real: np.ndarray,
) -> Scores:
    """Four scores at once, for benchmarks.

    Args:
        features: [N, D] of the drawn pictures.
        verdicts: [N] classes that the judge saw.
        asked: [N] classes that were asked for.
        reference: [M, D] real features for the Frechet distance.
        real: [N, D] real features, classes as in `asked`, for recall and precision.
    """
    return Scores(
        float((verdicts == asked).mean()),
        frechet(features, reference),
        recall(real, features),
        recall(features, real),
    )
