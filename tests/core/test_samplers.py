"""Samplers on cases whose answer is known in closed form, and against diffusers."""

from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal

from inkling.core.noise import Karras, Linear, abar_from_sigma, grid
from inkling.core.samplers import SAMPLERS, ancestral, check_sampler, ddim, dpmpp_2m
from inkling.errors import UserError

SD = 0.5
DETERMINISTIC = [name for name in SAMPLERS if name != "ddpm"]
SECOND_ORDER = ["heun", "dpmpp_2m", "dpmpp_2s", "unipc"]


def gaussian(mean=0.0, sd=SD):
    """The denoiser of data N(mean, sd^2): exact at every level."""
    return lambda x, sigma: mean + sd**2 / (sd**2 + sigma**2) * (x - mean)


def end(sampler, denoise, x, sigmas, **options):
    *_, last = sampler(denoise, x, sigmas, **options)
    return last.x


def spread(name, steps):
    """Standard deviation after sampling data of 0.5 on the Karras grid 80 .. 0.002, 0."""
    sigmas = grid(Karras(), steps)
    x = sigmas[0] * torch.ones(1, 1, 1, 1, dtype=torch.float64)
    return end(SAMPLERS[name], gaussian(), x, sigmas).item()


@pytest.mark.parametrize(
    ("name", "steps", "known"),
    [
        *[("euler", n, k) for n, k in [(8, 0.3328), (64, 0.4779)]],
        *[("ddim", n, k) for n, k in [(8, 0.3328), (16, 0.4137), (32, 0.4562), (64, 0.4779)]],
        *[("dpmpp_2m", n, k) for n, k in [(8, 0.5753), (16, 0.5400), (32, 0.5085), (64, 0.5019)]],
        *[("dpmpp_2s", n, k) for n, k in [(4, 0.3238), (8, 0.4434), (16, 0.4844), (32, 0.4960)]],
        *[("heun", n, k) for n, k in [(4, 2.1818), (8, 0.6970), (16, 0.5361), (32, 0.5078)]],
    ],
)
def test_the_spread_of_a_sampled_gaussian_is_the_known_number(name, steps, known):
    assert spread(name, steps) == pytest.approx(known, abs=6e-5)


@pytest.mark.parametrize(
    ("steps", "known"), [(10, 0.3228), (50, 0.4432), (250, 0.4858), (1000, 0.4961)]
)
def test_ancestral_variance_on_the_ddpm_grid(steps, known):
    """`x` stays Gaussian, so its variance can be followed exactly through every step."""
    table = grid(Linear(), 1000)[:-1].flip(0)
    u = torch.linspace(1, 0, steps, dtype=torch.float64)
    sigmas = torch.cat([table[(u * 999).round().long()], torch.zeros(1, dtype=torch.float64)])
    variance = sigmas[0] ** 2
    for now, nxt in pairwise(sigmas):
        down, up = ancestral(now, nxt, 1.0)
        shrink = SD**2 / (SD**2 + now**2)
        gain = shrink + down / now * (1 - shrink)
        variance = gain**2 * variance + up**2
    assert variance.sqrt().item() == pytest.approx(known, abs=3e-4)


@pytest.mark.parametrize(("name", "eta"), [("ddpm", 1.0), ("ddim", 1.0), ("ddim", 0.6)])
def test_sampling_with_fresh_noise_has_that_variance(name, eta):
    sigmas = grid(Linear(), 50)
    generator = torch.Generator().manual_seed(0)
    x = sigmas[0] * torch.randn(200_000, 1, 1, 1, generator=generator, dtype=torch.float64)

    def noise(like):
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    solver = SAMPLERS[name].with_eta(eta)
    assert solver.stochastic
    drawn = end(solver, gaussian(), x, sigmas, randn_like=noise)
    variance = sigmas[0] ** 2
    for now, nxt in pairwise(sigmas):
        down, up = ancestral(now, nxt, eta)
        shrink = SD**2 / (SD**2 + now**2)
        variance = (shrink + down / now * (1 - shrink)) ** 2 * variance + up**2
    assert drawn.std().item() == pytest.approx(variance.sqrt().item(), rel=0.006)


def errors_on_doubling(name, denoise, exact, start):
    """End-point errors at 32, 64, 128 and 256 steps, on a grid that stops at 0.002."""
    found = []
    for steps in (32, 64, 128, 256):
        sigmas = grid(Karras(), steps)[:-1]
        found.append((end(SAMPLERS[name], denoise, start, sigmas) - exact).abs().max().item())
    return found


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_order_of_convergence_on_a_gaussian(name):
    mean, start = 0.3, torch.full((1, 1, 1, 1), 70.0, dtype=torch.float64)
    scale = ((SD**2 + 0.002**2) / (SD**2 + 80.0**2)) ** 0.5
    exact = mean + (start - mean) * scale  # the ODE of a Gaussian only rescales
    found = errors_on_doubling(name, gaussian(mean), exact, start)
    for coarse, fine in pairwise(found[1:]):
        low, high = (3.5, 9.0) if name in SECOND_ORDER else (1.8, 2.2)
        assert low < coarse / fine < high, found


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_order_of_convergence_on_a_mixture(name):
    """Two modes at -1 and 0.6: the ODE maps quantiles to quantiles, so its end is known."""
    weights, means, sd = torch.tensor([0.3, 0.7]).double(), torch.tensor([-1.0, 0.6]).double(), 0.2

    def denoise(x, sigma):
        s2 = sd**2 + sigma**2
        logits = weights.log() - (x[..., None] - means).square() / (2 * s2)
        each = means + sd**2 / s2 * (x[..., None] - means)
        return (logits.softmax(-1) * each).sum(-1)

    def cdf(x, sigma):
        spread = (sd**2 + sigma**2) ** 0.5
        return (weights * Normal(means, spread).cdf(x[..., None])).sum(-1)

    start = torch.linspace(-110, 110, 7, dtype=torch.float64).view(-1, 1, 1, 1)
    quantile = cdf(start, 80.0)
    low, high = torch.full_like(start, -5), torch.full_like(start, 5)
    for _ in range(80):  # bisection for the point of equal quantile at the last level
        middle = (low + high) / 2
        below = cdf(middle, 0.002) < quantile
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    found = errors_on_doubling(name, denoise, low, start)
    ratio = found[-2] / found[-1]
    assert ratio > (3.0 if name in SECOND_ORDER else 1.7), found
    assert found[-1] < (2e-3 if name in SECOND_ORDER else 2e-2), found


