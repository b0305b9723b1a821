"""Scores of samples against real images: arithmetic on features and predicted classes only."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.metrics import pairwise_distances

from inkling.errors import UserError


def check(samples: np.ndarray, real: np.ndarray) -> None:
    """Refuse features for which scores would be meaningless.

    Args:
        samples: features of samples [N, D] float64.
        real: features of real images [M, D] float64.

    Raises:
        UserError: widths differ, values are not finite, or all images have the same features.
    """
    for name, found in (("drawn", samples), ("real", real)):
        if found.ndim != 2 or len(found) == 0:
            raise UserError(f"there are no {name} pictures to score; sample or name some")
        if not np.isfinite(found).all():
            raise UserError(
                f"features of the {name} pictures are not finite (NaN or infinite pixels?); "
                "inspect the pictures"
            )
    if samples.shape[1] != real.shape[1]:
        raise UserError(
            f"drawn pictures have {samples.shape[1]} features and real ones {real.shape[1]}; use "
            "the same features for both"
        )
    for name, found in (("drawn", samples), ("real", real)):
        if not found.std(0).any():
            raise UserError(f"all {len(found)} {name} pictures are alike; inspect them")


def check_count(samples: np.ndarray, real: np.ndarray) -> None:
    """Refuse sets too small for a covariance.

    Raises:
        UserError: there are not more images than features.
    """
    for name, found in (("drawn", samples), ("real", real)):
        if len(found) <= found.shape[1]:
            raise UserError(
                f"{len(found)} {name} pictures for {found.shape[1]} features are too few for a "
                f"Frechet distance; take at least {found.shape[1] + 1}, better ten times as many, "
                "or use the kernel distance"
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
    # not negative for a product of covariances; rounding may make them slightly negative.
    cov_a, cov_b = np.atleast_2d(cov_a), np.atleast_2d(cov_b)
    roots = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0))
    return float(gap @ gap + np.trace(cov_a + cov_b) - 2 * roots.sum())


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`(a.b/D + 1)^3` (Binkowski et al. 2018, eq. 3), [N, M]."""
    powers: np.ndarray = (a @ b.T / a.shape[1] + 1) ** 3
    return powers


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kernel distance, KID: the unbiased squared MMD (Binkowski et al. 2018, eq. 4).

    Its expectation does not depend on the sample size and is zero for two sets of the same
    distribution, so it may be negative.

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
    """Number of k-NN balls of `others` [M, D] that contain each of the points [N, D], [N] int64."""
    counts: np.ndarray = (pairwise_distances(points, others) <= radii(others, k)).sum(axis=1)
    return counts


def recall(real: np.ndarray, samples: np.ndarray, k: int = 3) -> float:
    """Fraction of real images inside the k-NN balls of samples (Kynkaanniemi et al. 2019).

    With `real` and `samples` swapped this is precision.

    Args:
        real: [N, D].
        samples: [M, D], M > k.
    """
    return float((balls(real, samples, k) > 0).mean())


def density(real: np.ndarray, samples: np.ndarray, k: int = 5) -> float:
    """Mean number of real k-NN balls that contain a sample, over k (Naeem et al. 2020, eq. 3).

    About 1 for two sets of the same distribution. Unlike precision it is robust to real outliers.
    """
    return float(balls(samples, real, k).mean() / k)


def coverage(real: np.ndarray, samples: np.ndarray, k: int = 5) -> float:
    """Fraction of real images whose k-NN ball contains a sample (Naeem et al. 2020, eq. 4)."""
    inside = pairwise_distances(real, samples) <= radii(real, k)[:, None]
    return float(inside.any(axis=1).mean())


def inception_score(probabilities: np.ndarray) -> float:
    """`exp E KL(p(y|x) || p(y))` (Salimans et al. 2016, eq. 1), from 1 to the number of classes.

    Args:
        probabilities: [N, classes] class probabilities of samples.
    """
    p = np.clip(probabilities, 1e-12, None)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()))


class Scores(NamedTuple):
    """Four scores of a set of samples against real images."""

    accuracy: float
    """Prompt accuracy: fraction of samples in which the judge recognises the prompt's class."""
    frechet: float
    """Frechet distance to the whole reference."""
    recall: float
    """Recall against as many real images."""
    precision: float
    """Precision against as many real images."""


def score(
    features: np.ndarray,
    predicted: np.ndarray,
    prompted: np.ndarray,
    reference: np.ndarray,
    real: np.ndarray,
) -> Scores:
    """Four scores at once, for benchmarks.

    Args:
        features: [N, D] of the samples.
        predicted: [N] classes that the judge predicts.
        prompted: [N] classes of the prompts.
        reference: [M, D] real features for the Frechet distance.
        real: [N, D] real features, of the classes in `prompted`, for recall and precision.
    """
    return Scores(
        float((predicted == prompted).mean()),
        frechet(features, reference),
        recall(real, features),
        recall(features, real),
    )
