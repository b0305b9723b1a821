"""Scores of drawn pictures against real ones, from the features and verdicts of a judge."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors


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
    roots = np.sqrt(np.linalg.eigvals(np.atleast_2d(cov_a @ cov_b)).real.clip(min=0))
    return float(gap @ gap + np.trace(np.atleast_2d(cov_a + cov_b)) - 2 * roots.sum())


def recall(real: np.ndarray, drawn: np.ndarray, k: int = 3) -> float:
    """Share of real features inside the k-NN balls of drawn ones (Kynkaanniemi et al. 2019).

    With `real` and `drawn` exchanged this is precision.

    Args:
        real: [N, D].
        drawn: [M, D], M > k.
    """
    radius = NearestNeighbors(n_neighbors=k + 1).fit(drawn).kneighbors(drawn)[0][:, k]
    inside = (pairwise_distances(real, drawn) <= radius).any(axis=1)
    return float(inside.mean())


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
    """All scores at once.

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
