"""Is a denoiser learning? Losses, bits and conditioning gain on pictures held out of training."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.config.recipe import Diffusion
from inkling.contracts import Cond
from inkling.core.likelihood import bits_per_dimension
from inkling.core.noise import Schedule, ends_of
from inkling.core.rng import stream
from inkling.data import Pictures
from inkling.models.build import noise_schedule
from inkling.models.text_denoiser import TextDenoiser
from inkling.text.base import trimmed
from inkling.training.objective import Autocast, Validation

_FEW = 250
"""How many pictures suffice for bits per dimension and for the conditioning gain."""
_BATCH = 250
_LEVELS = 8
LOW = 0.1
"""Fraction of the noise levels that counts as low noise: t < 100 of 1000."""


class _HeldOut(NamedTuple):
    """Held-out pictures with fixed noise, and a model's scores on them."""

    model: TextDenoiser
    diffusion: Diffusion
    clean: Tensor
    """[N, c, h, w]."""
    noise: Tensor
    sigma: Tensor
    """[N]."""
    ids: Tensor
    """[M, L] of distinct captions."""

    def conditions(self, captions: Tensor) -> Cond:
        """Conditions of captions [B] in `ids`, each distinct one encoded once."""
        needed, rows = torch.unique(captions, return_inverse=True)
        encoded: Cond = self.model.text(self.ids[needed])
        return encoded.take(rows)

    def losses(self, rows: Tensor, captions: Tensor, autocast: Autocast) -> Tensor:
        """The losses of these rows, each under the caption of its row [N] in `ids`."""
        diffusion, found = self.diffusion, []
        for index in torch.split(rows, _BATCH):
            with autocast():
                cond = self.conditions(captions[index])
                loss = self.model.denoiser.loss(
                    self.clean[index],
                    self.noise[index],
                    self.sigma[index],
                    cond,
                    diffusion.loss,
                    diffusion.weighting,
                )
            found.append(loss.float())
        return torch.cat(found)

    def bits(self, captions: Tensor, generator: torch.Generator) -> float:
        """Bits per dimension of the first pictures, one caption each; in float32."""
        conds = self.conditions(captions)
        return bits_per_dimension(
            lambda x, level, rows: self.model(x, level, conds.take(rows)),
            self.clean[: len(captions)],
            ends_of(noise_schedule(self.diffusion.noise)),
            self.diffusion.sigma_data,
            generator,
            _BATCH,
        ).mean


def _held_out(
    model: TextDenoiser,
    diffusion: Diffusion,
    pictures: Pictures,
    sigma: Tensor,
    generator: torch.Generator,
) -> tuple[_HeldOut, Tensor]:
    """(pictures with noise of these levels [N] or [], rows of their captions [N])."""
    device = model.device
    clean = model.codec.encode(pictures.pixels().to(device))
    noise = torch.randn(clean.shape, generator=generator).to(device)
    captions, which = pictures.distinct_captions()
    ids = trimmed(model.text.tokenize(captions, cut=True)).to(device)
    sigma = sigma.float().to(device).expand(len(clean))
    return _HeldOut(model, diffusion, clean, noise, sigma, ids), which.to(device)


class CaptionLosses(NamedTuple):
    """Mean losses at each of some noise levels, all [L] on the CPU."""

    own: Tensor
    """Under the pictures' own captions."""
    exchanged: Tensor
    """Under captions of other pictures."""


@torch.no_grad()
def caption_losses(
    model: TextDenoiser, pictures: Pictures, diffusion: Diffusion, sigmas: Tensor, *, seed: int
) -> CaptionLosses:
    """What captions are worth at each noise level: losses with them and with others.

    Args:
        model: in eval mode.
        pictures: that it never saw, of at least two captions.
        diffusion: loss of its training.
        sigmas: [L] noise levels.
        seed: of the noise, which is the same at every level.
    """
    clean, which = _held_out(model, diffusion, pictures, sigmas[0], stream(seed, "levels"))
    rows, found = torch.arange(len(which), device=model.device), []
    for sigma in sigmas:
        held = clean._replace(sigma=torch.full_like(clean.sigma, sigma.item()))
        for captions in (which, (which + 1) % len(held.ids)):
            found.append(held.losses(rows, captions, nullcontext).mean().cpu())
    own, exchanged = torch.stack(found).view(-1, 2).unbind(1)
    return CaptionLosses(own, exchanged)


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
    held, which = _held_out(model, diffusion, pictures, schedule.sigma(u), generator)
    captions = held.ids
    few = min(count, _FEW)
    each = held.losses(torch.arange(count, device=device), which, autocast)
    scores: dict[str, float] = {}
    words: list[str] = []
    low = each[(u < LOW).to(device)]
    if len(low):  # of very few pictures none may be at a low level
        scores["low_noise_loss"] = low.mean().item()
    if model.codec.is_pixels:
        scores["bits_per_dim"] = held.bits(which[:few], generator)
        words.append(f"{scores['bits_per_dim']:.2f} bits/dim")
    if len(captions) > 1:  # exchanged among sentences that differ
        others = (which + 1) % len(captions)
        exchanged = held.losses(torch.arange(few, device=device), others, autocast)
        gain = (exchanged.mean() / each[:few].mean() - 1).item()
        scores["conditioning_gain"] = gain
        words.append(f"conditioning gain {gain:+.1%}")
    levels = _by_level(each, u, schedule)
    return Validation(each.mean().item(), scores, levels, "  ".join(words))


def _by_level(losses: Tensor, u: Tensor, schedule: Schedule) -> dict[str, float]:
    """Mean losses [N] in each of eight equal parts of `u` [N], by the sigma in its middle."""
    level = (u * _LEVELS).long().clamp(max=_LEVELS - 1)
    middle = schedule.sigma((torch.arange(_LEVELS) + 0.5) / _LEVELS)
    return {
        f"{middle[k]:.3g}": losses[(level == k).to(losses.device)].mean().item()
        for k in range(_LEVELS)
        if (level == k).any()
    }
