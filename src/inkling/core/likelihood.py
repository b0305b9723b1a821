"""Bits per dimension: the continuous-time variational bound (Kingma et al. 2021)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LEVELS = 256
_SPACING = 2 / (LEVELS - 1)
"""Distance between neighbouring grey values in [-1, 1]."""
_TAILS = 14
"""Standard deviations of the noise that the reconstruction term takes into account."""


class Bits(NamedTuple):
    """An upper bound on the bits per dimension, and its standard error."""

    mean: float
    error: float


@torch.no_grad()
def bits_per_dimension(
    denoise: Callable[[Tensor, Tensor, Tensor], Tensor],
    clean: Tensor,
    ends: tuple[float, float],
    sigma_data: float,
    generator: torch.Generator,
    batch: int = 250,
) -> Bits:
    """The variational bound with one noise level for each image, stratified in log sigma.

    `-log p(x0) <= reconstruction + integral of E|x0 - D|^2/sigma^2 d(log sigma) + prior`: eq. 11
    and 17 of the paper, written for `x = x0 + sigma noise`, where `SNR = 1/sigma^2`.

    Args:
        denoise: (x [B, C, H, W], sigma [B], rows [B] int64) -> expected clean images; `rows` are
            the indices of the images in `clean`, to look up their conditions.
        clean: [N, C, H, W] in [-1, 1], on 256 grey values.
        ends: the smallest and the largest sigma.
        sigma_data: standard deviation of the pixels.
        generator: on the CPU; draws noise levels and noise.
        batch: images at a time.
    """
    low, high = map(math.log, ends)
    count = len(clean)
    # The bound may start at any noise level; the reconstruction term decodes the grey value from
    # that level, with a uniform prior. Levels below half the spacing of grey values cost bits if
    # the denoiser does not know that pixels are discrete, and save bits if it does (on flat
    # backgrounds, for example). The smallest bound is returned.
    starts = [ends[0], *(start for start in (_SPACING / 2, _SPACING) if start > ends[0])]
    u = (
        torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)
    ) / count
    sigmas = (low + (high - low) * u).exp().to(clean.device)
    nats = []
    for rows in torch.split(torch.arange(count, device=clean.device), batch):
        x0, sigma = clean[rows], sigmas[rows]
        noise = torch.randn(x0.shape, generator=generator).to(clean.device)
        estimate = denoise(x0 + sigma.view(-1, 1, 1, 1) * noise, sigma, rows)
        error = (estimate - x0).square().flatten(1).mean(1)
        each = [
            (high - low) * error / sigma.square() * (sigma >= start)
            + _reconstruction(x0, start, generator)
            for start in starts
        ]
        nats.append(torch.stack(each, dim=1) + _prior(x0, ends[1], sigma_data)[:, None])
    # The levels are stratified, so the error comes from differences between neighbouring levels.
    bounds = (torch.cat(nats).double() / math.log(2))[sigmas.argsort()]  # [N, starts]
    bits = bounds[:, bounds.mean(0).argmin()]
    pairs = bits[: count // 2 * 2].view(-1, 2)
    error = pairs.diff(dim=1).square().sum().sqrt() / count
    return Bits(bits.mean().item(), error.item())


def _reconstruction(clean: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Nats per dimension to decode the grey value from noise of this level, [B]."""
    noise = sigma * torch.randn(clean.shape, generator=generator).to(clean.device)
    # Every grey value that the noise may have come from: leaving some out would lower the bound.
    most = min(LEVELS - 1, math.ceil(_TAILS * sigma / _SPACING) + 1)
    offsets = torch.arange(-most, most + 1, device=clean.device) * _SPACING
    total = torch.zeros_like(clean)
    for offset in offsets:
        inside = (clean + offset).abs() <= 1 + _SPACING / 2
        exponent = ((noise - offset).square() - noise.square()) / (2 * sigma**2)
        total += torch.where(inside, (-exponent).exp(), 0)
    return total.log().flatten(1).mean(1)


def _prior(clean: Tensor, sigma: float, sigma_data: float) -> Tensor:
    """KL divergence of the noisiest image from the Gaussian prior, nats per dimension, [B]."""
    variance = sigma**2 + sigma_data**2
    ratio = sigma**2 / variance
    kl = 0.5 * (ratio - 1 - math.log(ratio) + clean.square() / variance)
    return kl.flatten(1).mean(1)
