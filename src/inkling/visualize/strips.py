"""Strips: how noise becomes the picture, a row for each prompt, a column for each noise level."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from inkling.core.noise import Linear, sigma_from_abar
from inkling.generate import TextToImage, to_bytes
from inkling.visualize import grids

TIMES = (999, 700, 550, 400, 300, 200, 100, 50, 15, 0)
"""Of the 1000 levels of Ho et al. 2020, from noise to picture."""


def sigma_of(times: Sequence[int]) -> Tensor:
    """The noise level [len(times)] of each time of the linear schedule; 0 is the picture."""
    sigma = sigma_from_abar((1 - Linear().betas()).cumprod(0))[torch.tensor(times)]
    return torch.where(torch.tensor(times) == 0, 0.0, sigma)


def strip(
    artist: TextToImage,
    prompts: Sequence[str],
    times: Sequence[int] = TIMES,
    *,
    seed: int = 0,
    estimate: bool = False,
    cell: int = 64,
    **options: Any,
) -> Image.Image:
    """One sheet: rows are prompts, columns the noise levels of `times`.

    Args:
        artist: the model.
        prompts: one a row.
        times: of the linear schedule of Ho et al. 2020, falling.
        seed: of the first row; the next ones count on.
        estimate: show the running estimate of the picture instead of the noisy picture, which is
            scaled to unit variance.
        cell: least height of a picture in pixels.
        options: as in `TextToImage.steps`.
    """
    seeds = range(seed, seed + len(prompts))
    states = list(artist.steps(prompts, seeds=seeds, **options))
    logs = torch.stack([state.sigma.double().clamp(min=1e-3).log().cpu() for state in states])
    columns = []
    for sigma in sigma_of(times):
        state = states[int((logs - sigma.clamp(min=1e-3).log()).abs().argmin())]
        noisy = state.x * (1 + state.sigma.square()).rsqrt()
        columns.append(to_bytes(state.x0 if estimate else noisy))
    pictures = torch.stack(columns, dim=1).numpy()  # [rows, times, C, H, W]
    rows = [(prompt, pictures[row]) for row, prompt in enumerate(prompts)]
    return grids.sheet(rows, columns=[f"t={time}" for time in times], cell=cell)
