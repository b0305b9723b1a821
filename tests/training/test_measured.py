"""Settings that are measured on the training pictures."""

import math

import pytest
import torch

from inkling.config.overrides import override
from inkling.config.recipe import AUTO, Diffusion
from inkling.config.recipes import DIGITS, MNIST, SHAPES
from inkling.config.sample import ScheduleConfig
from inkling.data import Options, read
from inkling.errors import UserError
from inkling.models.build import noise_schedule
from inkling.models.codec import PixelCodec
from inkling.training.measured import levels_for, measured

CPU = torch.device("cpu")


def levels_of(pictures, **options):
    noise = ScheduleConfig(name=AUTO, options=options)
    return measured(Diffusion(noise=noise), pictures, PixelCodec(), CPU).noise


@pytest.mark.parametrize(
    ("side", "mean", "std"),
    [(16, 0.45, 1.3), (32, 0.85, 1.6), (64, 1.2, 1.95)],
)
def test_larger_drawings_get_higher_and_more_spread_levels(side, mean, std):
    found = levels_of(read("shapes", options=Options(size=side, limit=1500)))
    assert found.name == "lognormal"
    assert found.options["mean"] == pytest.approx(mean, abs=0.1)
    assert found.options["std"] == pytest.approx(std, abs=0.1)
    assert found.options["sigma_max"] >= 80


def test_a_sixth_of_the_levels_lies_above_what_places_things_and_a_sixth_below_a_pixels():
    generator = torch.Generator().manual_seed(0)
    deviations = torch.logspace(-1, 1, 20)
    x = torch.randn(3000, 20, generator=generator) * deviations
    schedule = noise_schedule(levels_for(x, 0.5, drawings=True))
    sigma = schedule.sigma(torch.linspace(0, 1, 10001))
    assert (sigma > 10).float().mean().item() == pytest.approx(0.16, abs=0.02)
    assert (sigma < 0.5).float().mean().item() == pytest.approx(0.16, abs=0.02)


def test_photographs_get_the_levels_of_detail():
    x = torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert levels_for(x, 1.0, drawings=False).options["mean"] == -0.6


@pytest.mark.parametrize("drawings", [True, False])
def test_pictures_that_are_all_the_same_have_levels_too(drawings):
    x = torch.zeros(1, 1, 8, 8)
    schedule = noise_schedule(levels_for(x, 0.0, drawings=drawings))
    assert 0.1 < schedule.sigma(torch.tensor(0.5)).item() < 2


def test_options_that_are_given_stay_as_they_are():
    found = levels_of(read("digits"), mean=-1.0, sigma_max=20.0)
    assert found.options["mean"] == -1.0
    assert found.options["sigma_max"] == 20.0
    assert math.isfinite(found.options["std"])


def test_what_is_set_is_not_measured():
    set_by_hand = Diffusion(sigma_data=0.7, noise=ScheduleConfig(name="cosine"))
    assert measured(set_by_hand, read("digits"), PixelCodec(), CPU) == set_by_hand


@pytest.mark.parametrize("recipe", [DIGITS, MNIST, SHAPES], ids=lambda recipe: recipe.name)
def test_our_own_recipes_choose_their_levels_from_the_pictures(recipe):
    assert recipe.diffusion.noise == ScheduleConfig(name=AUTO)
    changed = override(recipe, ["diffusion.noise.options.std=1.5"])
    assert changed.diffusion.noise == ScheduleConfig(name=AUTO, options={"std": 1.5})
    with pytest.raises(UserError, match="std > 0"):
        override(recipe, ["diffusion.noise.options.std=-1"])
