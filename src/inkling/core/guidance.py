"""Guidance: functions that turn a denoiser into a guided one. They nest; samplers are unaware.

A guided denoiser may call the network more than once. With guidance off it calls the network once
and its output is bit-identical to no guidance.
"""

from collections.abc import Callable
from itertools import pairwise
from math import inf

import torch
from torch import Tensor

from inkling.contracts import Cond, Denoise

Model = Callable[[Tensor, Tensor, Cond], Tensor]
"""`(x [B, C, H, W], sigma [] or [B], cond) -> x0 [B, C, H, W]`."""


def bind(model: Model, cond: Cond) -> Denoise:
    """The model under one condition: no guidance."""
    return lambda x, sigma: model(x, sigma, cond)


def cfg(
    model: Model, cond: Cond, null: Cond, scale: float, low: float = 0.0, high: float = inf
) -> Denoise:
    """Classifier-free guidance (Ho & Salimans 2022, eq. 6, with `scale = 1 + w`).

    `D_null + scale (D_cond - D_null)` for `low < sigma <= high` (Kynkaanniemi et al. 2024), the
    conditional estimate elsewhere. `scale = 1` is off, at one call instead of two. For a negative
    prompt, pass its condition as `null`.
    """
    if scale == 1:
        return bind(model, cond)
    both = Cond.joined([cond, null])

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        if not low < sigma <= high:
            return model(x, sigma, cond)
        with_cond, without = model(torch.cat([x, x]), sigma, both).chunk(2)
        return without + scale * (with_cond - without)

    return denoise


def clamp(denoise: Denoise, limit: float = 1.0) -> Denoise:
    """Clamp estimates to [-limit, limit], the range of pixels (Ho et al. 2020, code)."""
    return lambda x, sigma: denoise(x, sigma).clamp(-limit, limit)


def dynamic_threshold(denoise: Denoise, quantile: float = 0.995) -> Denoise:
    """Clamp each image at its own quantile of absolute values, then rescale to [-1, 1].

    Saharia et al. 2022, section 2.3; an image whose quantile lies below 1 is only clamped.
    """

    def thresholded(x: Tensor, sigma: Tensor) -> Tensor:
        x0 = denoise(x, sigma)
        limit = torch.quantile(x0.flatten(1).abs().float(), quantile, dim=1).clamp(min=1)
        limit = limit.to(x0.dtype).view(-1, 1, 1, 1)
        return x0.clamp(-limit, limit) / limit

    return thresholded


LogLikelihood = Callable[[Tensor, Tensor], Tensor]
"""`(images [B, C, H, W], sigma []) -> log p(prompt | image) [B]`, up to a constant."""


def _gradient(log_likelihood: LogLikelihood, x: Tensor, sigma: Tensor) -> Tensor:
    """The gradient of each image's log-likelihood, [B, C, H, W]."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(log_likelihood(leaf, sigma).sum(), leaf)
    return slope


def classifier_guidance(
    denoise: Denoise, log_likelihood: LogLikelihood, strength: float
) -> Denoise:
    """Guidance by a model that scores noisy images (Dhariwal & Nichol 2021, section 4.1).

    `D + strength sigma^2 grad_x log p(prompt | x)`; `strength = 1` is Bayes' rule, 0 is off.
    """
    if strength == 0:
        return denoise
    return lambda x, sigma: (
        denoise(x, sigma)
        + strength * sigma.square() * _gradient(log_likelihood, x, sigma).to(x.dtype)
    )


def dps_guidance(denoise: Denoise, log_likelihood: LogLikelihood, strength: float) -> Denoise:
    """Guidance by a model that scores clean images, with the gradient through the denoiser.

    `D + strength sigma^2 grad_x log p(prompt | D(x))` (Chung et al. 2023, eq. 16); 0 is off.
    """
    if strength == 0:
        return denoise

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            x0 = denoise(leaf, sigma)
            (slope,) = torch.autograd.grad(log_likelihood(x0, sigma * 0).sum(), leaf)
        return x0.detach() + strength * sigma.square() * slope

    return guided


def estimate_guidance(
    denoise: Denoise,
    log_likelihood: LogLikelihood,
    strength: float,
    sigma_data: float,
    steps: int = 5,
    size: float = 0.15,
) -> Denoise:
    """Guidance by gradient steps on the estimate itself: cheap, no gradient through the denoiser.

    Each step adds `size strength v grad log p(prompt | x0)`, where `v = sigma^2 sd^2/(sigma^2 +
    sd^2)` is the variance of the clean image given `x`, for Gaussian data.
    """
    if strength == 0:
        return denoise

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        x0 = denoise(x, sigma)
        variance = sigma.square() * sigma_data**2 / (sigma.square() + sigma_data**2)
        for _ in range(steps):
            x0 = x0 + size * strength * variance * _gradient(log_likelihood, x0, sigma * 0)
        return x0

    return guided


def mean_guidance(
    denoise: Denoise, score: LogLikelihood, sigmas: Tensor, size: float, steps: int = 1
) -> Denoise:
    """Guidance by gradient steps on the mean of each ancestral step, whatever its variance.

    The mean of `q(x_next | x, x0)` (Ho et al. 2020, eq. 7), as a picture of variance 1, takes
    `steps` steps of `size` along the gradient of the score. Since the mean is linear in the
    estimate, the estimate is what is moved, by as much as moves the mean.

    Args:
        denoise: unguided, its estimates clamped if at all; guided ones leave [-1, 1].
        score: of noisy images and their level.
        sigmas: [N + 1] levels of the sampler, which must be ancestral.
        size: of one gradient step.
        steps: gradient steps on each mean.
    """
    if size == 0:
        return denoise
    after: dict[float, Tensor] = {now.item(): nxt for now, nxt in pairwise(sigmas)}

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        nxt = after[sigma.item()]
        x0 = denoise(x, sigma)
        kept = (nxt / sigma).square()  # fraction of the noisy image in the mean
        level = nxt.square() / sigma  # of the noise in the mean
        gain = (1 + nxt.square()).sqrt()
        mean = (x0 + kept * (x - x0)) / gain
        moved = mean
        for _ in range(steps):
            slope = _gradient(lambda leaf, level: score(leaf * gain, level), moved, level)
            moved = moved + size * slope.to(x.dtype)
        shifted: Tensor = x0 + (moved - mean) * gain / (1 - kept)
        return shifted

    return guided
