"""Intervals cover what they promise, on toys whose truth is known."""

import numpy as np
import pytest

from inkling.evaluate.intervals import by_halves, of_a_mean, of_a_share
from inkling.evaluate.metrics import coverage, density, frechet, kernel_distance, recall

REPEATS = 200
REAL = np.random.default_rng(99).standard_normal((150, 3))


def covered(draw, interval, truth):
    """Share of repetitions whose interval holds the truth."""
    inside = 0
    for seed in range(REPEATS):
        low, high = interval(draw(np.random.default_rng(seed)))
        inside += low <= truth <= high
    return inside / REPEATS


def expected(draw, value, times=3000):
    """The expectation at this sample size, from other seeds."""
    return np.mean([value(draw(np.random.default_rng(10_000 + seed))) for seed in range(times)])


@pytest.mark.parametrize("share", [0.5, 0.97])
def test_of_shares(share):
    found = covered(
        lambda g: int(g.binomial(300, share)), lambda count: of_a_share(count, 300), share
    )
    assert 0.9 <= found <= 0.98


def test_of_means():
    found = covered(lambda g: g.exponential(1.0, 200), of_a_mean, 1.0)
    assert 0.9 <= found <= 0.98
    assert of_a_mean(np.ones(20)) == (1, 1)


SCORES = {
    "frechet": frechet,
    "kernel": kernel_distance,
    "recall": lambda drawn, real: recall(real, drawn),
    "density": lambda drawn, real: density(real, drawn),
    "coverage": lambda drawn, real: coverage(real, drawn),
}


@pytest.mark.parametrize("name", SCORES)
def test_of_scores_of_whole_sets(name):
    def draw(generator):
        return 0.3 + 0.9 * generator.standard_normal((200, 3))

    def value(drawn):
        return SCORES[name](drawn, REAL)

    truth = expected(draw, value, times=400)
    found = covered(
        draw, lambda drawn: by_halves(lambda rows: value(drawn[rows]), len(drawn)), truth
    )
    assert 0.9 <= found <= 0.98
