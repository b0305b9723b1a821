"""Scores in a form that can be resampled: a mean over images, or a function of a set of images.

Value, confidence interval, noise floor and paired difference are all computed from that form.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from inkling.errors import UserError, UserNote
from inkling.evaluate import metrics
from inkling.evaluate.features import Outputs
from inkling.evaluate.intervals import (
    Interval,
    by_leaving_out,
    of_a_mean,
    of_a_share,
    of_paired_shares,
)

MOST_NEIGHBOURS = 2000
"""Largest number of images in neighbour scores, whose cost is quadratic."""
MOST_KERNEL = 10_000
"""Largest number of images in kernel distances, for the same reason."""
FRECHET = "Frechet distance"
PROMPT_ACCURACY = "prompt accuracy"
_FRACTION = "fraction, Wilson"
_MEAN = "mean, bootstrap (BCa)"
_WHOLE = {
    2: "whole set, 20 halves",
    5: "whole set, 20 times less a fifth",
    10: "whole set, 20 times less a tenth",
}
"""By the parts of which one is left out."""


class Measure(NamedTuple):
    """One score of a set of samples."""

    name: str
    better: str
    """"lower" or "higher"."""
    values: np.ndarray | None = None
    """[N] one number for each image, whose mean is the score."""
    whole: Callable[[np.ndarray], float] | None = None
    """Or the score as a function of the rows [M] of the images."""
    fraction: bool = False
    """Whether each of the values is 0 or 1, so that the score is a fraction of the images."""
    bounded: bool = False
    """Whether the score lies between 0 and 1, for a score with `whole`."""
    size: int = 0
    """Number of images, for a score with `whole`."""
    parts: int = 2
    """Of the set, one of which is left out for its interval, for a score with `whole`."""
    step: float = 0.0
    """Its smallest difference, for a score with `whole`."""

    @property
    def value(self) -> float:
        """The score."""
        if self.values is not None:
            return float(self.values.mean())
        assert self.whole is not None, "a measure is a mean or a function of the set"
        return self.whole(np.arange(self.size))

    @property
    def method(self) -> str:
        """How its interval is computed."""
        if self.values is None:
            return _WHOLE[self.parts]
        return _FRACTION if self.fraction else _MEAN

    def interval(self) -> Interval:
        """95 % interval of its expectation over random samples, at this sample size."""
        if self.values is None:
            assert self.whole is not None, "a measure is a mean or a function of the set"
            return by_leaving_out(self.whole, self.size, self.parts, self.step, self.bounded)
        if self.fraction:
            return of_a_share(int(self.values.sum()), len(self.values))
        return of_a_mean(self.values)

    def minus(self, other: "Measure") -> tuple[float, Interval]:
        """The difference from the same measure of another set, paired by the samples' seeds."""
        if self.values is not None and other.values is not None:
            gaps = self.values.astype(float) - other.values
            paired = of_paired_shares if self.fraction else of_a_mean
            return float(gaps.mean()), paired(gaps)
        mine, theirs = self.whole, other.whole
        assert mine is not None and theirs is not None, "one measure has one form"
        return self.value - other.value, by_leaving_out(
            lambda rows: mine(rows) - theirs(rows), self.size, self.parts, self.step
        )


def frechet_distance(samples: np.ndarray, real: np.ndarray) -> Measure:
    """The Frechet distance of samples' features [N, D] from real ones [M, D].

    Raises:
        UserError: there are not more images than features.
    """
    metrics.check_count(samples, real)
    return Measure(
        FRECHET,
        "lower",
        whole=lambda rows: metrics.frechet(samples[rows], real),
        size=len(samples),
    )


def prompt_accuracy(probabilities: np.ndarray, prompted: np.ndarray) -> Measure:
    """How often the class of the prompt is the most probable one.

    Args:
        probabilities: [N, classes] of the samples.
        prompted: [N] classes of the prompts.
    """
    right = (probabilities.argmax(1) == prompted).astype(float)
    return Measure(PROMPT_ACCURACY, "higher", right, fraction=True)


def of_features(samples: np.ndarray, real: np.ndarray) -> Iterator[Measure]:
    """Distances and neighbour scores of samples' features [N, D] against real ones [M, D].

    Raises:
        UserError: scores would be meaningless for these features.
    """
    metrics.check(samples, real)
    some = min(len(samples), MOST_KERNEL)
    distances = metrics.kernel_distances(samples[:some], real[:MOST_KERNEL])
    yield Measure("kernel distance", "lower", whole=distances, size=some)
    try:
        yield frechet_distance(samples, real)
    except UserError as error:
        warnings.warn(f"no Frechet distance: {error}", UserNote, stacklevel=2)
    few, others = samples[:MOST_NEIGHBOURS], real[:MOST_NEIGHBOURS]
    inside = metrics.balls(few, others, 3)
    yield Measure("precision", "higher", (inside > 0).astype(float), fraction=True)
    yield Measure(
        "recall",
        "higher",
        whole=lambda rows: metrics.recall(others, few[rows]),
        bounded=True,
        size=len(few),
        parts=5,
        step=1 / len(others),
    )
    yield Measure("density", "higher", metrics.balls(few, others, 5) / 5)
    yield Measure(
        "coverage",
        "higher",
        whole=lambda rows: metrics.coverage(others, few[rows]),
        bounded=True,
        size=len(few),
        parts=10,
        step=1 / len(others),
    )


def of_probabilities(probabilities: np.ndarray, prompted: np.ndarray | None) -> Iterator[Measure]:
    """Scores from class probabilities: prompt accuracy, and the form of the Inception score.

    Args:
        probabilities: [N, classes] of the samples.
        prompted: [N] classes of the prompts, if they name classes.
    """
    if prompted is not None:
        yield prompt_accuracy(probabilities, prompted)
    yield Measure(
        "Inception-score form",
        "higher",
        whole=lambda rows: metrics.inception_score(probabilities[rows]),
        size=len(probabilities),
    )


def accuracy_of(name: str, probabilities: np.ndarray, labels: np.ndarray) -> Measure | None:
    """Accuracy of a judge on real images that it never saw; None if they show fewer than two
    classes.

    Args:
        name: of the judge, for messages.
        probabilities: [N, classes].
        labels: [N], -1 where the class is not known.

    Raises:
        UserError: it knows no more than which classes are frequent.
    """
    known = labels >= 0
    counts = np.bincount(labels[known], minlength=probabilities.shape[1])
    shown = int((counts > 0).sum())
    if shown < 2:
        return None
    right = (probabilities.argmax(1) == labels)[known].astype(float)
    # The mean over classes: naming a frequent one is no knowledge.
    by_class = right * known.sum() / counts[labels[known]] / shown
    if of_a_mean(by_class).low <= 1 / shown:
        raise UserError(
            f"{name} is right about {right.mean():.1%} of {known.sum():,} real pictures, no more "
            "than by naming frequent classes: its scores would mean nothing. Train a better one "
            "(inkling train judge-NAME), or use --features pixels"
        )
    return Measure("judge on real pictures", "higher", right, fraction=True)


def of_outputs(
    samples: Outputs, real: Outputs, prompted: np.ndarray | None = None
) -> list[Measure]:
    """Every measure of the features and, if there are any, of the class probabilities."""
    found = list(of_features(samples.features, real.features))
    if samples.probabilities is not None:
        found += of_probabilities(samples.probabilities, prompted)
    return found
