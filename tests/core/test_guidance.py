"""Guidance against identities and a Gaussian whose guided answer is known."""

from itertools import pairwise

import pytest
import torch

from inkling.contracts import Cond
from inkling.core import guidance
from inkling.core.samplers import SAMPLERS

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


def near(aim, spread):
    """The likelihood of a prompt that wants every pixel near `aim`: N(aim; picture, spread^2)."""
    return lambda x, sigma: -((x - aim).square() / (2 * spread**2)).flatten(1).sum(1)


def near_behind_noise(aim, spread):
    """The same of a noisy picture, whose clean one is N(0, 0.5^2): what a noisy reader learns."""

    def likely(x, sigma):
        shrink = 0.25 / (0.25 + sigma**2)
        width = spread**2 + sigma**2 * shrink
        return -((shrink * x - aim).square() / (2 * width)).flatten(1).sum(1)

    return likely


def posterior(x, sigma, aim, spread):
    """The mean of a pixel N(0, 0.5^2), seen as `x` in noise and asked to be near `aim`."""
    precision = 4 + 1 / sigma**2 + 1 / spread**2
    return (x / sigma**2 + aim / spread**2) / precision


@pytest.mark.parametrize("spread", [0.3, 1.0, 5.0])
def test_a_reader_of_noise_guides_a_gaussian_to_its_posterior_mean(spread):
    plain = guidance.bind(model, cond(0.0))
    guided = guidance.classifier_guidance(plain, near_behind_noise(0.7, spread), 1.0)(X, SIGMA)
    torch.testing.assert_close(guided, posterior(X, SIGMA, 0.7, spread))


def test_the_gradient_through_the_network_moves_a_gaussian_by_the_known_amount():
    plain = guidance.bind(model, cond(0.0))
    guided = guidance.dps_guidance(plain, near(0.7, 2.0), 3.0)(X, SIGMA)
    shrink = 0.25 / (0.25 + SIGMA**2)
    x0 = shrink * X
    torch.testing.assert_close(guided, x0 + 3 * SIGMA**2 * shrink * (0.7 - x0) / 4)


def test_inner_steps_add_up_instead_of_overwriting_each_other():
    plain = guidance.bind(model, cond(0.0))
    inside = guidance.estimate_guidance(plain, near(0.7, 2.0), 3.0, 0.5, steps=4, size=0.2)
    rate = 0.2 * 3 * (SIGMA**2 * 0.25 / (SIGMA**2 + 0.25)) / 4
    x0 = plain(X, SIGMA)
    torch.testing.assert_close(inside(X, SIGMA), 0.7 + (x0 - 0.7) * (1 - rate) ** 4)


@pytest.mark.parametrize("end", [0.05, 0.0])
def test_steps_on_the_mean_move_the_mean_of_every_ancestral_step(end):
    """A score of slope 1 moves each mean by steps times size, at variance 1: by hand, step by step.

    Without the noise of the sampler, what is left is the mean of all samples.
    """
    sigmas = torch.tensor([8.0, 3.0, 1.0, 0.3, end], dtype=torch.float64)
    plain = guidance.bind(model, cond(0.0, batch=1))
    start = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    slope = guidance.mean_guidance(
        plain, lambda x, sigma: x.flatten(1).sum(1), sigmas, size=0.02, steps=5
    )
    *_, last = SAMPLERS["ddpm"](slope, start, sigmas, randn_like=torch.zeros_like)
    mean = 0.0
    for now, nxt in pairwise(sigmas.tolist()):
        x0 = 0.25 / (0.25 + now**2) * mean
        mean = x0 + (nxt / now) ** 2 * (mean - x0)  # of q(x_next | x, x0)
        mean += 5 * 0.02 * (1 + nxt**2)  # d picture / d unit-variance picture, there and back
    torch.testing.assert_close(last.x.item(), mean)


def test_inner_steps_on_the_mean_see_it_at_its_own_level():
    levels = []

    def score(x, sigma):
        levels.append((x.detach().clone(), sigma.item()))
        return -(x.square()).flatten(1).sum(1)

    sigmas = torch.tensor([4.0, 2.0, 0.0])
    plain = guidance.bind(model, cond(0.0))
    guidance.mean_guidance(plain, score, sigmas, size=0.01, steps=2)(X, sigmas[0])
    x0 = plain(X, sigmas[0])
    assert [level for _, level in levels] == [1.0, 1.0]
    torch.testing.assert_close(levels[0][0], x0 + 0.25 * (X - x0))
    assert levels[1][0].abs().sum() < levels[0][0].abs().sum()


def test_no_strength_is_the_bare_denoiser_and_nothing_keeps_a_graph():
    plain = guidance.bind(model, cond(0.0))
    likely = near(0.7, 1.0)
    assert guidance.classifier_guidance(plain, likely, 0) is plain
    assert guidance.dps_guidance(plain, likely, 0) is plain
    assert guidance.estimate_guidance(plain, likely, 0, 0.5) is plain
    levels = torch.tensor([SIGMA, 0.0])
    assert guidance.mean_guidance(plain, likely, levels, 0) is plain
    with torch.no_grad():
        for guided in (
            guidance.classifier_guidance(plain, likely, 1.0),
            guidance.dps_guidance(plain, likely, 1.0),
            guidance.estimate_guidance(plain, likely, 1.0, 0.5),
            guidance.mean_guidance(plain, likely, levels, 0.1),
        ):
            assert not guided(X, SIGMA).requires_grad


def test_a_negative_prompt_is_what_guidance_leads_away_from():
    guided = guidance.cfg(model, cond(0.0), cond(0.5), 2.0)(X, SIGMA)
    torch.testing.assert_close(guided, model(X, SIGMA, cond(-0.5)))


def test_conditions_mix_with_their_weights():
    short = Cond(torch.ones(1, 2), torch.ones(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))
    long = Cond(2 * torch.ones(1, 2), torch.ones(1, 3, 2), torch.ones(1, 3, dtype=torch.bool))
    mixed = Cond.mixed([short, long], [0.25, 0.5])
    assert mixed.vector.tolist() == [[1.25, 1.25]]
    assert mixed.tokens[0, :, 0].tolist() == [0.75, 0.5, 0.5]
    assert mixed.mask.tolist() == [[True, True, True]]
