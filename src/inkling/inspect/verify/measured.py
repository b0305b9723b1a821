"""Checks of the likelihood and of the scores, on data with exact answers."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from inkling.core.likelihood import bits_per_dimension
from inkling.evaluate import metrics
from inkling.evaluate.intervals import by_leaving_out
from inkling.inspect.verify.check import Check
from inkling.pixels import from_bytes, to_bytes


def likelihood() -> Iterator[Check]:
    """Bits per dimension of a Gaussian and of two distant modes, on 256 grey values."""
    for name, sd, mode in (("Gaussian", 0.2, 0.0), ("mixture", 0.1, 0.5)):
        generator = torch.Generator().manual_seed(4)
        means = (torch.arange(4000) % 2 * 2 - 1).view(-1, 1, 1, 1) * mode
        clean = means + sd * torch.randn(4000, 1, 2, 2, generator=generator)
        clean = from_bytes(to_bytes(clean))

        def denoise(
            x: Tensor, sigma: Tensor, rows: Tensor, sd: float = sd, mode: float = mode
        ) -> Tensor:
            variance = sd**2 + sigma.view(-1, 1, 1, 1).square()
            mean = mode * torch.tanh(mode * x.sum((1, 2, 3), keepdim=True) / variance)
            return mean + (x - mean) * sd**2 / variance

        sigma_data = math.hypot(sd, mode)
        found = bits_per_dimension(denoise, clean, (0.002, 80.0), sigma_data, generator)
        exact = _bits(clean, sd, mode)
        margin = 2 * found.error
        measured = f"{found.mean:.3f} \u00b1 {margin:.3f} bits, exactly {exact:.3f}"
        yield Check(f"likelihood of a {name}", measured, abs(found.mean - exact) < margin)


def _bits(clean: Tensor, sd: float, mode: float) -> float:
    """Bits per dimension of images under two Gaussians at +-mode, discretised to grey values."""
    x, half = clean.double().flatten(1), 1 / 255
    modes = []
    for mean in (-mode, mode):
        ends = [(x + side * half - mean) / sd for side in (1, -1)]
        inside = torch.special.ndtr(ends[0]) - torch.special.ndtr(ends[1])
        modes.append(inside.clamp(min=1e-30).log2().sum(1))
    both = torch.stack(modes) * math.log(2)
    return float(-(both.logsumexp(0) - math.log(2)).mean() / math.log(2) / x.shape[1])


def scores() -> Iterator[Check]:
    """Scores of sets with exact answers: closed forms, and modes dropped or invented."""
    rng = np.random.default_rng(5)

    def normal(mean: list[float], sd: list[float], count: int) -> np.ndarray:
        points: np.ndarray = rng.standard_normal((count, len(mean))) * sd + mean
        return points

    def near(name: str, found: float, exact: float, margin: float) -> Check:
        return Check(name, f"{found:.4f}, exactly {exact:.4f}", abs(found - exact) <= margin)

    a, b = normal([0, 0], [1, 2], 100_000), normal([1, 0], [2, 1], 100_000)
    yield near("Frechet distance", metrics.frechet(a, b), 3.0, 0.06)
    a, b = normal([0], [1], 2000), normal([1], [0.5], 2000)
    distance = metrics.kernel_distances(a, b)
    low, high = by_leaving_out(distance, 2000)
    yield near("kernel distance", distance(np.arange(2000)), _exact_mmd(), high - low)
    left, right = normal([-9, 0], [1, 1], 400), normal([9, 0], [1, 1], 400)
    both, again = np.concatenate([left, right]), normal([-9, 0], [1, 1], 400)
    invented = np.concatenate([again, normal([0, 90], [1, 1], 400)])
    yield near("recall, a mode dropped", metrics.recall(both, again), 0.5, 0.08)
    yield near("coverage, a mode dropped", metrics.coverage(both, again), 0.5, 0.05)
    yield near("precision, a mode invented", metrics.recall(invented, both), 0.5, 0.08)
    yield near("density, a mode invented", metrics.density(both, invented), 0.5, 0.08)
    one_hot = np.eye(10)[np.arange(1000) % 4]
    yield near("Inception-score form, 4 modes", metrics.inception_score(one_hot), 4.0, 1e-6)


def _exact_mmd() -> float:
    """The squared MMD of N(0, 1) and N(1, 0.5^2) under (xy + 1)^3, from moments."""

    def mean(m: float, s: float, u: float, v: float) -> float:
        second = (m**2 + s**2) * (u**2 + v**2)
        third = (m**3 + 3 * m * s**2) * (u**3 + 3 * u * v**2)
        return 1 + 3 * m * u + 3 * second + third

    return mean(0, 1, 0, 1) + mean(1, 0.5, 1, 0.5) - 2 * mean(0, 1, 1, 0.5)
