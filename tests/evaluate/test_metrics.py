"""Scores on sets whose answer is known by construction, and a judge that learns."""

import numpy as np
import pytest
import torch

from inkling import data
from inkling.errors import UserError
from inkling.evaluate.judge import Judge, train_judge
from inkling.evaluate.metrics import frechet, recall, score


def normal(mean, scale, count=200_000, seed=0):
    generator = np.random.default_rng(seed)
    return np.asarray(mean) + generator.standard_normal((count, len(mean))) * np.asarray(scale)


def test_frechet_is_zero_for_the_same_set_and_the_closed_form_for_gaussians():
    a, b = normal([0, 0, 1], [1, 2, 0.5]), normal([1, 0, 1], [2, 1, 0.5], seed=1)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    # Diagonal covariances: squared gap of means plus squared gaps of standard deviations.
    assert frechet(a, b) == pytest.approx(1 + 1 + 1, rel=0.02)


def test_frechet_agrees_with_scipys_matrix_root():
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(0)
    a = generator.standard_normal((500, 12)) @ generator.standard_normal((12, 12))
    b = generator.standard_normal((400, 12)) @ generator.standard_normal((12, 12)) + 0.3
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = np.trace(sqrtm(cov_a @ cov_b)).real
    independent = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * root
    assert frechet(a, b) == pytest.approx(independent, rel=1e-6)


def test_recall_drops_with_a_dropped_mode_and_precision_with_an_invented_one():
    left, right = normal([-9, 0], [1, 1], 300), normal([9, 0], [1, 1], 300, seed=1)
    both = np.concatenate([left, right])
    again = np.concatenate(
        [normal([-9, 0], [1, 1], 300, seed=2), normal([9, 0], [1, 1], 300, seed=3)]
    )
    assert recall(both, again) > 0.85
    assert recall(both, again[:300]) == pytest.approx(0.5, abs=0.07)
    assert recall(again[:300], both) > 0.85
    invented = np.concatenate([again[:300], normal([0, 90], [1, 1], 300, seed=4)])
    assert recall(invented, both) == pytest.approx(0.5, abs=0.07)


def test_recall_agrees_with_brute_force():
    real, drawn = normal([0, 0], [1, 1], 60), normal([0.5, 0], [1, 1], 50, seed=1)
    gaps = np.linalg.norm(drawn[:, None] - drawn[None], axis=-1)
    radius = np.sort(gaps, axis=1)[:, 3]
    inside = [(np.linalg.norm(drawn - r, axis=1) <= radius).any() for r in real]
    assert recall(real, drawn) == np.mean(inside)


def test_score_counts_what_was_asked():
    features = normal([0, 0], [1, 1], 100)
    asked = np.arange(100) % 10
    seen = np.where(np.arange(100) < 25, (asked + 1) % 10, asked)
    found = score(features, seen, asked, features, features)
    assert found.accuracy == 0.75
    assert found.recall == found.precision == 1


def test_a_judge_learns_the_embedded_digits_and_comes_back_from_disk(tmp_path):
    train, test = (data.read("digits", split=split) for split in ("train", "test"))
    *_, last = train_judge(train, test, epochs=25)
    assert last.accuracy > 0.9
    last.judge.save(tmp_path / "judge.safetensors", last.accuracy)
    features, classes = Judge.load(tmp_path / "judge.safetensors").examine(test.pixels())
    assert features.shape == (297, 128)
    assert (classes == test.labels.numpy()).mean() == pytest.approx(last.accuracy)


def test_what_is_no_judge_is_said_so(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("other.safetensors", "none.safetensors"):
        with pytest.raises(UserError, match="holds no judge"):
            Judge.load(tmp_path / name)
