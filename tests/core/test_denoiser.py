"""Each prediction against its published target, and the weightings against theirs."""

import pytest
import torch
from torch import nn

from inkling.contracts import Cond
from inkling.core.denoiser import (
    PENALTIES,
    PREDICTIONS,
    WEIGHTINGS,
    Denoiser,
    target_of,
)

SD = 0.6
SIGMA = torch.logspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
COND = Cond(torch.zeros(9, 1), torch.zeros(9, 0, 1), torch.zeros(9, 0, dtype=torch.bool))


def draw():
    generator = torch.Generator().manual_seed(0)
    clean = SD * torch.randn(9, 3, 8, 8, generator=generator, dtype=torch.float64)
    noise = torch.randn(9, 3, 8, 8, generator=generator, dtype=torch.float64)
    return clean, noise, clean + SIGMA * noise


class Oracle(nn.Module):
    """A network that says a fixed thing and remembers what it was shown."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, coordinate, cond):
        self.seen, self.coordinate = x, coordinate
        return self.answer


def alpha():
    return (1 + SIGMA.square()).rsqrt()


EXPECTED = {
    "eps": lambda clean, noise: noise,
    "x0": lambda clean, noise: clean,
    "v": lambda clean, noise: alpha() * noise - SIGMA * alpha() * clean,
    "flow": lambda clean, noise: noise - clean,
    "edm": lambda clean, noise: (
        (clean - SD**2 / (SIGMA**2 + SD**2) * (clean + SIGMA * noise))
        / (SIGMA * SD / (SIGMA**2 + SD**2).sqrt())
    ),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_target_is_the_published_one(name):
    clean, noise, noisy = draw()
    target = target_of(clean, noisy, PREDICTIONS[name](SIGMA, SD))
    torch.testing.assert_close(target, EXPECTED[name](clean, noise))


@pytest.mark.parametrize("name", PREDICTIONS)
def test_with_the_right_output_the_denoiser_returns_the_clean_image(name):
    clean, _, noisy = draw()
    target = target_of(clean, noisy, PREDICTIONS[name](SIGMA, SD))
    denoiser = Denoiser(Oracle(target.float()), name, SD)
    tolerance = 1e-4 * 100 if name in ("eps", "flow") else 1e-4  # float32 times sigma
    torch.testing.assert_close(
        denoiser(noisy, SIGMA.flatten(), COND), clean, rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("name", ["eps", "x0", "v", "edm"])
def test_the_network_sees_unit_variance_at_every_level(name):
    assumed = SD if name == "edm" else 1.0
    generator = torch.Generator().manual_seed(1)
    clean = assumed * torch.randn(9, 1, 64, 64, generator=generator, dtype=torch.float64)
    noise = torch.randn(9, 1, 64, 64, generator=generator, dtype=torch.float64)
    scalings = PREDICTIONS[name](SIGMA, assumed)
    seen = scalings.in_ * (clean + SIGMA * noise)
    assert seen.flatten(1).std(1).sub(1).abs().max() < 0.05
    if name == "edm":
        target = target_of(clean, clean + SIGMA * noise, scalings)
        assert target.flatten(1).std(1).sub(1).abs().max() < 0.05


def test_edm_with_unit_data_is_minus_v():
    clean, _, noisy = draw()
    edm = target_of(clean, noisy, PREDICTIONS["edm"](SIGMA, 1.0))
    torch.testing.assert_close(edm, -target_of(clean, noisy, PREDICTIONS["v"](SIGMA, 1.0)))


def test_the_noise_coordinate_is_a_quarter_of_log_sigma():
    oracle = Oracle(torch.zeros(9, 3, 8, 8))
    Denoiser(oracle, "edm", SD)(draw()[2], SIGMA.flatten(), COND)
    torch.testing.assert_close(oracle.coordinate, SIGMA.flatten().float().log() / 4)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_edm_weighting_is_lambda_times_the_x0_error(name):
    scalings = PREDICTIONS[name](SIGMA, SD)
    published = (SIGMA**2 + SD**2) / (SIGMA * SD) ** 2
    torch.testing.assert_close(
        WEIGHTINGS["edm"](SIGMA, scalings, SD), published * scalings.out.square()
    )


def test_edm_weighting_of_the_edm_prediction_is_uniform():
    weight = WEIGHTINGS["edm"](SIGMA, PREDICTIONS["edm"](SIGMA, SD), SD)
    torch.testing.assert_close(weight, torch.ones_like(SIGMA))


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("eps", lambda snr: snr.clamp(max=5) / snr),
        ("x0", lambda snr: snr.clamp(max=5)),
        ("v", lambda snr: snr.clamp(max=5) / (snr + 1)),
    ],
)
def test_min_snr_is_the_published_weight_of_each_prediction(name, published):
    snr = 1 / SIGMA.square()
    weight = WEIGHTINGS["min_snr"](SIGMA, PREDICTIONS[name](SIGMA, SD), SD)
    torch.testing.assert_close(weight, published(snr))


def test_min_snr_stays_finite_as_the_signal_vanishes():
    sigma = torch.tensor([1e18])
    for prediction in PREDICTIONS.values():
        assert torch.isfinite(WEIGHTINGS["min_snr"](sigma, prediction(sigma, SD), SD)).all()


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_loss_is_zero_at_the_target_and_positive_beside_it(name, weighting, penalty):
    clean, noise, _ = (part.float() for part in draw())
    sigma = SIGMA.flatten().float()
    scalings = PREDICTIONS[name](sigma.view(-1, 1, 1, 1), SD)
    target = target_of(clean, clean + sigma.view(-1, 1, 1, 1) * noise, scalings)
    right, wrong = (Denoiser(Oracle(answer), name, SD) for answer in (target, target + 0.5))
    assert right.loss(clean, noise, sigma, COND, penalty, weighting).abs().max() < 1e-6
    off = wrong.loss(clean, noise, sigma, COND, penalty, weighting)
    assert off.shape == (9,)
    error = {"mse": 0.25, "l1": 0.5, "huber": 0.125}[penalty]
    weight = WEIGHTINGS[weighting](sigma.view(-1, 1, 1, 1), scalings, SD).flatten()
    torch.testing.assert_close(off, error * weight, rtol=1e-3, atol=1e-6)
