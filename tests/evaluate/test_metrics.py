"""Scores on sets whose answer is known by construction, and a judge that learns."""

import numpy as np
import pytest
import torch

from inkling import data
from inkling.errors import UserError
from inkling.evaluate.judge import Judge, train_judge
from inkling.evaluate.metrics import (
    check,
    check_count,
    coverage,
    density,
    frechet,
    inception_score,
    kernel_distance,
    recall,
    score,
)


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


def test_frechet_and_kernel_distance_agree_with_torchmetrics():
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    generator = np.random.default_rng(0)
    a = generator.standard_normal((300, 8)) @ generator.standard_normal((8, 8))
    b = generator.standard_normal((300, 8)) + 0.3
    tensors = [torch.from_numpy(each) for each in (a, b)]
    (mean_a, cov_a), (mean_b, cov_b) = ((t.mean(0), t.T.cov()) for t in tensors)
    theirs = _compute_fid(mean_a, cov_a, mean_b, cov_b).item()
    assert frechet(a, b) == pytest.approx(theirs, rel=1e-6)
    assert kernel_distance(a, b) == pytest.approx(poly_mmd(*tensors).item(), rel=1e-6)


def test_kernel_distance_is_the_closed_form_for_gaussians_at_every_sample_size():
    """With one feature and k(x, y) = (xy + 1)^3, expectations are moments of Gaussians."""

    def mean_kernel(m, s, u, v):  # x ~ N(m, s^2) and y ~ N(u, v^2), independent
        first, second = m * u, (m**2 + s**2) * (u**2 + v**2)
        third = (m**3 + 3 * m * s**2) * (u**3 + 3 * u * v**2)
        return 1 + 3 * first + 3 * second + third

    truth = mean_kernel(0, 1, 0, 1) + mean_kernel(1, 0.5, 1, 0.5) - 2 * mean_kernel(0, 1, 1, 0.5)
    generator = np.random.default_rng(0)
    for count, times in ((10, 4000), (100, 400)):
        found = [
            kernel_distance(
                generator.standard_normal((count, 1)),
                1 + 0.5 * generator.standard_normal((count, 1)),
            )
            for _ in range(times)
        ]
        assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / times**0.5)


def test_density_and_coverage_agree_with_brute_force():
    real, drawn = normal([0, 0], [1, 1], 60), normal([0.5, 0], [1, 1], 50, seed=1)
    among = np.linalg.norm(real[:, None] - real[None], axis=-1)
    balls = np.sort(among, axis=1)[:, 5]
    inside = np.linalg.norm(drawn[:, None] - real[None], axis=-1) <= balls
    assert density(real, drawn) == pytest.approx(inside.sum() / (5 * 50))
    assert coverage(real, drawn) == pytest.approx(inside.any(0).mean())


def test_density_and_coverage_on_modes_dropped_invented_and_noise():
    modes = [normal(m, [1, 1], 300, seed=s) for s, m in enumerate([[-9, 0], [9, 0]])]
    again = [normal(m, [1, 1], 300, seed=s + 5) for s, m in enumerate([[-9, 0], [9, 0]])]
    both, fresh = np.concatenate(modes), np.concatenate(again)
    assert coverage(both, fresh) == pytest.approx(1, abs=0.07)
    assert density(both, fresh) == pytest.approx(1, abs=0.1)
    assert coverage(both, again[0]) == pytest.approx(0.5, abs=0.05)
    invented = np.concatenate([again[0], normal([0, 90], [1, 1], 300, seed=9)])
    assert density(both, invented) == pytest.approx(0.5, abs=0.1)
    noisy = fresh + normal([0, 0], [6, 6], 600, seed=10)
    assert density(both, noisy) < 0.3
    assert recall(noisy, both) < 0.4
    outlier = np.concatenate([both, [[0.0, 60.0]]])
    between = np.concatenate([again[0], normal([0, 30], [3, 3], 300, seed=11)])
    assert recall(between, outlier) > 0.9, "one far ball takes everything in"
    assert density(outlier, between) < 0.8


def test_the_inception_score_is_the_number_of_modes():
    sure = np.eye(10)[np.arange(1000) % 10]
    assert inception_score(sure) == pytest.approx(10, rel=1e-6)
    assert inception_score(sure[:, :] * 0 + 0.1) == pytest.approx(1)
    assert inception_score(np.eye(10)[np.arange(1000) % 4]) == pytest.approx(4, rel=1e-6)


@pytest.mark.parametrize(
    ("drawn", "real", "match"),
    [
        (
            normal([0] * 8, [1] * 8, 5),
            normal([0] * 8, [1] * 8, 50),
            "5 drawn pictures for 8 features",
        ),
        (normal([0] * 8, [1] * 8, 50), normal([0] * 8, [1] * 8, 8), "8 real pictures for 8"),
        (np.ones((50, 8)), normal([0] * 8, [1] * 8, 50), "all 50 drawn pictures are alike"),
        (normal([0] * 4, [1] * 4, 50), normal([0] * 8, [1] * 8, 50), "4 features and real ones 8"),
        (np.full((50, 4), np.nan), normal([0] * 4, [1] * 4, 50), "not finite"),
        (np.zeros((0, 4)), normal([0] * 4, [1] * 4, 50), "no drawn pictures"),
    ],
)
def test_bad_sets_are_refused_in_a_sentence(drawn, real, match):
    with pytest.raises(UserError, match=match):
        check(drawn, real)
        check_count(drawn, real)


def test_score_counts_what_was_asked():
    features = normal([0, 0], [1, 1], 100)
    asked = np.arange(100) % 10
    seen = np.where(np.arange(100) < 25, (asked + 1) % 10, asked)
    found = score(features, seen, asked, features, features)
    assert found.accuracy == 0.75
    assert found.recall == found.precision == 1


def test_a_judge_learns_the_embedded_digits_and_comes_back_from_disk(tmp_path):
    train, test = (data.read("digits", split=split) for split in ("train", "test"))
    judge, state = train_judge(train, epochs=25)
    accuracy = judge.accuracy(test)
    assert accuracy > 0.9
    state.ema.swap()
    state.save(tmp_path)
    back = Judge.load(tmp_path)
    features, _ = back.examine(test.pixels())
    assert features.shape == (297, 128)
    assert back.accuracy(test) == accuracy


def test_what_is_no_judge_is_said_so(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("other.safetensors", "none.safetensors"):
        with pytest.raises(UserError, match="holds no judge"):
            Judge.load(tmp_path / name)
