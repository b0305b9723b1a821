"""Strips: images on the way from noise, or to noise, with a column for each noise level."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from inkling.contracts import Step
from inkling.core.noise import Cosine, Linear, Schedule
from inkling.core.rng import stream
from inkling.errors import UserError, unknown_name
from inkling.models.build import noise_schedule
from inkling.pixels import from_bytes, to_bytes
from inkling.sampling.pipeline import TextToImage
from inkling.visualize import grids

TIMES = (999, 700, 550, 400, 300, 200, 100, 50, 15, 0)
"""Timesteps of 1000, from noise to image."""
_LAST = 999
UNITS = ("t", "sigma", "logsnr")
_HO_LINEAR = Linear()


def times_of(schedule: Schedule) -> Schedule:
    """The schedule whose timesteps a figure means: a model's own, or that of Ho et al. 2020 where
    its schedule has none.
    """
    return schedule if isinstance(schedule, Linear | Cosine) else Linear()


def every(steps: int) -> tuple[int, ...]:
    """Every so many of 1000 timesteps, from noise to image, both ends included."""
    return (_LAST, *range(_LAST + 1 - steps, 0, -steps), 0)


def sigma_of(values: Sequence[float], unit: str = "t", schedule: Schedule = _HO_LINEAR) -> Tensor:
    """Noise levels [len(values)] float64.

    Args:
        values: timesteps of 1000 (0 is the clean image), sigmas, or log-SNRs `-2 log sigma`.
        unit: one of `UNITS`.
        schedule: which the timesteps are of.

    Raises:
        UserError: there is no such unit, or a timestep is not a whole number from 0 to 999.
    """
    if unit not in UNITS:
        raise UserError(unknown_name(unit, UNITS, "unit of noise levels"))
    given = torch.tensor(values, dtype=torch.float64)
    if unit == "sigma":
        if not bool((given >= 0).all()):
            raise UserError(f"noise levels sigma are at least 0; got {list(values)}")
        return given
    if unit == "logsnr":
        return (-given / 2).exp()
    if not bool(((given >= 0) & (given < 1000) & (given == given.round())).all()):
        raise UserError(f"times are whole numbers from 0 to 999; got {list(values)}")
    return torch.where(given == 0, 0.0, schedule.sigma(given / _LAST))


def _headings(values: Sequence[float], unit: str) -> list[str]:
    sign = {"t": "t=", "sigma": "\u03c3 ", "logsnr": "\u03bb "}[unit]
    return [f"{sign}{value:g}" for value in values]


def unit_variance(x: Tensor, sigma: Tensor) -> Tensor:
    """A noisy image scaled as in variance-preserving diffusion, for display."""
    return x * (1 + sigma.square()).rsqrt()


def shown(pipeline: TextToImage, state: Step, estimate: bool) -> Tensor:
    """A solver state for display, uint8 [B, C, H, W].

    Args:
        pipeline: the model; latents are decoded.
        state: the solver state.
        estimate: show the estimate of the clean image instead of the noisy one.
    """
    return pipeline.decode(state.x0 if estimate else unit_variance(state.x, state.sigma))


def strip(
    pipeline: TextToImage,
    prompts: Sequence[str],
    values: Sequence[float] = TIMES,
    unit: str = "t",
    *,
    seed: int = 0,
    estimate: bool = False,
    cell: int = 64,
    **options: Any,
) -> Image.Image:
    """One grid: a row for each prompt, a column for each noise level: the closest solver state.

    Args:
        pipeline: the model.
        prompts: one for each row.
        values: noise levels, falling; timesteps are of the model's own schedule, if it has any.
        unit: of `values`: "t", "sigma" or "logsnr".
        seed: of the first row; the others count up from it.
        estimate: show the estimate of the clean image instead of the noisy image, which is scaled
            to unit variance.
        cell: smallest height of an image in pixels.
        options: as in `TextToImage.steps`.
    """
    seeds = range(seed, seed + len(prompts))
    states = list(pipeline.steps(prompts, seeds=seeds, **options))
    logs = torch.stack([state.sigma.double().clamp(min=1e-3).log().cpu() for state in states])
    columns = []
    schedule = times_of(noise_schedule(pipeline.recipe.diffusion.noise))
    for sigma in sigma_of(values, unit, schedule):
        state = states[int((logs - sigma.clamp(min=1e-3).log()).abs().argmin())]
        columns.append(shown(pipeline, state, estimate))
    pictures = torch.stack(columns, dim=1).numpy()  # [rows, levels, C, H, W]
    rows = [(prompt, pictures[row]) for row, prompt in enumerate(prompts)]
    return grids.sheet(rows, columns=_headings(values, unit), cell=cell, most_columns=len(values))


def noising(
    pictures: Sequence[tuple[str, Tensor]],
    values: Sequence[float] = TIMES[::-1],
    unit: str = "t",
    *,
    schedule: Schedule = _HO_LINEAR,
    seed: int = 0,
    cell: int = 64,
) -> Image.Image:
    """One grid: a row for each real image, noisier from left to right.

    Args:
        pictures: (caption, uint8 [C, H, W]).
        values: noise levels, rising.
        unit: of `values`: "t", "sigma" or "logsnr".
        schedule: which the timesteps are of.
        seed: of the noise, which is the same along a row.
        cell: smallest height of an image in pixels.
    """
    rows = []
    for number, (caption, picture) in enumerate(pictures):
        clean = from_bytes(picture)
        noise = torch.randn(clean.shape, generator=stream("noising", seed, number))
        noisy = [
            to_bytes(unit_variance(clean + sigma * noise, sigma))
            for sigma in sigma_of(values, unit, schedule).float()
        ]
        rows.append((caption, torch.stack(noisy).numpy()))
    return grids.sheet(rows, columns=_headings(values, unit), cell=cell, most_columns=len(values))
