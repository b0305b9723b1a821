"""The same seeds under other settings: guidance, steps, samplers, checkpoints, ways in between."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image

from inkling.sampling.pipeline import TextToImage, between
from inkling.visualize import grids


def _tile(images: np.ndarray, across: int) -> np.ndarray:
    """Pictures [N, C, H, W] as one picture [1, C, rows H, across W]."""
    count, channels, height, width = images.shape
    down = -(-count // across)
    page = np.full((down * across, channels, height, width), 255, np.uint8)
    page[:count] = images
    grid = page.reshape(down, across, channels, height, width).transpose(2, 0, 3, 1, 4)
    return grid.reshape(1, channels, down * height, across * width)


def sweep(
    pipeline: TextToImage,
    prompts: Sequence[str],
    *,
    scales: Sequence[float] = (1.0, 1.5, 2.5, 5.0),
    steps: Sequence[int] = (2, 4, 8, 16, 32),
    samplers: Sequence[str] = ("ddim", "dpmpp_2m"),
    seed: int = 0,
    cell: int = 112,
    **options: Any,
) -> Image.Image:
    """One sheet: rows are samplers and guidance scales, columns solver steps, seeds the same.

    Args:
        pipeline: the model.
        prompts: up to four; each cell shows all of them.
        scales: of guidance, 1 is none.
        steps: of the solver.
        samplers: keys of `SAMPLERS`.
        seed: of the first prompt; the next ones count on.
        cell: least height of a cell in pixels.
        options: as in `TextToImage.steps`.
    """
    seeds = range(seed, seed + len(prompts))
    across = 2 if len(prompts) > 1 else 1
    rows = []
    for sampler in samplers:
        for scale in scales:
            cells = [
                _tile(
                    pipeline(
                        prompts, seeds=seeds, sampler=sampler, scale=scale, steps=count, **options
                    ).numpy(),
                    across,
                )
                for count in steps
            ]
            rows.append((f"{sampler}, guidance {scale:g}", np.concatenate(cells)))
    headings = [f"{count} steps" for count in steps]
    return grids.sheet(rows, columns=headings, cell=cell)


def progression(
    stages: Sequence[tuple[str, TextToImage]],
    prompts: Sequence[str],
    *,
    seed: int = 0,
    cell: int = 56,
    **options: Any,
) -> Image.Image:
    """One sheet: a row for each checkpoint, a column for each prompt, seeds the same.

    Args:
        stages: (heading, model), early ones first.
        prompts: one a column.
        seed: of the first column; the next ones count on.
        cell: least height of a picture in pixels.
        options: as in `TextToImage.steps`.
    """
    seeds = range(seed, seed + len(prompts))
    rows = [(name, pipeline(prompts, seeds=seeds, **options).numpy()) for name, pipeline in stages]
    return grids.sheet(rows, columns=[p[:10] for p in prompts], cell=cell)


def interpolation(
    pipeline: TextToImage,
    prompts: Sequence[str],
    *,
    count: int = 9,
    seed: int = 0,
    cell: int = 56,
    **options: Any,
) -> Image.Image:
    """One sheet: from each prompt to the next under one noise, then from noise to noise.

    Args:
        pipeline: the model.
        prompts: at least two for the ways between prompts; the first one is asked for between
            seeds.
        count: pictures a row.
        seed: the first one.
        cell: least height of a picture in pixels.
        options: as in `TextToImage.steps`.
    """
    rows = []
    for first, last in pairwise(prompts):
        way = between(first, last, count)
        drawn = pipeline(way, seeds=[seed] * count, **options)
        rows.append((f"{first} to {last}", drawn.numpy()))
    shares = torch.linspace(0, 1, count).tolist()
    for number in range(seed, seed + max(1, len(prompts) - 1)):
        noises = [(number, number + 1, share) for share in shares]
        drawn = pipeline([prompts[0]] * count, seeds=noises, **options)
        name = f"{prompts[0]}, " if prompts[0] else ""
        rows.append((f"{name}seed {number} to {number + 1}", drawn.numpy()))
    return grids.sheet(rows, cell=cell)
