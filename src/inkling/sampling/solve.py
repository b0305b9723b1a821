"""One batch from noise to picture: conditions, guidance, precision and solver put together."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.config.recipe import Recipe
from inkling.config.sample import Sample
from inkling.contracts import Cond, Step
from inkling.core import guidance
from inkling.core.rng import ImageNoise, Seed
from inkling.core.samplers import SAMPLERS
from inkling.models.build import sampling_levels
from inkling.models.text_denoiser import TextDenoiser
from inkling.sampling.clip_guidance import Guide
from inkling.sampling.conditions import Encoded, joined
from inkling.sampling.prompts import Caption, weights_of
from inkling.system import device as devices


class Batch(NamedTuple):
    """The pictures of a batch, N of them."""

    captions: Sequence[Caption]
    seeds: Sequence[Seed]
    encoded: Encoded
    """The condition of every caption."""
    shape: tuple[int, int, int]
    """(C, H, W) of the model's pictures."""
    guide: Guide | None = None
    """A CLIP that reads the captions instead."""


@torch.no_grad()
def solver_steps(
    model: TextDenoiser, recipe: Recipe, batch: Batch, settings: Sample
) -> Iterator[Step]:
    """Every solver step of a batch.

    Args:
        model: in eval mode.
        recipe: of its training.
        batch: what to sample.
        settings: how.
    """
    guide = batch.guide
    noise = ImageNoise(batch.seeds)
    channels, *size = batch.shape
    height, width = settings.size or size
    shape = model.codec.encoded_shape((channels, height, width))
    sigmas = sampling_levels(settings, recipe.diffusion.noise)
    x = (noise.draw(shape) * sigmas[0]).to(model.device, torch.float32)
    negative = settings.negative_prompt
    read: Sequence[Caption] = [""] * len(batch.captions) if guide else batch.captions
    cond = joined(read, batch.encoded)
    null = joined([negative] * len(read), batch.encoded)
    low, high = settings.interval
    # Without a prompt there is nothing to extrapolate from: one call does.
    scale = 1.0 if all(each == negative for each in read) else settings.scale
    # The gradient of a CLIP goes through the network, and lower precision would be its noise.
    pulled = guide is not None and guide.settings.strength > 0
    called = model if pulled else _in_precision(model, settings.precision)
    denoise = guidance.cfg(called, cond, null, scale, low, high)
    clamp = settings.clamp and model.codec.is_pixels
    if guide:
        denoise = guide.wrap(
            denoise,
            [" ".join(weights_of(caption)) for caption in batch.captions],
            sigmas=sigmas,
            sampler=settings.sampler,
            sigma_data=recipe.diffusion.sigma_data,
            clamp=clamp,
        )
    elif clamp:
        denoise = guidance.clamp(denoise)
    solver = SAMPLERS[settings.sampler].with_eta(settings.eta)
    yield from solver(denoise, x, sigmas, randn_like=noise)


def _in_precision(model: TextDenoiser, wanted: str) -> guidance.Model:
    """The model with its network computed in a precision; it takes and gives float32."""
    autocast = devices.autocast(wanted, model.device)

    def called(x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        with autocast():
            estimate: Tensor = model(x, sigma, cond)
        return estimate

    return called
