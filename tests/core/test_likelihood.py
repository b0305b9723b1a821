"""The bound against cases whose entropy is known."""

import math

import pytest
import torch
from torch.distributions import Normal

from inkling.core.likelihood import bits_per_dimension

ENDS = (0.002, 80.0)


def on_grey_values(x):
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def told(clean, sd, mean=0.0):
    """Probability of each value under a Gaussian cut into grey values, exactly."""
    law = Normal(torch.tensor(mean, dtype=torch.float64), sd)
    half, x = 1 / 255, clean.double()
    return (law.cdf(x + half) - law.cdf(x - half)).clamp(min=1e-30)


def bits(denoise, clean, sigma_data, ends=ENDS):
    generator = torch.Generator().manual_seed(0)
    return bits_per_dimension(denoise, clean, ends, sigma_data, generator)


@pytest.mark.parametrize("sd", [0.05, 0.2, 0.3])
def test_a_gaussian_needs_its_entropy(sd):
    generator = torch.Generator().manual_seed(1)
    clean = on_grey_values(sd * torch.randn(4000, 1, 4, 4, generator=generator))

    def optimal(x, sigma, rows):
        level = sigma.view(-1, 1, 1, 1)
        return x * sd**2 / (sd**2 + level**2)

    found = bits(optimal, clean, sd)
    exact = -told(clean, sd).log2().mean().item()
    assert abs(found.mean - exact) < 2 * found.error
    assert found.error < 0.06


def test_a_mixture_of_two_far_modes_costs_one_bit_more_a_picture():
    sd, far = 0.1, 0.5
    generator = torch.Generator().manual_seed(2)
    side = (torch.arange(4000) % 2 * 2 - 1).view(-1, 1, 1, 1) * far
    clean = on_grey_values(side + sd * torch.randn(4000, 1, 2, 2, generator=generator))

    def optimal(x, sigma, rows):
        level = sigma.view(-1, 1, 1, 1)
        variance = sd**2 + level**2
        lean = torch.tanh(far * x.sum((1, 2, 3), keepdim=True) / variance)
        return lean * far + (x - lean * far) * sd**2 / variance

    found = bits(optimal, clean, math.sqrt(sd**2 + far**2))
    modes = [told(clean, sd, mean).flatten(1).prod(1) for mean in (-far, far)]
    exact = -((modes[0] + modes[1]) / 2).log2().mean().item() / 4
    assert abs(found.mean - exact) < 2 * found.error


def test_a_worse_denoiser_needs_more():
    generator = torch.Generator().manual_seed(3)
    clean = on_grey_values(0.2 * torch.randn(2000, 1, 4, 4, generator=generator))

    def shrunk(by):
        return lambda x, s, rows: by * x * 0.04 / (0.04 + s.view(-1, 1, 1, 1) ** 2)

    assert bits(shrunk(0.9), clean, 0.2).mean > bits(shrunk(1.0), clean, 0.2).mean + 1


def test_known_pictures_need_almost_nothing():
    clean = torch.full((500, 1, 4, 4), 1 / 255)
    assert abs(bits(lambda x, s, rows: clean[rows], clean, 0.2, (0.001, 80.0)).mean) < 0.01


@pytest.mark.parametrize("lowest", [0.002, 0.03, 0.1, 0.4])
def test_uniform_grey_values_need_eight_bits_from_any_lowest_level(lowest):
    """A bound that starts at much noise decodes among all grey values that it may come from."""
    values = torch.arange(256) / 127.5 - 1
    generator = torch.Generator().manual_seed(4)
    clean = values[torch.randint(256, (2000, 1, 2, 2), generator=generator)]

    def optimal(x, sigma, rows):
        gap = (x[..., None] - values).square() / (2 * sigma.view(-1, 1, 1, 1, 1).square())
        return ((-gap).softmax(-1) * values).sum(-1)

    found = bits(optimal, clean, 0.578, (lowest, 80.0))
    assert found.mean == pytest.approx(8, abs=3 * found.error + 0.05)
