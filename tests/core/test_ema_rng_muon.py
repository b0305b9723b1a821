"""Averages against their closed form, seeds against each other, Muon against the SVD."""

import pytest
import torch

from inkling.core.ema import Ema, power_from_width
from inkling.core.muon import Muon, orthogonalised
from inkling.core.rng import ImageNoise, stream


def test_constant_decay_is_the_geometric_average_once_it_is_warm():
    weight = torch.nn.Parameter(torch.zeros(2))
    ema = Ema([weight], decay=0.9)
    for step in range(101, 106):  # (1 + t)/(10 + t) is above 0.9 from step 80 on
        weight.data.fill_(step)
        ema.update(step)
    expected = sum(0.1 * 0.9 ** (105 - step) * step for step in range(101, 106))
    torch.testing.assert_close(ema.average[0], torch.full((2,), expected))


def test_a_slow_decay_does_not_hold_on_to_the_initial_weights():
    weight = torch.nn.Parameter(torch.full((3,), 100.0))
    ema = Ema([weight], decay=0.9999)
    weight.data.fill_(1.0)
    for step in range(1, 401):
        ema.update(step)
    torch.testing.assert_close(ema.average[0], torch.ones(3))
    assert ema.keep(400) == pytest.approx(401 / 410)
    assert ema.keep(1_000_000) == 0.9999


@pytest.mark.parametrize("width", [0.03, 0.05, 0.1, 0.2])
def test_the_power_function_has_the_width_asked_for(width):
    gamma = power_from_width(width)
    t = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    weight = t**gamma / (t**gamma).sum()
    mean = (weight * t).sum()
    assert ((weight * (t - mean) ** 2).sum()).sqrt().item() == pytest.approx(width, rel=1e-3)


def test_power_average_is_the_weighted_sum_of_its_definition():
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    ema = Ema([weight], width=0.1)
    gamma = ema.power
    values = torch.rand(400, dtype=torch.float64)
    for step, value in enumerate(values, start=1):
        weight.data.fill_(value)
        ema.update(step)
    # Karras et al. 2024, eq. 121, exact for the product of keeps: t^(g+1) - (t-1)^(g+1).
    t = torch.arange(1, 401, dtype=torch.float64)
    share = t ** (gamma + 1) - (t - 1) ** (gamma + 1)
    torch.testing.assert_close(ema.average[0], (share * values).sum() / share.sum().reshape(1))


def test_the_first_update_forgets_the_initial_weights():
    weight = torch.nn.Parameter(torch.full((3,), 100.0))
    ema = Ema([weight])
    weight.data.fill_(1.0)
    ema.update(1)
    torch.testing.assert_close(ema.average[0], torch.ones(3))


def test_swap_twice_is_no_swap():
    weight = torch.nn.Parameter(torch.ones(2))
    ema = Ema([weight], decay=0.5)
    weight.data.fill_(3.0)
    ema.update(100)
    ema.swap()
    torch.testing.assert_close(weight.data, torch.full((2,), 2.0))
    ema.swap()
    torch.testing.assert_close(weight.data, torch.full((2,), 3.0))


def test_streams_depend_on_their_keys_alone():
    def draw(*keys):
        return torch.rand(4, generator=stream(*keys))

    assert torch.equal(draw(0, "step", 7), draw(0, "step", 7))
    others = [draw(0, "step", 8), draw(1, "step", 7), draw(0, "stepx", 7), draw(0, "ste", "p7")]
    assert all(not torch.equal(draw(0, "step", 7), other) for other in others)


def test_an_image_has_the_same_noise_alone_and_in_a_batch():
    together = ImageNoise(range(7))
    alone = ImageNoise([3])
    for _ in range(3):  # also in later draws, as stochastic samplers make them
        like = torch.zeros(7, 2, 5, 3)
        assert torch.equal(together(like)[3], alone(like[:1])[0])


def test_no_two_images_have_the_same_noise():
    """Seeds whose hashes agree in the 32 bits that torch's generator reads, among them."""
    known = ImageNoise([51157, 77113]).draw((1, 4, 4))
    assert not torch.equal(known[0], known[1])
    first = ImageNoise(range(20_000)).draw((1, 1, 2))
    assert len(first.flatten(1).unique(dim=0)) == 20_000


def test_image_noise_is_standard_normal():
    noise = ImageNoise(range(500)).draw((1, 20, 20))
    assert noise.mean().abs() < 0.01
    assert noise.std().sub(1).abs() < 0.01


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_orthogonalised_keeps_directions_and_evens_singular_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    (found,) = orthogonalised([matrix])
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3
    assert values.max() < 1.3
    aligned = torch.diagonal(u.T @ found @ vt.T)  # same singular vectors: nothing off-diagonal
    torch.testing.assert_close(u @ torch.diag(aligned) @ vt, found, rtol=0, atol=1e-4)


def test_muon_minimises_a_quadratic():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(6, 2, 3, 3, generator=generator)
    weight = torch.nn.Parameter(torch.zeros_like(target))
    optimiser = Muon([weight], lr=0.05)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 300)
        loss = (weight - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 1e-3
