"""Checks of the likelihood, of EMAs, and of scores and their intervals, against exact answers."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from inkling.core.ema import Ema, posthoc_mix, power_from_width
from inkling.core.likelihood import bits_per_dimension
from inkling.evaluate import metrics
from inkling.evaluate.intervals import by_leaving_out
from inkling.evaluate.measures import Measure, of_features
from inkling.evaluate.samples import in_frequencies
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


def likelihood_of_greys() -> Iterator[Check]:
    """Bits per dimension of uniform grey values, which are 8 from whatever lowest level."""
    values = torch.arange(256) / 127.5 - 1
    for lowest in (0.002, 0.1, 0.5):
        generator = torch.Generator().manual_seed(6)
        clean = values[torch.randint(256, (1500, 1, 2, 2), generator=generator)]

        def denoise(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
            gap = (x[..., None] - values).square() / (2 * sigma.view(-1, 1, 1, 1, 1).square())
            return ((-gap).softmax(-1) * values).sum(-1)

        found = bits_per_dimension(denoise, clean, (lowest, 80.0), 0.578, generator)
        margin = 3 * found.error + 0.02
        measured = f"{found.mean:.3f} \u00b1 {margin:.3f} bits, exactly 8"
        ok = abs(found.mean - 8) < margin
        yield Check(f"likelihood of greys, from {lowest:g}", measured, ok)


def averages() -> Iterator[Check]:
    """EMAs mixed from stored ones, against EMAs that were really taken, along a random walk."""
    steps, every, shorts = 1600, 100, (0.05, 0.1)
    for width in (0.075, 0.15, 0.2):
        generator = torch.Generator().manual_seed(7)
        live = torch.ones(200)
        emas = [Ema([live], width=each) for each in (*shorts, width)]
        stored, times = [], []
        for step in range(1, steps + 1):
            live += 0.02 * torch.randn(200, generator=generator)
            for ema in emas:
                ema.update(step)
            if step % every == 0:
                stored += [ema.average[0].double().clone() for ema in emas[:2]]
                times += [step, step]
        powers = torch.tensor([power_from_width(each) for each in shorts] * (steps // every))
        mix = posthoc_mix(torch.tensor(times), powers, steps, power_from_width(width))
        mixed = (mix.weights[:, None] * torch.stack(stored)).sum(0)
        off = ((mixed - emas[2].average[0]).norm() / emas[2].average[0].norm()).item()
        total = mix.weights.sum().item()
        measured = f"off by {off:.1%}, weights sum to {total:.6f}, residual {mix.residual:.1%}"
        yield Check(f"EMA afterwards, length {width:g}", measured, off < 0.02 > abs(total - 1))


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


def unequal_classes() -> Iterator[Check]:
    """A perfect model of classes at 90:10 has no distance from the reference."""
    rng = np.random.default_rng(8)
    count = 20_000
    real = rng.random(count) < 0.1
    prompted = np.array(in_frequencies([90, 10], count))
    a, b = (
        rng.standard_normal((count, 2)) + 4 * each[:, None].astype(float)
        for each in (prompted, real)
    )
    found = metrics.frechet(a, b)
    yield Check("Frechet, classes at 90:10", f"{found:.4f}, exactly 0", found < 0.03)


def intervals() -> Iterator[Check]:
    """How often 95 % intervals hold the truth, for models that are poor."""
    repeats, count = 100, 150
    rng = np.random.default_rng(9)

    def drawn(scale: float, shift: float) -> np.ndarray:
        """Points of two modes in eight dimensions."""
        points = scale * rng.standard_normal((count, 8))
        points[rng.random(count) < 0.5, 0] += 4 * scale
        points[:, 1] += shift
        return points

    real = drawn(1.0, 0.0)
    for name in ("recall", "coverage"):
        for kind, poor in (("shifted", (1.0, 2.5)), ("too wide", (1.8, 0.0)), ("far", (1.0, 9.0))):
            truth = np.mean([_measure(name, drawn(*poor), real).value for _ in range(3 * repeats)])
            inside = 0
            for _ in range(repeats):
                low, high = _measure(name, drawn(*poor), real).interval()
                inside += bool(low <= truth <= high)
            fraction = inside / repeats
            measured = f"{fraction:.0%} of {repeats} hold {truth:.3f}, promised 95 %"
            yield Check(f"interval of {name}, {kind}", measured, fraction >= 0.86)


def _measure(name: str, samples: np.ndarray, real: np.ndarray) -> Measure:
    """A score of samples [N, D] against real features, as reports have it."""
    return next(each for each in of_features(samples, real) if each.name == name)


def _exact_mmd() -> float:
    """The squared MMD of N(0, 1) and N(1, 0.5^2) under (xy + 1)^3, from moments."""

    def mean(m: float, s: float, u: float, v: float) -> float:
        second = (m**2 + s**2) * (u**2 + v**2)
        third = (m**3 + 3 * m * s**2) * (u**3 + 3 * u * v**2)
        return 1 + 3 * m * u + 3 * second + third

    return mean(0, 1, 0, 1) + mean(1, 0.5, 1, 0.5) - 2 * mean(0, 1, 1, 0.5)
