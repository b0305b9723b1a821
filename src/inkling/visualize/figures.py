"""Figures with axes: noise schedules, captions by noise level, paths, confusion matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from inkling.core.noise import Schedule, abar_from_sigma
from inkling.sampling.pipeline import TextToImage
from inkling.system.disk import saved
from inkling.training.validation import CaptionLosses
from inkling.visualize.strips import unit_variance
from inkling.visualize.style import COLOURS, SEQUENCE, drawn, styled


def save_schedules(schedules: Mapping[str, Schedule], path: Path) -> Path:
    """Beta, abar, sigma and log-SNR of noise schedules against u, in one figure.

    Args:
        schedules: by name.
        path: file to write.
        unseen: whether the pictures were held out of training.
    """
    u = torch.linspace(0, 1, 1000, dtype=torch.float64)
    with styled():
        figure, grid = drawn(9.5, 6, 2, 2)
        axes = grid.ravel()
        for name, schedule in schedules.items():
            sigma = schedule.sigma(u)
            abar = abar_from_sigma(sigma)
            # The betas of a Markov chain with 1000 steps.
            betas = 1 - abar[1:] / abar[:-1]
            values = (betas, abar, sigma, -2 * sigma.log())
            for axis, value in zip(axes, values, strict=True):
                axis.plot(u[-len(value) :], value, label=name)
        titles = (
            "beta, for 1000 steps",
            "abar, signal variance",
            "sigma, noise level",
            "log-SNR",
        )
        for axis, title in zip(axes, titles, strict=True):
            axis.set_title(title)
            axis.set_xlabel("u, from clean to noisy")
        axes[0].set_yscale("log")
        axes[2].set_yscale("log")
        axes[3].legend()
        return saved(figure.savefig, path)


def save_caption_levels(
    sigmas: Tensor, losses: CaptionLosses, schedule: Schedule, path: Path, *, unseen: bool
) -> Path:
    """What captions are worth at each noise level, above the distribution of these levels.

    Args:
        sigmas: [L] noise levels.
        losses: at these levels.
        schedule: the distribution in training.
        path: file to write.
    """
    u = torch.linspace(0, 1, 2001, dtype=torch.float64)[1:-1]
    levels = schedule.sigma(u)
    density = (1 / torch.gradient(levels.log(), spacing=(u,))[0]).numpy()
    drawn_at, at = levels.numpy(), sigmas.numpy()
    own, exchanged = losses.own.numpy(), losses.exchanged.numpy()
    with styled():
        figure, (above, below) = drawn(7, 5.6, 2, 1)
        above.plot(at, own, label="with their own captions")
        above.plot(at, exchanged, label="with captions of other pictures")
        above.fill_between(at, own, exchanged, alpha=0.15)
        above.set_title(f"loss on {'held-out' if unseen else 'training'} pictures")
        above.legend()
        below.plot(drawn_at, density, color=COLOURS[2])
        below.fill_between(drawn_at, density, alpha=0.15, color=COLOURS[2])
        below.set_title("how often training draws a noise level (density of ln sigma)")
        below.set_xlabel("sigma, noise level")
        for axis in (above, below):
            axis.set_xscale("log")
            axis.set_xlim(at.min(), at.max())
            axis.set_ylim(bottom=0)
        return saved(figure.savefig, path)


def save_path(
    pipeline: TextToImage,
    pictures: Tensor,
    captions: Sequence[str],
    path: Path,
    *,
    groups: Sequence[int] = (),
    names: Sequence[str] = (),
    seed: int = 0,
    **options: Any,
) -> Path:
    """Sampling paths: noisy states of samples on the two principal axes of the data.

    States are scaled to unit variance, so that all paths start in one cloud around the origin.

    Args:
        pipeline: the model.
        pictures: uint8 [N, C, H, W] of the data, shown in the background.
        captions: one for each sample.
        path: file to write.
        groups: group of each of `pictures`, for colours.
        names: names of the groups.
        seed: of the first sample; the others count up from it.
        options: as in `TextToImage.steps`.
    """
    codec = pipeline.model.codec
    data = codec.encode(pictures.to(pipeline.device)).flatten(1).cpu().numpy()
    pca = PCA(2, random_state=0).fit(data)
    seeds = range(seed, seed + len(captions))
    states = [
        unit_variance(state.x, state.sigma).flatten(1).cpu().numpy()
        for state in pipeline.steps(captions, seeds=seeds, **options)
    ]
    paths = np.stack([pca.transform(state) for state in states])  # [steps, samples, 2]
    prompts = list(dict.fromkeys(captions))
    background = pca.transform(data)
    with styled():
        figure, axis = drawn(7, 5.6)
        for number, name in enumerate(prompts):
            colour = COLOURS[number % len(COLOURS)]
            if name in names:
                own = background[np.asarray(groups) == list(names).index(name)]
                axis.scatter(*own.T, s=5, color=colour, alpha=0.25, linewidths=0)
            for sample in (i for i, caption in enumerate(captions) if caption == name):
                axis.plot(*paths[:, sample].T, color=colour, linewidth=0.8, alpha=0.8)
            ends = paths[-1, [i for i, caption in enumerate(captions) if caption == name]]
            label = name or "no prompt"
            axis.scatter(*ends.T, s=28, color=colour, edgecolors="white", label=label, zorder=3)
        axis.scatter(*background.T, s=4, color="#bbbbbb", alpha=0.4, linewidths=0, zorder=0)
        axis.scatter(*paths[0].T, s=10, color="#555555", marker="x", label="noise", zorder=3)
        axis.set_xlabel("first principal axis of the data")
        axis.set_ylabel("second principal axis")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return saved(figure.savefig, path)


def save_confusion(table: Sequence[Sequence[int]], names: Sequence[str], path: Path) -> Path:
    """Confusion matrix: the class recognised [column] for the class of the prompt [row], in %.

    Args:
        table: counts.
        names: of the classes.
        path: file to write.
    """
    counts = np.asarray(table, dtype=float)
    percent = 100 * counts / counts.sum(1, keepdims=True).clip(min=1)
    side = 1.6 + 0.48 * len(names)
    with styled():
        figure, axis = drawn(side + 0.6, side)
        axis.imshow(percent, cmap=SEQUENCE, vmin=0, vmax=100)
        axis.grid(False)
        for row, column in np.ndindex(*percent.shape):
            if round(percent[row, column]) >= 1:
                ink = "black" if percent[row, column] > 60 else "white"
                value = f"{percent[row, column]:.0f}"
                axis.text(column, row, value, ha="center", va="center", color=ink, fontsize=8)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("recognised by the judge, %")
        axis.set_ylabel("prompt")
        return saved(figure.savefig, path)
