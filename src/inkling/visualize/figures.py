"""Figures with axes: schedules, the path of sampling, confusion."""

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
from inkling.visualize.strips import unit_variance
from inkling.visualize.style import COLOURS, SEQUENCE, drawn, styled


def save_schedules(schedules: Mapping[str, Schedule], path: Path) -> Path:
    """Beta, abar, sigma and log-SNR of schedules over time, in one figure.

    Args:
        schedules: by name.
        path: where the figure goes.
    """
    u = torch.linspace(0, 1, 1000, dtype=torch.float64)
    with styled():
        figure, grid = drawn(9.5, 6, 2, 2)
        axes = grid.ravel()
        for name, schedule in schedules.items():
            sigma = schedule.sigma(u)
            abar = abar_from_sigma(sigma)
            # A step of a thousandth of the time, as a Markov chain would take it.
            betas = 1 - abar[1:] / abar[:-1]
            values = (betas, abar, sigma, -2 * sigma.log())
            for axis, value in zip(axes, values, strict=True):
                axis.plot(u[-len(value) :], value, label=name)
        titles = (
            "beta of a thousandth of the time",
            "abar, the share of the signal",
            "sigma, the noise beside the signal",
            "log-SNR",
        )
        for axis, title in zip(axes, titles, strict=True):
            axis.set_title(title)
            axis.set_xlabel("u, from picture to noise")
        axes[0].set_yscale("log")
        axes[2].set_yscale("log")
        axes[3].legend()
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
    """Where samples go: their noisy states on the two principal axes of the data.

    States are scaled to unit variance, so that all begin as one cloud around the origin.

    Args:
        pipeline: the model.
        pictures: uint8 [N, C, H, W] of the data, drawn behind.
        captions: one for each sample.
        path: where the figure goes.
        groups: of each picture, for colours.
        names: of the groups.
        seed: of the first sample; the next ones count on.
        options: as in `TextToImage.steps`.
    """
    codec = pipeline.model.codec
    data = codec.encode(pictures.to(pipeline.device)).flatten(1).cpu().numpy()
    axes_of = PCA(2, random_state=0).fit(data)
    seeds = range(seed, seed + len(captions))
    states = [
        unit_variance(state.x, state.sigma).flatten(1).cpu().numpy()
        for state in pipeline.steps(captions, seeds=seeds, **options)
    ]
    paths = np.stack([axes_of.transform(state) for state in states])  # [steps, samples, 2]
    prompts = list(dict.fromkeys(captions))
    behind = axes_of.transform(data)
    with styled():
        figure, axis = drawn(7, 5.6)
        for number, name in enumerate(prompts):
            colour = COLOURS[number % len(COLOURS)]
            if name in names:
                own = behind[np.asarray(groups) == list(names).index(name)]
                axis.scatter(*own.T, s=5, color=colour, alpha=0.25, linewidths=0)
            for sample in (i for i, caption in enumerate(captions) if caption == name):
                axis.plot(*paths[:, sample].T, color=colour, linewidth=0.8, alpha=0.8)
            ends = paths[-1, [i for i, caption in enumerate(captions) if caption == name]]
            label = name or "no prompt"
            axis.scatter(*ends.T, s=28, color=colour, edgecolors="white", label=label, zorder=3)
        axis.scatter(*behind.T, s=4, color="#bbbbbb", alpha=0.4, linewidths=0, zorder=0)
        axis.scatter(*paths[0].T, s=10, color="#555555", marker="x", label="noise", zorder=3)
        axis.set_xlabel("first principal axis of the data")
        axis.set_ylabel("second principal axis")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return saved(figure.savefig, path)


def save_confusion(table: Sequence[Sequence[int]], names: Sequence[str], path: Path) -> Path:
    """Which class was recognised [column] for which prompt [row], in %.

    Args:
        table: counts.
        names: of the classes.
        path: where the figure goes.
    """
    counts = np.asarray(table, dtype=float)
    shares = 100 * counts / counts.sum(1, keepdims=True).clip(min=1)
    side = 1.6 + 0.48 * len(names)
    with styled():
        figure, axis = drawn(side + 0.6, side)
        axis.imshow(shares, cmap=SEQUENCE, vmin=0, vmax=100)
        axis.grid(False)
        for row, column in np.ndindex(*shares.shape):
            if round(shares[row, column]) >= 1:
                ink = "black" if shares[row, column] > 60 else "white"
                value = f"{shares[row, column]:.0f}"
                axis.text(column, row, value, ha="center", va="center", color=ink, fontsize=8)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("recognised by the judge, %")
        axis.set_ylabel("prompt")
        return saved(figure.savefig, path)
