"""Samples of the same seeds under different guidance, steps, samplers, checkpoints and prompts."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from inkling.sampling.calls import most_steps
from inkling.sampling.clip_guidance import Guide, with_strength
from inkling.sampling.pipeline import TextToImage
from inkling.sampling.prompts import between
from inkling.visualize import grids

_COLUMNS = 8
"""Pictures at least in a row of a progression."""


def _tile(images: np.ndarray, across: int) -> np.ndarray:
    """Images [N, C, H, W] tiled into one image [1, C, rows (H + 1), across (W + 1)]."""
    count, channels, height, width = images.shape
    down = -(-count // across)
    page = np.full((down * across, channels, height + 1, width + 1), 255, np.uint8)
    page[:count, :, :height, :width] = images
    grid = page.reshape(down, across, channels, height + 1, width + 1).transpose(2, 0, 3, 1, 4)
    return grid.reshape(1, channels, down * (height + 1), across * (width + 1))


class Column(NamedTuple):
    """What a column of a sweep has in common."""

    number: int
    unit: str
    """"steps" of the solver, or network "calls" a picture, guidance included."""

    def options(self, pipeline: TextToImage, row: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a cell.

        Args:
            pipeline: the model.
            row: the options of the row.
        """
        if self.unit == "steps":
            return {**row, "steps": self.number}
        settings = pipeline.settings(**row)
        steps = most_steps(settings, pipeline.recipe.diffusion.noise, self.number).steps
        return {**row, "steps": steps}


_CALLS = (Column(5, "calls"), Column(10, "calls"), Column(20, "calls"), Column(50, "calls"))


def sweep(
    pipeline: TextToImage,
    prompts: Sequence[str],
    *,
    scales: Sequence[float] = (1.0, 1.5, 2.5, 5.0),
    columns: Sequence[Column] = _CALLS,
    samplers: Sequence[str] = ("ddim", "dpmpp_2m"),
    seed: int = 0,
    cell: int = 112,
    **options: Any,
) -> Image.Image:
    """One grid: a row for each sampler and guidance scale, a column for each number of calls.

    Args:
        pipeline: the model.
        prompts: up to four; each cell shows all of them.
        scales: guidance scales, 1 is off.
        columns: numbers of network calls (NFE), at which samplers compare fairly, or of steps.
        samplers: keys of `SAMPLERS`.
        seed: of the first prompt; the others count up from it. All cells have the same seeds.
        cell: smallest height of a cell in pixels.
        options: as in `TextToImage.steps`.
    """
    rows: dict[str, dict[str, Any]] = {}
    for sampler in samplers:
        for scale in scales:
            # Up to 1 there is nothing that leads away from a negative prompt.
            plain: dict[str, Any] = {"negative_prompt": ""} if scale <= 1 else {}
            chosen = plain | options | {"sampler": sampler, "scale": scale}
            rows[f"{sampler}, guidance {scale:g}"] = chosen
    return _by_column(pipeline, prompts, rows, columns, seed, cell)


def strengths(
    pipeline: TextToImage,
    prompts: Sequence[str],
    guide: Guide,
    *,
    strengths: Sequence[float],
    steps: Sequence[int],
    sampler: str,
    seed: int = 0,
    cell: int = 112,
) -> Image.Image:
    """One grid: a row for each strength of CLIP guidance, a column for each number of steps.

    Args:
        pipeline: the model.
        prompts: up to four; each cell shows all of them.
        guide: a CLIP that reads them, of any strength.
        strengths: 0 is off.
        steps: numbers of solver steps.
        sampler: a key of `SAMPLERS`.
        seed: of the first prompt; the others count up from it. All cells have the same seeds.
        cell: smallest height of a cell in pixels.
    """
    rows = {
        f"{sampler}, {guide.form}, strength {strength:g}": {
            "guide": with_strength(guide, strength),
            "sampler": sampler,
        }
        for strength in dict.fromkeys(strengths)
    }
    columns = [Column(count, "steps") for count in dict.fromkeys(steps)]
    return _by_column(pipeline, prompts, rows, columns, seed, cell)


def _by_column(
    pipeline: TextToImage,
    prompts: Sequence[str],
    rows: Mapping[str, Mapping[str, Any]],
    columns: Sequence[Column],
    seed: int,
    cell: int,
) -> Image.Image:
    """A row for each caption of some options."""
    seeds = range(seed, seed + len(prompts))
    across = 2 if len(prompts) > 1 else 1
    lines = []
    for caption, row in rows.items():
        cells = [column.options(pipeline, row) for column in columns]
        samples = [pipeline(prompts, seeds=seeds, **options) for options in cells]
        counts = ", ".join(str(options["steps"]) for options in cells)
        shown = caption if columns[0].unit == "steps" else f"{caption}: {counts} steps"
        lines.append((shown, np.concatenate([_tile(each.numpy(), across) for each in samples])))
    return grids.sheet(lines, columns=[f"{c.number} {c.unit}" for c in columns], cell=cell)


def progression(
    stages: Sequence[tuple[str, TextToImage]],
    prompts: Sequence[str],
    *,
    seed: int = 0,
    cell: int = 56,
    **options: Any,
) -> Image.Image:
    """One grid: a row for each checkpoint, the same prompts and noise in every row.

    Args:
        stages: (heading, model), early ones first.
        prompts: one for each column; of fewer than eight, each in several columns.
        seed: of the first column; the others count up from it.
        cell: smallest height of an image in pixels.
        options: as in `TextToImage.steps`.
    """
    prompts = [prompt for prompt in prompts for _ in range(-(-_COLUMNS // len(prompts)))]
    seeds = range(seed, seed + len(prompts))
    rows = [(name, pipeline(prompts, seeds=seeds, **options).numpy()) for name, pipeline in stages]
    return grids.sheet(rows, columns=headings_of(prompts), cell=cell)


def headings_of(prompts: Sequence[str]) -> list[str]:
    """Prompts short enough to head a column: without the words that all of them begin with, as
    long as something of each is left.
    """
    words = [prompt.split() for prompt in prompts]
    first = zip(*(each[:-1] for each in words), strict=False)
    same = sum(1 for _ in takewhile(lambda column: len({*column}) == 1, first))
    shown = words if len({*prompts}) == 1 else [each[same:] for each in words]
    return [" ".join(each)[:10] for each in shown]


def interpolation(
    pipeline: TextToImage,
    prompts: Sequence[str],
    *,
    count: int = 9,
    seed: int = 0,
    cell: int = 56,
    **options: Any,
) -> Image.Image:
    """One grid: interpolation between prompts with the same noise, then between seeds.

    Args:
        pipeline: the model.
        prompts: interpolated in order, if there are two or more; the first is the prompt of the
            interpolation between seeds.
        count: images in a row.
        seed: the first seed.
        cell: smallest height of an image in pixels.
        options: as in `TextToImage.steps`.
    """
    rows = []
    for first, last in pairwise(prompts):
        mixtures = between(first, last, count)
        samples = pipeline(mixtures, seeds=[seed] * count, **options)
        rows.append((f"{first} to {last}", samples.numpy()))
    fractions = torch.linspace(0, 1, count).tolist()
    for number in range(seed, seed + max(1, len(prompts) - 1)):
        seeds = [(number, number + 1, fraction) for fraction in fractions]
        samples = pipeline([prompts[0]] * count, seeds=seeds, **options)
        name = f"{prompts[0]}, " if prompts[0] else ""
        rows.append((f"{name}seed {number} to {number + 1}", samples.numpy()))
    return grids.sheet(rows, cell=cell)
