"""Guidance: functions from denoiser to denoiser. Samplers never hear of it, and they nest.

A guided denoiser may call the network more than once; one that does nothing calls it once and is
bit-identical to the bare one.
"""

from collections.abc import Callable
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
    conditional estimate elsewhere. `scale = 1` is off, at one call instead of two.
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
    """Keep estimates inside [-limit, limit], as pictures are (Ho et al. 2020, code)."""
    return lambda x, sigma: denoise(x, sigma).clamp(-limit, limit)


def dynamic_threshold(denoise: Denoise, quantile: float = 0.995) -> Denoise:
    """Clamp each image at its own quantile of |x0|, then rescale to [-1, 1].

    Saharia et al. 2022, section 2.3; an image whose quantile lies below 1 is only clamped.
    """

    def thresholded(x: Tensor, sigma: Tensor) -> Tensor:
        x0 = denoise(x, sigma)
        limit = torch.quantile(x0.flatten(1).abs().float(), quantile, dim=1).clamp(min=1)
        limit = limit.to(x0.dtype).view(-1, 1, 1, 1)
        return x0.clamp(-limit, limit) / limit

    return thresholded
