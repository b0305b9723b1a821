"""Few large steps in place of many small ones: which noise levels to jump between, and what a
student must estimate to land where its teacher does.

A trajectory is what a sampler went through: noisy images `states` [N, S + 1, C, H, W] at the S + 1
falling levels `sigmas` of its grid, the last of which is 0.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from inkling.core.samplers import towards

_APART = 0.15
"""Least distance in log sigma at which a network tells two levels apart with ease."""
_LOWERED = 0.8
"""Factor by which a level is lowered that another number of calls has already."""


def jump_target(x: Tensor, x_next: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """The estimate of the clean image with which one Euler step leads from `x` to `x_next`.

    The inverse of `samplers.towards` (Zhou et al. 2024, "Simple and Fast Distillation", eq. 9).

    Args:
        x: [B, C, H, W] at levels `sigma` [B].
        x_next: [B, C, H, W] at levels `sigma_next` [B], each lower.
        sigma: [B].
        sigma_next: [B].
    """
    ratio = (sigma_next / sigma).view(-1, 1, 1, 1)
    return (x_next - ratio * x) / (1 - ratio)


def state_at(states: Tensor, sigmas: Tensor, level: float) -> Tensor:
    """The noisy images [N, C, H, W] of trajectories at a level: on the line between two states.

    Solvers go along straight lines in sigma, so for those of first and second order it is exact.

    Args:
        states: [N, S + 1, C, H, W].
        sigmas: [S + 1], falling to 0.
        level: from 0 to the first of them.
    """
    assert 0 <= level <= sigmas[0] * (1 + 1e-6), "there is no state above the start"
    last = len(sigmas) - 2
    before = min(last, max(0, int((sigmas >= level).sum()) - 1))
    high, low = sigmas[before], sigmas[before + 1]
    return torch.lerp(states[:, before + 1], states[:, before], (level - low) / (high - low))


def jump_errors(states: Tensor, estimates: Tensor, sigmas: Tensor, sigma_data: float) -> Tensor:
    """How far an Euler step with the teacher's own estimate misses its trajectory, [S, S + 1].

    Entry (i, j) is of the jump from level i to level j, in standard deviations of a noisy image
    there; infinite where j is not lower. The jumps that are hardest for the teacher are hardest to
    learn (Chen et al. 2024, "On the trajectory regularity", section 4).

    Args:
        states: [N, S + 1, C, H, W].
        estimates: [N, S, C, H, W] of the clean images, at each level but the last.
        sigmas: [S + 1], falling to 0.
        sigma_data: standard deviation of clean images.
    """
    steps = len(sigmas) - 1
    errors = torch.full((steps, steps + 1), math.inf)
    for i in range(steps):
        for j in range(i + 1, steps + 1):
            x, x0 = states[:, i], estimates[:, i]
            missed = towards(x, x0, sigmas[i], sigmas[j]) - states[:, j]
            spread = sigmas[j].square() + sigma_data**2
            errors[i, j] = (missed.square().mean() / spread).sqrt()
    return errors


def best_path(errors: Tensor, jumps: int) -> list[int]:
    """The levels from which so many jumps go down to the last with the least sum of errors.

    By dynamic programming.

    Args:
        errors: [S, S + 1] as of `jump_errors`.
        jumps: at most S.

    Returns:
        `jumps` indices, the first of them 0.
    """
    last = errors.shape[1] - 1
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [0])}
    for number in range(1, jumps + 1):
        found: dict[int, tuple[float, list[int]]] = {}
        for here, (sofar, path) in best.items():
            for there in [last] if number == jumps else range(here + 1, last):
                total = sofar + float(errors[here, there])
                if there not in found or total < found[there][0]:
                    found[there] = (total, [*path, there])
        best = found
    return best[last][1][:-1]


def apart(paths: Mapping[int, Sequence[float]]) -> dict[int, tuple[float, ...]] | None:
    """The same levels for each number of calls, lowered where two numbers share one.

    A network reads nothing but the level, and from one level it can only make one jump. So each
    number of calls has levels of its own, the first one too: in pure noise that much is nothing.
    None where they cannot be told apart and still fall.
    """
    taken: list[float] = []
    found = {}
    for calls, levels in paths.items():
        own = []
        for level in levels:
            while any(abs(math.log(level / other)) < _APART for other in taken):
                level *= _LOWERED
            taken.append(level)
            own.append(level)
        if own != sorted(own, reverse=True):
            return None
        found[calls] = tuple(own)
    return found
