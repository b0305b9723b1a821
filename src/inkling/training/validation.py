"""Is it learning? What pictures held out of training say of the averaged weights."""

from typing import NamedTuple

import torch
from torch import Tensor

from inkling.core.likelihood import bits_per_dimension
from inkling.core.rng import stream
from inkling.models.build import schedule
from inkling.training.gradient_step import pixels, trimmed
from inkling.training.state import Learner

_FEW = 250
"""How many pictures suffice for bits per dimension and for the worth of the prompt."""
_LEVELS = 8
_LOW = 0.1
"""Share of the noise law that counts as low noise: t < 100 of 1000."""


class Validation(NamedTuple):
    """What held-out pictures say of the averaged weights."""

    loss: float
    levels: dict[str, float]
    """Loss in each of eight equal shares of the noise law, by the noise level in their middle."""
    low: float
    """Loss in the lowest tenth of the law."""
    bits: float
    """Bits per dimension given the caption, a bound from above."""
    prompt: float
    """By which share the loss rises when pictures get each other's captions; 0: the prompt is
    ignored."""


@torch.no_grad()
def validate(learner: Learner) -> Validation:
    """Losses of the averaged weights on held-out pictures, with the same noise at every call."""
    recipe, place, count = learner.recipe, learner.accelerator.device, len(learner.validation)
    generator = stream(recipe.train.seed, "validation")
    law = schedule(recipe.diffusion.noise)
    u = (torch.arange(count) + 0.5) / count
    u = u[torch.randperm(count, generator=generator)]
    sigma = law.sigma(u).float().to(place)
    clean = pixels(learner.validation.pixels().to(place))
    noise = torch.randn(clean.shape, generator=generator).to(place)
    groups, which = torch.unique(learner.validation.group, return_inverse=True)
    said = [learner.validation.groups[group][0] for group in groups]
    which = which.to(place)
    few = min(count, _FEW)

    with learner.averaged() as model:
        ids = trimmed(model.text.tokenize(said, cut=True)).to(place)

        def losses(rows: Tensor, captions: Tensor) -> Tensor:
            return torch.cat(
                [
                    model(
                        clean[part],
                        noise[part],
                        sigma[part],
                        ids,
                        captions[part],
                        recipe.diffusion.loss,
                        recipe.diffusion.weighting,
                    )
                    for part in torch.split(rows, 250)
                ]
            )

        each = losses(torch.arange(count, device=place), which)
        others = losses(torch.arange(few, device=place), (which + 1) % len(said))
        conds = model.text(ids)
        served = iter(torch.split(which[:few], 250))
        bits = bits_per_dimension(
            lambda x, level: model.denoiser(x, level, conds.take(next(served))),
            clean[:few],
            (law.sigma(torch.zeros(())).item(), law.sigma(torch.ones(())).item()),
            recipe.diffusion.sigma_data,
            generator,
        )
    level = (u * _LEVELS).long().clamp(max=_LEVELS - 1)
    middle = law.sigma((torch.arange(_LEVELS) + 0.5) / _LEVELS)
    return Validation(
        loss=each.mean().item(),
        levels={
            f"{middle[k]:.3g}": each[(level == k).to(place)].mean().item()
            for k in range(_LEVELS)
            if (level == k).any()
        },
        low=each[(u < _LOW).to(place)].mean().item(),
        bits=bits.mean,
        prompt=(others.mean() / each[:few].mean() - 1).item(),
    )
