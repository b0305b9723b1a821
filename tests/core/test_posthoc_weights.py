"""Averages of any length from two short ones, against averages that were really taken."""

import pytest
import torch

from inkling.core.ema import Ema, posthoc_mix, power_from_width

SHORT = (0.05, 0.1)


@pytest.mark.parametrize("width", [0.06, 0.1, 0.15, 0.2, 0.25])
def test_a_mix_of_stored_averages_is_the_average_that_was_not_taken(width):
    steps, every = 2000, 125
    generator = torch.Generator().manual_seed(0)
    live = torch.zeros(50)
    shorts = [Ema([live], width=short) for short in SHORT]
    real = Ema([live], width=width)
    stored, times, powers = [], [], []
    for step in range(1, steps + 1):
        live += 0.05 * torch.randn(50, generator=generator)  # a walk, as rough as weights get
        for ema in (*shorts, real):
            ema.update(step)
        if step % every == 0:
            for short, width_of in zip(shorts, SHORT, strict=True):
                stored.append(short.average[0].double().clone())
                times.append(step)
                powers.append(power_from_width(width_of))
    weights = posthoc_mix(
        torch.tensor(times), torch.tensor(powers), steps, power_from_width(width)
    ).weights
    mixed = (weights[:, None] * torch.stack(stored)).sum(0)
    error = (mixed - real.average[0]).norm() / real.average[0].norm()
    apart = (shorts[0].average[0] - real.average[0]).norm() / real.average[0].norm()
    assert error < 0.02
    assert error < 0.15 * apart
    assert weights.sum().item() == pytest.approx(1, abs=1e-9)


def test_a_stored_average_is_itself():
    powers = torch.tensor([power_from_width(short) for short in SHORT * 2])
    mix = posthoc_mix(torch.tensor([50, 50, 100, 100]), powers, 100, powers[0].item())
    torch.testing.assert_close(mix.weights, torch.tensor([0, 0, 1, 0], dtype=torch.float64))
    assert mix.residual < 1e-6


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("width", [0.03, 0.1, 0.2, 0.25])
def test_weights_that_never_changed_are_their_own_average(count, width):
    times = torch.arange(1, count + 1).repeat_interleave(2) * 100
    powers = torch.tensor([power_from_width(short) for short in SHORT * count])
    mix = posthoc_mix(times, powers, times[-1].item(), power_from_width(width))
    assert mix.weights.sum().item() == pytest.approx(1, abs=1e-9)


def test_the_residual_falls_with_the_number_of_snapshots():
    def residual(count, width):
        times = torch.arange(1, count + 1).repeat_interleave(2) * 100
        powers = torch.tensor([power_from_width(short) for short in SHORT * count])
        return posthoc_mix(times, powers, times[-1].item(), power_from_width(width)).residual

    found = [residual(count, 0.25) for count in (2, 4, 8, 16, 32)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.5
    assert found[-1] < 0.05
