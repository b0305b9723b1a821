"""Jumps along trajectories, against closed forms and against trying everything."""

from itertools import combinations, pairwise

import pytest
import torch

from inkling.core.jumps import apart, best_path, jump_errors, jump_target, state_at
from inkling.core.noise import karras
from inkling.core.samplers import SAMPLERS, towards

SPREAD = 0.6


def gaussian(x, sigma):
    """The exact denoiser of pictures that are normal with this spread."""
    return SPREAD**2 / (SPREAD**2 + sigma**2) * x


def followed(steps=12, count=6):
    """(states, estimates, levels) of a sampler on the exact denoiser."""
    sigmas = karras(steps, 0.03, 20.0)
    x = torch.randn(count, 1, 4, 4, dtype=torch.float64) * sigmas[0]
    found = [*SAMPLERS["euler"](gaussian, x, sigmas)]
    states = torch.stack([x, *(step.x for step in found)], 1)
    return states, torch.stack([step.x0 for step in found], 1), sigmas


def test_a_step_to_its_target_lands_where_the_teacher_does():
    x, landed = torch.randn(2, 5, 1, 3, 3, dtype=torch.float64)
    now, nxt = torch.tensor([9.0, 3, 1, 0.5, 2.0]), torch.tensor([3.0, 1, 0.2, 0, 1.9])
    target = jump_target(x, landed, now.double(), nxt.double())
    for row in range(5):
        there = towards(x[row], target[row], now[row].double(), nxt[row].double())
        torch.testing.assert_close(there, landed[row])


def test_states_lie_on_the_lines_that_a_solver_goes_along():
    states, estimates, sigmas = followed()
    for i, (now, nxt) in enumerate(pairwise(sigmas)):
        level = (0.3 * now + 0.7 * nxt).item()
        between = towards(states[:, i], estimates[:, i], now, torch.tensor(level).double())
        torch.testing.assert_close(state_at(states, sigmas, level), between)
        torch.testing.assert_close(state_at(states, sigmas, now.item()), states[:, i])
    torch.testing.assert_close(state_at(states, sigmas, 0.0), states[:, -1])


def test_errors_of_jumps_are_those_of_euler_on_a_gaussian():
    states, estimates, sigmas = followed()
    errors = jump_errors(states, estimates, sigmas, SPREAD)
    for i, j in ((0, 1), (0, 5), (3, 12), (10, 12)):
        shrunk = gaussian(torch.tensor(1.0), sigmas[i])
        lands = (shrunk + sigmas[j] / sigmas[i] * (1 - shrunk)) * states[:, i]
        spread = (sigmas[j] ** 2 + SPREAD**2).sqrt()
        wanted = (lands - states[:, j]).square().mean().sqrt() / spread
        assert errors[i, j].item() == pytest.approx(wanted.item(), abs=1e-6)
        assert errors[j - 1, i].isinf() or j - 1 < i
    assert errors[0, 12] > errors[0, 1]


def test_a_point_mass_is_reached_from_everywhere_in_one_jump():
    sigmas = karras(6, 0.03, 20.0)
    x = torch.randn(3, 1, 2, 2, dtype=torch.float64) * sigmas[0]
    found = [*SAMPLERS["euler"](lambda x, sigma: torch.full_like(x, 0.4), x, sigmas)]
    states = torch.stack([x, *(step.x for step in found)], 1)
    estimates = torch.stack([step.x0 for step in found], 1)
    errors = jump_errors(states, estimates, sigmas, SPREAD)
    assert errors[errors.isfinite()].max() < 1e-6


@pytest.mark.parametrize("jumps", [1, 2, 4, 7])
def test_the_best_path_is_the_best_of_all(jumps):
    errors = torch.rand(7, 8, generator=torch.Generator().manual_seed(jumps))
    inner = combinations(range(1, 7), jumps - 1)
    every = [[0, *some] for some in inner]
    cost = [sum(errors[a, b].item() for a, b in pairwise([*path, 7])) for path in every]
    assert best_path(errors, jumps) == every[cost.index(min(cost))]


def test_no_two_numbers_of_calls_share_a_level():
    paths = {1: [80.0], 2: [80.0, 1.2], 4: [80.0, 3.0, 1.2, 0.4]}
    levels = apart(paths)
    assert levels[1] == (80.0,)
    assert levels[2] == pytest.approx((64.0, 1.2))
    assert levels[4] == pytest.approx((51.2, 3.0, 0.96, 0.4))
    everything = sorted(level for each in levels.values() for level in each)
    assert all(high / low > 1.1 for low, high in pairwise(everything))


def test_levels_that_cannot_be_told_apart_are_no_levels():
    assert apart({1: [2.0], 2: [2.0, 1.9]}) is not None
    assert apart({1: [10.0], 2: [11.0, 8.3]}) is None