def test_the_ancestral_step_is_the_ddpm_posterior():
    """Mean and variance of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, eq. 7), in VP coordinates."""
    sigmas = grid(Linear(), 1000)
    betas = Linear().betas().flip(0)
    x0, xt = torch.tensor(0.4).double(), torch.tensor(-1.3).double()
    for i in (0, 300, 700, 990):
        now, nxt, beta = sigmas[i], sigmas[i + 1], betas[i]
        abar, abar_before = abar_from_sigma(now), abar_from_sigma(nxt)
        variance = (1 - abar_before) / (1 - abar) * beta
        mean = (
            abar_before.sqrt() * beta / (1 - abar) * x0
            + (1 - beta).sqrt() * (1 - abar_before) / (1 - abar) * xt
        )
        down, up = ancestral(now, nxt, 1.0)
        x = xt / abar.sqrt()
        ours = x0 + down / now * (x - x0)
        torch.testing.assert_close(ours * abar_before.sqrt(), mean, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(up**2 * abar_before, variance, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_noise_and_denoising_share_the_variance(eta):
    down, up = ancestral(torch.tensor(2.0), torch.tensor(1.5), eta)
    torch.testing.assert_close(down**2 + up**2, torch.tensor(1.5) ** 2)


def test_no_eta_draws_no_noise():
    def forbidden(like):
        raise AssertionError("eta = 0 asked for noise")

    x = torch.ones(1, 1, 2, 2)
    assert end(ddim, gaussian(), x, grid(Karras(), 5), randn_like=forbidden).shape == x.shape


def test_euler_is_ddim_without_fresh_noise():
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    slope = lambda x, sigma: (x - gaussian(0.3)(x, sigma)) / sigma  # noqa: E731
    expected, sigmas = x, grid(Karras(), 9)
    for now, nxt in pairwise(sigmas):
        expected = expected + (nxt - now) * slope(expected, now)
    for name in ("euler", "ddim"):
        found = end(SAMPLERS[name].with_eta(0.0), gaussian(0.3), x, sigmas)
        torch.testing.assert_close(found, expected)
    assert SAMPLERS["euler"].with_eta(0.5) == SAMPLERS["euler"]


def test_fresh_noise_is_refused_where_a_sampler_takes_none():
    check_sampler("ddim", 0.5)
    check_sampler("heun", 0.0)
    with pytest.raises(UserError, match=r"eta=0.5 .* ddim, and heun takes none; sample with ddim"):
        check_sampler("heun", 0.5)
    with pytest.raises(UserError, match="no sampler 'dddim'; did you mean 'ddim'"):
        check_sampler("dddim")


def test_one_step_of_2m_is_ddim():
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    for sigmas in (grid(Karras(), 1), torch.tensor([3.0, 1.0]).double()):
        torch.testing.assert_close(
            end(dpmpp_2m, gaussian(), x, sigmas), end(ddim, gaussian(), x, sigmas), rtol=0, atol=0
        )


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("ends_in_zero", [True, False])
def test_every_sampler_yields_a_step_for_each_interval_and_keeps_float64(name, ends_in_zero):
    sigmas = grid(Karras(), 6) if ends_in_zero else grid(Karras(), 7)[:-1]
    steps = list(SAMPLERS[name](gaussian(), torch.ones(2, 1, 3, 5, dtype=torch.float64), sigmas))
    assert [step.index for step in steps] == list(range(6))
    assert [step.sigma.item() for step in steps] == sigmas[1:].tolist()
    assert all(step.x.dtype == torch.float64 and step.x.shape == (2, 1, 3, 5) for step in steps)
    if ends_in_zero:
        torch.testing.assert_close(steps[-1].x, steps[-1].x0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_images_do_not_see_their_batch(name):
    generator = torch.Generator().manual_seed(0)
    x = 80 * torch.randn(5, 1, 4, 4, generator=generator, dtype=torch.float64)

    def zeros(like):
        return torch.zeros_like(like)

    together = end(SAMPLERS[name], gaussian(), x, grid(Karras(), 7), randn_like=zeros)
    alone = end(SAMPLERS[name], gaussian(), x[3:4], grid(Karras(), 7), randn_like=zeros)
    torch.testing.assert_close(together[3:4], alone, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "heun"])
def test_the_reversed_grid_inverts(name):
    """Up and down again on the same levels returns to the start, to the order of the solver."""
    x = torch.tensor([[[[0.9, -0.4]]]], dtype=torch.float64)
    sigmas = grid(Karras(0.01, 10.0), 200)[:-1]
    noise = end(SAMPLERS[name], gaussian(), x, sigmas.flip(0))
    back = end(SAMPLERS[name], gaussian(), noise, sigmas)
    torch.testing.assert_close(back, x, rtol=0, atol=5e-2 if name == "ddim" else 2e-3)
