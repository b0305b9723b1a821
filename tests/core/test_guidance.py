"""Guidance against identities and a Gaussian whose guided answer is known."""

import pytest
import torch

from inkling.contracts import Cond
from inkling.core import guidance

X = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
SIGMA = torch.tensor(1.5)


def cond(mean, batch=3):
    return Cond(
        torch.full((batch, 1), mean),
        torch.zeros(batch, 0, 1),
        torch.zeros(batch, 0, dtype=torch.bool),
    )


def model(x, sigma, condition):
    """Data N(condition, 0.5^2)."""
    mean = condition.vector.view(-1, 1, 1, 1).to(x)
    return mean + 0.25 / (0.25 + sigma**2) * (x - mean)


def test_scale_one_is_bit_identical_to_no_guidance_and_calls_once():
    calls = []

    def counted(x, sigma, condition):
        calls.append(len(x))
        return model(x, sigma, condition)

    guided = guidance.cfg(counted, cond(0.8), cond(0.0), 1.0)(X, SIGMA)
    assert calls == [3]
    assert torch.equal(guided, guidance.bind(model, cond(0.8))(X, SIGMA))


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.5, 4.0])
def test_guidance_extrapolates_the_mean(scale):
    guided = guidance.cfg(model, cond(0.8), cond(0.2), scale)(X, SIGMA)
    expected = model(X, SIGMA, cond(0.2 + scale * (0.8 - 0.2)))
    torch.testing.assert_close(guided, expected)


def test_guidance_commutes_with_the_prediction():
    """Guiding noise predictions and guiding estimates are the same thing."""
    a, b = model(X, SIGMA, cond(0.8)), model(X, SIGMA, cond(0.2))
    noise_a, noise_b = (X - a) / SIGMA, (X - b) / SIGMA
    through_noise = X - SIGMA * (noise_b + 3 * (noise_a - noise_b))
    torch.testing.assert_close(
        guidance.cfg(model, cond(0.8), cond(0.2), 3.0)(X, SIGMA), through_noise
    )


@pytest.mark.parametrize(
    ("sigma", "guides"), [(0.5, False), (0.51, True), (2.0, True), (2.1, False)]
)
def test_the_interval_is_open_below_and_closed_above(sigma, guides):
    level = torch.tensor(sigma)
    found = guidance.cfg(model, cond(0.8), cond(0.2), 2.0, low=0.5, high=2.0)(X, level)
    plain = model(X, level, cond(0.8))
    assert torch.equal(found, plain) != guides


def test_tokens_of_unequal_length_are_padded():
    wide = Cond(torch.zeros(3, 1), torch.ones(3, 5, 2), torch.ones(3, 5, dtype=torch.bool))
    narrow = Cond(torch.zeros(3, 1), torch.ones(3, 1, 2), torch.ones(3, 1, dtype=torch.bool))
    seen = []

    def look(x, sigma, condition):
        seen.append(condition)
        return x

    guidance.cfg(look, wide, narrow, 2.0)(X, SIGMA)
    assert seen[0].tokens.shape == (6, 5, 2)
    assert seen[0].mask.sum(1).tolist() == [5, 5, 5, 1, 1, 1]


def test_clamp_keeps_estimates_inside():
    clamped = guidance.clamp(lambda x, sigma: 3 * x)(X, SIGMA)
    assert clamped.abs().max() == 1
    assert torch.equal(clamped, (3 * X).clamp(-1, 1))


def test_dynamic_threshold_rescales_by_its_quantile_and_leaves_small_images_alone():
    big = torch.linspace(-4, 4, 16).view(1, 1, 4, 4)
    both = torch.cat([big, big / 8])
    found = guidance.dynamic_threshold(lambda x, sigma: x, quantile=0.75)(both, SIGMA)
    limit = torch.quantile(big.abs().flatten(), 0.75)
    torch.testing.assert_close(found[:1], big.clamp(-limit, limit) / limit)
    torch.testing.assert_close(found[1:], big / 8)


def test_wrappers_nest():
    guided = guidance.clamp(guidance.cfg(model, cond(0.8), cond(0.2), 9.0), 0.5)(X, SIGMA)
    assert guided.abs().max() <= 0.5
