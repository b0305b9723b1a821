"""Settings of a denoiser that are measured on its training pictures: their standard deviation, and
the noise levels that they need.
"""

import math

import torch
from msgspec.structs import replace
from torch import Tensor

from inkling.config.recipe import AUTO, Diffusion
from inkling.config.sample import ScheduleConfig
from inkling.data import Pictures
from inkling.data.spectrum import are_drawings, deviation_at, principal_deviations, some
from inkling.models.codec import Codec

LAYOUT = 0.1
"""Share of the variance in the principal components that place the largest things."""
_NARROWEST = 1.0
"""Smallest standard deviation of ln sigma."""
_PHOTOGRAPHS = {"mean": -0.6, "std": 1.2}
_SMALLEST, _LARGEST = 0.005, 80.0
_DROWNED = 5.0
"""Multiple of the largest principal deviation at which a picture is lost in noise."""


def measured(
    diffusion: Diffusion, pictures: Pictures, codec: Codec, device: torch.device
) -> Diffusion:
    """The settings with what they leave open measured on the pictures.

    Args:
        diffusion: with `sigma_data` 0, or the noise levels "auto", where they are to be measured.
        pictures: to train on.
        codec: what the denoiser sees of them.
        device: on which the codec computes.
    """
    if diffusion.sigma_data == 0 and codec.is_pixels:
        diffusion = replace(diffusion, sigma_data=round(pictures.sigma_data(), 4))
    if diffusion.sigma_data and diffusion.noise.name != AUTO:
        return diffusion
    images = some(pictures)
    x = codec.encode(images.to(device))
    if diffusion.sigma_data == 0:
        diffusion = replace(diffusion, sigma_data=round(x.std().item(), 4))
    if diffusion.noise.name == AUTO:
        found = levels_for(x, diffusion.sigma_data, drawings=are_drawings(images))
        noise = replace(found, options=found.options | diffusion.noise.options)
        diffusion = replace(diffusion, noise=noise)
    return diffusion


def levels_for(x: Tensor, sigma_data: float, *, drawings: bool) -> ScheduleConfig:
    """The log-normal distribution of noise levels that suits pictures.

    Where a thing stands in a drawing is decided at the noise levels at which the principal
    components that place it drown, and what it looks like at levels near the standard deviation of
    a pixel. The larger a picture, the farther the first lie above the second, and a network that
    seldom sees some of these levels does not learn what is decided there. So for drawings the
    distribution reaches from the one to the other with its standard deviation to either side of its
    mean. Photographs have large principal components too, but nearly Gaussian ones, which are
    learnt soon, and what takes long is detail: theirs are the levels that were found best on
    CIFAR-10.

    Args:
        x: [N, ...] pictures or latents.
        sigma_data: standard deviation of their numbers.
        drawings: whether they are drawings rather than photographs.
    """
    deviations = principal_deviations(x)
    placing = deviation_at(deviations, LAYOUT)
    options = _PHOTOGRAPHS
    if drawings and placing > sigma_data > 0:  # not for one picture, or copies of one
        low, high = math.log(sigma_data), math.log(placing)
        options = {"mean": (low + high) / 2, "std": max((high - low) / 2, _NARROWEST)}
    largest = max(_LARGEST, _DROWNED * deviations[0].item())
    rounded = {name: round(value, 2) for name, value in options.items()}
    ends = {"sigma_min": _SMALLEST, "sigma_max": float(f"{largest:.3g}")}
    return ScheduleConfig(name="lognormal", options=rounded | ends)
