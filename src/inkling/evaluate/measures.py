"""Each score as something that can be resampled: a mean over pictures, or a function of a set.

From that one form come its value, its interval, its noise floor and its difference from another.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from inkling.errors import UserError, UserNote
from inkling.evaluate import metrics
from inkling.evaluate.features import Outputs
from inkling.evaluate.intervals import Interval, by_halves, of_a_mean, of_a_share

MOST_NEIGHBOURS = 2000
"""Pictures at most whose neighbours are counted: it costs their square."""
MOST_KERNEL = 10_000
"""Pictures at most between which kernels are counted, for the same reason."""
_SHARE = "share, Wilson"
_MEAN = "mean, bootstrap (BCa)"
_WHOLE = "whole set, 20 halves"


class Measure(NamedTuple):
    """One score of a set of drawn pictures."""

    name: str
    better: str
    """"lower" or "higher"."""
    values: np.ndarray | None = None
    """[N] one number a picture, whose mean is the score."""
    whole: Callable[[np.ndarray], float] | None = None
    """Or the score of the pictures at rows [M]."""
    most: float = float("inf")
    """Its largest value."""
    size: int = 0
    """Pictures that it is of."""

    @property
    def value(self) -> float:
        """The score."""
        if self.values is not None:
            return float(self.values.mean())
        assert self.whole is not None, "a measure is a mean or a function of the set"
        return self.whole(np.arange(self.size))

    @property
    def method(self) -> str:
        """How its interval is found."""
        if self.values is None:
            return _WHOLE
        return _SHARE if self._counts else _MEAN

    @property
    def _counts(self) -> bool:
        return self.values is not None and bool(np.isin(self.values, (0, 1)).all())

    def interval(self) -> Interval:
        """95 % for its expectation at this sample size; what varies is what is drawn."""
        if self.values is None:
            assert self.whole is not None, "a measure is a mean or a function of the set"
            low, high = by_halves(self.whole, self.size)
            return Interval(low, min(high, self.most))
        if self._counts:
            return of_a_share(int(self.values.sum()), len(self.values))
        return of_a_mean(self.values)

    def minus(self, other: "Measure") -> tuple[float, Interval]:
        """The difference from the same measure of another set of the same seeds, paired by them."""
        if self.values is not None and other.values is not None:
            gaps = self.values.astype(float) - other.values
            return float(gaps.mean()), of_a_mean(gaps)
        mine, theirs = self.whole, other.whole
        assert mine is not None and theirs is not None, "one measure has one form"
        return self.value - other.value, by_halves(
            lambda rows: mine(rows) - theirs(rows), self.size
        )


def of_features(drawn: np.ndarray, real: np.ndarray) -> Iterator[Measure]:
    """Distances and neighbour scores of drawn features [N, D] against real ones [M, D].

    Raises:
        UserError: sets that no score could mean anything for.
    """
    metrics.check(drawn, real)
    count = len(drawn)
    some = min(count, MOST_KERNEL)
    distances = metrics.kernel_distances(drawn[:some], real[:MOST_KERNEL])
    yield Measure("kernel distance", "lower", whole=distances, size=some)
    try:
        metrics.check_count(drawn, real)
        yield Measure(
            "Frechet distance",
            "lower",
            whole=lambda rows: metrics.frechet(drawn[rows], real),
            size=count,
        )
    except UserError as error:
        warnings.warn(f"no Frechet distance: {error}", UserNote, stacklevel=2)
    few, others = drawn[:MOST_NEIGHBOURS], real[:MOST_NEIGHBOURS]
    inside = metrics.balls(few, others, 3)
    yield Measure("precision", "higher", (inside > 0).astype(float))
    yield Measure(
        "recall",
        "higher",
        whole=lambda rows: metrics.recall(others, few[rows]),
        most=1.0,
        size=len(few),
    )
    yield Measure("density", "higher", metrics.balls(few, others, 5) / 5)
    yield Measure(
        "coverage",
        "higher",
        whole=lambda rows: metrics.coverage(others, few[rows]),
        most=1.0,
        size=len(few),
    )


def of_probabilities(probabilities: np.ndarray, prompted: np.ndarray | None) -> Iterator[Measure]:
    """Of a classifier's outputs: prompt accuracy, and how sure and varied they are.

    Args:
        probabilities: [N, classes] of the samples.
        prompted: [N] classes of the prompts, if they name classes.
    """
    if prompted is not None:
        right = (probabilities.argmax(1) == prompted).astype(float)
        yield Measure("prompt accuracy", "higher", right)
    yield Measure(
        "Inception-score form",
        "higher",
        whole=lambda rows: metrics.inception_score(probabilities[rows]),
        size=len(probabilities),
    )


def of_outputs(drawn: Outputs, real: Outputs, prompted: np.ndarray | None = None) -> list[Measure]:
    """Every measure of features and, where they classify, of class probabilities."""
    found = list(of_features(drawn.features, real.features))
    if drawn.probabilities is not None:
        found += of_probabilities(drawn.probabilities, prompted)
    return found
