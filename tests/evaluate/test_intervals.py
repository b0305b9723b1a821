"""Intervals cover what they promise, on toys whose truth is known."""

import numpy as np
import pytest

from inkling.evaluate.intervals import by_leaving_out, of_a_mean, of_a_share, of_paired_shares
from inkling.evaluate.measures import of_features
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


PARTS = {"recall": 5, "coverage": 10}


def interval_of(name):
    """The interval of a score of a whole set against the real points."""

    def interval(drawn):
        def score(rows):
            return SCORES[name](drawn[rows], REAL)

        step = 1 / len(REAL) if name in PARTS else 0.0
        return by_leaving_out(score, len(drawn), PARTS.get(name, 2), step, name in PARTS)

    return interval


def test_scores_of_neighbours_leave_out_little_and_distances_a_half():
    found = of_features(REAL, REAL[::-1] + 0.1)
    parts = {measure.name: measure.parts for measure in found if measure.whole}
    assert parts == {"kernel distance": 2, "Frechet distance": 2, "recall": 5, "coverage": 10}


@pytest.mark.parametrize("name", ["recall", "coverage"])
@pytest.mark.parametrize("kind", ["narrow", "one mode of two", "far"])
def test_intervals_hold_where_a_model_is_poor(name, kind):
    """Poor models are where scores are compared most; with halves these held 81 to 91 %."""
    real = REAL + 4 * (np.arange(len(REAL)) % 2)[:, None]

    def draw(generator):
        points = generator.standard_normal((200, 3))
        if kind == "narrow":
            return 0.4 * points + 4 * (np.arange(200) % 2)[:, None]
        return points + (12 if kind == "far" else 0)

    def value(drawn):
        return SCORES[name](drawn, real)

    def interval(drawn):
        return by_leaving_out(
            lambda rows: value(drawn[rows]), len(drawn), PARTS[name], 1 / len(real)
        )

    found = covered(draw, interval, expected(draw, value, times=400))
    assert 0.92 <= found <= 1.0


@pytest.mark.parametrize("name", SCORES)
def test_of_scores_of_whole_sets(name):
    def draw(generator):
        return 0.3 + 0.9 * generator.standard_normal((200, 3))

    def value(drawn):
        return SCORES[name](drawn, REAL)

    truth = expected(draw, value, times=400)
    found = covered(draw, interval_of(name), truth)
    assert 0.9 <= found <= 0.995


@pytest.mark.parametrize("chances", [(0.01, 0.01), (0.0, 0.005), (0.02, 0.0), (0.1, 0.25)])
def test_of_paired_shares_where_few_verdicts_differ(chances):
    gained, lost = chances

    def draw(generator):
        return generator.choice([1.0, -1.0, 0.0], 300, p=[gained, lost, 1 - gained - lost])

    found = covered(draw, of_paired_shares, gained - lost)
    assert 0.9 <= found <= 1.0


def test_of_paired_shares_is_not_certain_of_what_it_never_saw():
    low, high = of_paired_shares(np.zeros(300))
    assert low < -0.005 < 0.005 < high
    assert of_paired_shares(np.ones(10)).high <= 1
