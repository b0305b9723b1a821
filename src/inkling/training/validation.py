"""Is a denoiser learning? Losses, bits and conditioning gain on pictures held out of training."""

import torch
from torch import Tensor

from inkling.config.recipe import Diffusion
from inkling.contracts import Cond
from inkling.core.likelihood import bits_per_dimension
from inkling.core.noise import ends_of
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.models.build import noise_schedule
from inkling.models.text_denoiser import TextDenoiser
from inkling.training.objective import Autocast, Validation

_FEW = 250
"""How many pictures suffice for bits per dimension and for the conditioning gain."""
_BATCH = 250
_LEVELS = 8
_LOW = 0.1
"""Fraction of the noise levels that counts as low noise: t < 100 of 1000."""


def trimmed(ids: Tensor) -> Tensor:
    """Token ids [M, L] without the padding that all of them have."""
    longest = int((ids != 0).sum(1).max())
    return ids[:, : max(longest, 1)]


@torch.no_grad()
def validate_denoiser(
    model: TextDenoiser,
    pictures: Pictures,
    diffusion: Diffusion,
    *,
    seed: int,
    autocast: Autocast,
) -> Validation:
    """Losses of a denoiser on held-out pictures, with the same noise at every call.

    Args:
        model: in eval mode.
        pictures: that it never saw.
        diffusion: loss and noise levels of its training.
        seed: of the noise.
        autocast: the precision in which losses are computed; bits are in float32.
    """
    device, count = model.device, len(pictures)
    generator = stream(seed, "validation")
    schedule = noise_schedule(diffusion.noise)
    u = (torch.arange(count) + 0.5) / count
    u = u[torch.randperm(count, generator=generator)]
    sigma = schedule.sigma(u).float().to(device)
    clean = model.codec.encode(pictures.pixels().to(device))
    noise = torch.randn(clean.shape, generator=generator).to(device)
    groups, which = torch.unique(pictures.group, return_inverse=True)
    which = which.to(device)
    captions = [pictures.groups[group][0] for group in groups]
    ids = trimmed(model.text.tokenize(captions, cut=True)).to(device)
    few = min(count, _FEW)

    def losses(rows: Tensor, captions: Tensor) -> Tensor:
        def part(index: Tensor) -> Tensor:
            with autocast():
                cond = model.text(ids).take(captions[index])
                found = model.denoiser.loss(
                    clean[index],
                    noise[index],
                    sigma[index],
                    cond,
                    diffusion.loss,
                    diffusion.weighting,
                )
            return found.float()

        return torch.cat([part(index) for index in torch.split(rows, _BATCH)])

    each = losses(torch.arange(count, device=device), which)
    exchanged = losses(torch.arange(few, device=device), (which + 1) % len(captions))
    gain = (exchanged.mean() / each[:few].mean() - 1).item()
    low = each[(u < _LOW).to(device)].mean().item()
    scores = {"low_noise_loss": low, "conditioning_gain": gain}
    text = ""
    if model.codec.is_pixels:
        conds: Cond = model.text(ids).take(which[:few])
        bits = bits_per_dimension(
            lambda x, level, rows: model.denoiser(x, level, conds.take(rows)),
            clean[:few],
            ends_of(schedule),
            diffusion.sigma_data,
            generator,
            _BATCH,
        ).mean
        scores["bits_per_dim"] = bits
        text = f"{bits:.2f} bits/dim"
    if pictures.conditional:
        text += f"  conditioning gain {gain:+.1%}"
    level = (u * _LEVELS).long().clamp(max=_LEVELS - 1)
    middle = schedule.sigma((torch.arange(_LEVELS) + 0.5) / _LEVELS)
    return Validation(
        loss=each.mean().item(),
        scores=scores,
        levels={
            f"{middle[k]:.3g}": each[(level == k).to(device)].mean().item()
            for k in range(_LEVELS)
            if (level == k).any()
        },
        text=text.strip(),
    )
