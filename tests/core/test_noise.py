"""Schedules against the published tables and identities."""

import math
from dataclasses import dataclass

import pytest
import torch

from inkling.core.noise import (
    SCHEDULES,
    Cosine,
    Flow,
    Karras,
    Linear,
    LogNormal,
    abar_from_sigma,
    grid,
    make_schedule,
    sigma_from_abar,
)
from inkling.errors import UserError


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 10, 250])
def test_a_grid_falls_strictly_from_finite_noise_to_zero(name, steps):
    sigmas = grid(SCHEDULES[name](), steps)
    assert sigmas.shape == (steps + 1,)
    assert sigmas.dtype == torch.float64
    assert torch.isfinite(sigmas).all()
    assert (sigmas.diff() < 0).all()
    assert sigmas[-1] == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_keeps_the_shape_and_dtype_of_u(name):
    u = torch.rand(3, 2, dtype=torch.float32)
    sigma = SCHEDULES[name]().sigma(u)
    assert sigma.shape == u.shape
    assert sigma.dtype == torch.float32


def test_a_thousand_steps_of_linear_are_ho_et_al_table():
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar = (1 - beta).cumprod(0)
    sigmas = grid(Linear(), 1000)
    torch.testing.assert_close(abar_from_sigma(sigmas[:-1]), abar.flip(0), rtol=1e-12, atol=0)


def test_linear_ends_near_the_known_terminal_levels():
    # 1000 steps end at abar 4.04e-5; the same betas in 20 steps stop at abar 0.82.
    assert abar_from_sigma(grid(Linear(), 1000)[0]).item() == pytest.approx(4.04e-5, rel=1e-2)
    assert abar_from_sigma(grid(Linear(timesteps=20), 20)[0]).item() == pytest.approx(
        0.82, abs=5e-3
    )


def test_cosine_follows_its_formula_until_the_clip():
    abar = abar_from_sigma(grid(Cosine(), 1000)[:-1]).flip(0)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000

    def f(x):
        return torch.cos((x + 0.008) / 1.008 * math.pi / 2) ** 2

    expected = f(t) / f(torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(abar[:999], expected[:999], rtol=1e-9, atol=0)
    assert abar[999] == pytest.approx(abar[998].item() * (1 - 0.999), rel=1e-9)


def test_karras_grid_of_the_paper():
    sigmas = grid(Karras(), 18)
    assert sigmas[0].item() == pytest.approx(80)
    assert sigmas[17].item() == pytest.approx(0.002)
    i = 5
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert sigmas[5].item() == pytest.approx(expected)


def test_lognormal_has_the_quantiles_of_the_normal_between_its_cuts():
    law = LogNormal(mean=-0.3, std=1.1, sigma_min=1e-8, sigma_max=1e8)
    for u, z in [(0.5, 0.0), (0.841344746, 1.0), (0.022750132, -2.0)]:
        sigma = law.sigma(torch.tensor(u, dtype=torch.float64))
        assert sigma.log().item() == pytest.approx(-0.3 + 1.1 * z, abs=1e-6)
    cut = LogNormal(sigma_min=0.01, sigma_max=5.0).sigma(torch.linspace(0, 1, 101))
    assert cut[0].item() == pytest.approx(0.01)
    assert cut[-1].item() == pytest.approx(5.0)


def test_logit_normal_time_is_log_normal_sigma():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1000, generator=generator, dtype=torch.float64)
    time = torch.sigmoid(0.4 + 0.9 * z)
    u = torch.special.ndtr(z)
    law = LogNormal(mean=0.4, std=0.9, sigma_min=1e-9, sigma_max=1e9)
    torch.testing.assert_close(law.sigma(u), time / (1 - time), rtol=1e-6, atol=0)


def test_shifting_flow_time_is_scaling_sigma():
    u = torch.linspace(0, 1, 11, dtype=torch.float64)
    shifted = Flow(shift=3.0).sigma(u)
    torch.testing.assert_close(shifted, 3 * Flow().sigma(u))
    t = Flow().sigma(u) / (1 + Flow().sigma(u))
    esser = 3 * t / (1 + 2 * t)  # Esser et al. 2024, eq. 23
    torch.testing.assert_close(shifted / (1 + shifted), esser)


def test_sigma_and_abar_are_inverse():
    sigma = torch.logspace(-3, 2, 20, dtype=torch.float64)
    torch.testing.assert_close(sigma_from_abar(abar_from_sigma(sigma)), sigma)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear", {"beta_end": 1.0}),
        ("linear", {"beta_start": 0.0}),
        ("linear", {"timesteps": 1}),
        ("cosine", {"max_beta": 1.0}),
        ("cosine", {"offset": -0.1}),
        ("karras", {"sigma_min": 0.0}),
        ("karras", {"sigma_min": 90.0}),
        ("karras", {"sigma_max": math.inf}),
        ("karras", {"rho": math.nan}),
        ("karras", {"rho": 0.001}),
        ("linear", {"timesteps": 10**12}),
        ("lognormal", {"std": 0.0}),
        ("lognormal", {"sigma_min": -1.0}),
        ("lognormal", {"mean": 500.0}),
        ("flow", {"t_max": 1.0}),
        ("flow", {"t_min": 0.0}),
        ("flow", {"shift": 0.0}),
    ],
)
def test_ends_that_are_not_finite_are_refused_where_a_schedule_is_made(name, options):
    with pytest.raises(UserError, match=f"{SCHEDULES[name].__name__}.*it needs"):
        make_schedule(name, options)
    with pytest.raises(UserError, match="it needs"):
        SCHEDULES[name](**options)


def test_options_are_checked_by_name_and_kind():
    assert make_schedule("linear", {"timesteps": 20.0}) == Linear(timesteps=20)
    with pytest.raises(UserError, match=r"timesteps=20.5 of the schedule 'linear' is no whole"):
        make_schedule("linear", {"timesteps": 20.5})
    with pytest.raises(UserError, match=r"no option of the schedule 'flow': 'shiftt'; did you"):
        make_schedule("flow", {"shiftt": 1.0})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear", {"beta_start": 0.5, "beta_end": 0.5}),
        ("flow", {"shift": 1e300}),
        ("flow", {"t_max": 0.99999999}),
        ("karras", {"sigma_max": 1e30}),
        ("karras", {"sigma_min": 1e-30}),
    ],
)
def test_levels_that_float32_cannot_train_on_are_refused(name, options):
    with pytest.raises(UserError, match=r"it needs rising levels between 1e-06 and 1e\+07"):
        make_schedule(name, options)


def test_a_schedule_of_ones_own_is_held_to_finite_rising_levels(monkeypatch):
    @dataclass(frozen=True)
    class Falling:
        def sigma(self, u):
            return 2 - u

    monkeypatch.setitem(SCHEDULES, "falling", Falling)
    with pytest.raises(UserError, match=r"rising levels between .* not 2 to 1"):
        make_schedule("falling", {})
