"""The truth as a command: a Gaussian mixture of which all is known exactly.

Every prediction, sampler, schedule, guidance, the likelihood and every score is held against it; a
user's own sampler or schedule joins in. Checks are generators, so that each shows as it is done.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from inkling.contracts import Cond, Denoise
from inkling.core import guidance
from inkling.core.denoiser import PREDICTIONS, target_of
from inkling.core.likelihood import bits_per_dimension
from inkling.core.mixture import Mixture
from inkling.core.noise import SCHEDULES, Karras, Schedule, grid
from inkling.core.samplers import SAMPLERS, Sampler, heun
from inkling.evaluate import metrics
from inkling.evaluate.intervals import by_halves

ORDERS = {"ddim": 1, "heun": 2, "dpmpp_2m": 2, "dpmpp_2s": 2, "unipc": 3}
"""The order of convergence that each deterministic sampler promises."""
STEPS = (16, 32, 64, 128, 256)
_STOP = 0.2
"""The noise level at which convergence is measured: the way down to 0 is first order for some."""
_SLACK = 0.25


class Check(NamedTuple):
    """One thing that was held against the truth."""

    name: str
    says: str
    sound: bool
    errors: tuple[float, ...] = ()
    """Of a sampler, its distance from the exact solution at each of `STEPS`."""


def predictions() -> Iterator[Check]:
    """`D = c_skip x + c_out F` gives back the picture, and `F` is what its name says."""
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(64, 1, 1, 1, generator=generator).double() for _ in range(2))
    sigma = torch.logspace(-3, 2, 64, dtype=torch.float64).view(-1, 1, 1, 1)
    x, alpha = x0 + sigma * noise, (1 + sigma.square()).rsqrt()
    known: dict[str, Tensor] = {
        "eps": noise,
        "x0": x0,
        "v": alpha * noise - sigma * alpha * x0,
        "flow": noise - x0,
        "edm": sigma * alpha * x0 - alpha * noise,  # minus v, for pictures of unit spread
    }
    for name, prediction in PREDICTIONS.items():
        scalings = prediction(sigma, 1.0)
        target = target_of(x0, x, scalings)
        back = scalings.skip * x + scalings.out * target
        error = (back - x0).abs().max().item()
        off = ((target - known[name]).abs() / (1 + known[name].abs())).max().item()
        yield Check(
            f"prediction {name}",
            f"picture back to {error:.0e}, target to {off:.0e}",
            error < 1e-9 and off < 1e-9,
        )


def score_of_the_mixture(mixture: Mixture) -> Iterator[Check]:
    """`(D - x)/sigma^2` is the gradient of the log-density (Vincent 2011)."""
    generator = torch.Generator().manual_seed(1)
    worst = 0.0
    for level in (0.05, 0.3, 1.0, 10.0):
        sigma = torch.tensor(level, dtype=torch.float64)
        x = mixture.draw(50, generator)
        x = (x + level * torch.randn(x.shape, generator=generator)).requires_grad_()
        (slope,) = torch.autograd.grad(mixture.log_density(x, sigma).sum(), x)
        found = (mixture.denoise(x, sigma) - x) / level**2
        worst = max(worst, ((found - slope).abs().max() / slope.abs().max()).item())
    yield Check("score", f"off by {worst:.0e} of the gradient of the log-density", worst < 1e-9)


def errors(sampler: Sampler, denoise: Denoise) -> list[float]:
    """Root mean square distance from the exact solution, for each of `STEPS`."""
    law = Karras(sigma_min=_STOP, sigma_max=20.0)
    generator = torch.Generator().manual_seed(2)
    x = 20.0 * torch.randn(64, 2, 1, 1, generator=generator, dtype=torch.float64)
    *_, exact = heun(denoise, x, grid(law, 3000)[:-1])  # not down to 0
    found = []
    for steps in STEPS:
        last = x
        for step in sampler(denoise, x, grid(law, steps + 1)[:-1]):
            last = step.x
        found.append((last - exact.x).square().mean().sqrt().item())
    return found


def order(found: list[float]) -> float:
    """Of convergence, from the last three errors: by how many powers of two they fall."""
    if not all(map(math.isfinite, found)):
        return 0.0
    smallest = 1e-300  # of a sampler that is exact
    return math.log2(max(found[-3], smallest) / max(found[-1], smallest)) / 2


def samplers(mixture: Mixture, more: Mapping[str, Sampler]) -> Iterator[Check]:
    """Every deterministic sampler's order; a user's own has to be of the first at least."""
    for name, sampler in {**SAMPLERS, **more}.items():
        if name == "ddpm":
            continue
        found = errors(sampler, mixture.denoise)
        reached, promised = order(found), ORDERS.get(name, 1)
        says = f"order {reached:.2f}, error {found[-1]:.1e} at {STEPS[-1]} steps"
        sound = reached > promised - _SLACK or found[-1] < 1e-12
        yield Check(f"sampler {name}", says, sound, tuple(found))


def ancestral_sampling() -> Iterator[Check]:
    """DDPM's variance on a Gaussian, followed exactly through every step."""
    sd, count = 0.5, 20_000
    levels = grid(Karras(sigma_min=0.02, sigma_max=20.0), 30)
    generator = torch.Generator().manual_seed(3)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return x * sd**2 / (sd**2 + sigma**2)

    x = levels[0] * noise(torch.zeros(count, 1, 1, 1, dtype=torch.float64))
    *_, last = SAMPLERS["ddpm"](denoise, x, levels, randn_like=noise)
    variance = levels[0].item() ** 2
    for now, nxt in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        up = nxt**2 * (now**2 - nxt**2) / now**2
        down = math.sqrt(nxt**2 - up)
        shrink = sd**2 / (sd**2 + now**2)
        variance = (shrink + down / now * (1 - shrink)) ** 2 * variance + up
    found, error = last.x.var().item(), variance * math.sqrt(2 / count)
    says = f"variance {found:.4f}, exactly {variance:.4f} \u00b1 {2 * error:.4f}"
    yield Check("sampler ddpm", says, abs(found - variance) < 4 * error)


def schedules(more: Mapping[str, Schedule]) -> Iterator[Check]:
    """Every schedule rises, ends finitely, and gives a strictly falling grid that ends in 0."""
    known: dict[str, Schedule] = {name: kind() for name, kind in SCHEDULES.items()}
    for name, schedule in {**known, **more}.items():
        u = torch.linspace(0, 1, 1001, dtype=torch.float64)
        sigma = schedule.sigma(u)
        rises = bool((sigma.diff() >= 0).all()) and bool((sigma > 0).all())
        finite = bool(torch.isfinite(sigma).all())
        falls = finite and bool((grid(schedule, 50).diff() < 0).all())
        says = f"{sigma[0].item():.4g} to {sigma[-1].item():.4g}"
        says += "" if rises and finite and falls else ", not rising, not finite, or not positive"
        yield Check(f"schedule {name}", says, rises and finite and falls)


def _cond(mean: float) -> Cond:
    return Cond(torch.full((1, 1), mean), torch.zeros(1, 0, 1), torch.zeros(1, 0, dtype=torch.bool))


def guidances() -> Iterator[Check]:
    """Guidance on Gaussians, where what it leads to is a Gaussian again."""
    sd, sigma = 0.5, torch.tensor(0.8, dtype=torch.float64)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    open_share = sigma.square() / (sd**2 + sigma.square())

    def model(x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        mean = cond.vector.double().view(-1, 1, 1, 1)
        return mean + sd**2 / (sd**2 + sigma**2) * (x - mean)

    asked, null = (Cond(*(part.repeat(9, 1, *[1] * (part.ndim - 2)) for part in _cond(m)))
                   for m in (0.7, -0.2))  # fmt: skip
    for scale in (1.0, 2.5):
        # p_null^(1 - w) p_asked^w is a Gaussian around the means' extrapolation.
        mean = -0.2 + scale * 0.9
        truth = mean + sd**2 / (sd**2 + sigma**2) * (x - mean)
        error = (guidance.cfg(model, asked, null, scale)(x, sigma) - truth).abs().max().item()
        yield Check(f"guidance cfg {scale:g}", f"off by {error:.0e}", error < 1e-6)
    off = (guidance.cfg(model, asked, null, 2.5, 1.0, 2.0)(x, sigma) - model(x, sigma, asked)).abs()
    yield Check("guidance interval", f"off by {off.max().item():.0e} outside", not off.any())

    # A reader that sees the picture through noise of spread r, and its posterior by Bayes.
    reach, seen = 0.6, 0.4
    plain: Denoise = guidance.bind(model, null)
    posterior = sd**2 * sigma.square() / (sd**2 + sigma.square())
    truth = plain(x, sigma) + posterior / (posterior + reach**2) * (seen - plain(x, sigma))

    def of_noisy(x: Tensor, sigma: Tensor) -> Tensor:
        spread = reach**2 + posterior
        return (-(seen - plain(x, sigma)).square() / (2 * spread)).flatten(1).sum(1)

    def of_clean(x0: Tensor, sigma: Tensor) -> Tensor:
        return (-(seen - x0).square() / (2 * (reach**2 + posterior))).flatten(1).sum(1)

    for name, guided in (
        ("pulled", guidance.pulled(plain, of_noisy, 1.0)),
        ("pulled through", guidance.pulled_through(plain, of_clean, 1.0)),
    ):
        error = (guided(x, sigma) - truth).abs().max().item()
        yield Check(f"guidance {name}", f"off from Bayes by {error:.0e}", error < 1e-6)
    many = guidance.pulled_inside(plain, of_clean, 1.0, sd, steps=1, size=1e-6)
    slope = (seen - plain(x, sigma)) / (reach**2 + posterior)
    expected = plain(x, sigma) + 1e-6 * open_share * sd**2 * slope
    error = (many(x, sigma) - expected).abs().max().item()
    yield Check("guidance inside", f"one step off by {error:.0e}", error < 1e-9)


def likelihood() -> Iterator[Check]:
    """Bits per dimension of a Gaussian and of two far modes on 256 grey values."""
    for name, sd, far in (("Gaussian", 0.2, 0.0), ("mixture", 0.1, 0.5)):
        generator = torch.Generator().manual_seed(4)
        side = (torch.arange(4000) % 2 * 2 - 1).view(-1, 1, 1, 1) * far
        clean = side + sd * torch.randn(4000, 1, 2, 2, generator=generator)
        clean = ((clean.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1

        def denoise(x: Tensor, sigma: Tensor, sd: float = sd, far: float = far) -> Tensor:
            level = sd**2 + sigma.view(-1, 1, 1, 1).square()
            lean = far * torch.tanh(far * x.sum((1, 2, 3), keepdim=True) / level)
            return lean + (x - lean) * sd**2 / level

        spread = math.hypot(sd, far)
        found = bits_per_dimension(denoise, clean, (0.002, 80.0), spread, generator)
        exact = _bits(clean, sd, far)
        reach = 2 * found.error
        says = f"{found.mean:.3f} \u00b1 {reach:.3f} bits, exactly {exact:.3f}"
        yield Check(f"likelihood of a {name}", says, abs(found.mean - exact) < reach)


def _bits(clean: Tensor, sd: float, far: float) -> float:
    """Bits per dimension of pictures under two Gaussians, cut into grey values."""
    x, half = clean.double().flatten(1), 1 / 255
    modes = []
    for mean in (-far, far):
        ends = [(x + side * half - mean) / sd for side in (1, -1)]
        inside = torch.special.ndtr(ends[0]) - torch.special.ndtr(ends[1])
        modes.append(inside.clamp(min=1e-30).log2().sum(1))
    both = torch.stack(modes) * math.log(2)
    return float(-(both.logsumexp(0) - math.log(2)).mean() / math.log(2) / x.shape[1])


def scores() -> Iterator[Check]:
    """Scores on sets whose truth is known: closed forms, and modes dropped or invented."""
    rng = np.random.default_rng(5)

    def normal(mean: list[float], sd: list[float], count: int) -> np.ndarray:
        drawn: np.ndarray = rng.standard_normal((count, len(mean))) * sd + mean
        return drawn

    def near(name: str, found: float, truth: float, reach: float) -> Check:
        return Check(name, f"{found:.4f}, truth {truth:.4f}", abs(found - truth) <= reach)

    a, b = normal([0, 0], [1, 2], 100_000), normal([1, 0], [2, 1], 100_000)
    yield near("Frechet distance", metrics.frechet(a, b), 3.0, 0.06)
    a, b = normal([0], [1], 2000), normal([1], [0.5], 2000)
    distance = metrics.kernel_distances(a, b)
    low, high = by_halves(distance, 2000)
    yield near("kernel distance", distance(np.arange(2000)), _kernel_truth(), high - low)
    left, right = normal([-9, 0], [1, 1], 400), normal([9, 0], [1, 1], 400)
    both, again = np.concatenate([left, right]), normal([-9, 0], [1, 1], 400)
    invented = np.concatenate([again, normal([0, 90], [1, 1], 400)])
    yield near("recall, a mode dropped", metrics.recall(both, again), 0.5, 0.08)
    yield near("coverage, a mode dropped", metrics.coverage(both, again), 0.5, 0.05)
    yield near("precision, a mode invented", metrics.recall(invented, both), 0.5, 0.08)
    yield near("density, a mode invented", metrics.density(both, invented), 0.5, 0.08)
    sure = np.eye(10)[np.arange(1000) % 4]
    yield near("Inception-score form, 4 modes", metrics.inception_score(sure), 4.0, 1e-6)


def _kernel_truth() -> float:
    """The squared MMD of N(0, 1) and N(1, 0.5^2) under (xy + 1)^3, from moments."""

    def mean(m: float, s: float, u: float, v: float) -> float:
        second = (m**2 + s**2) * (u**2 + v**2)
        third = (m**3 + 3 * m * s**2) * (u**3 + 3 * u * v**2)
        return 1 + 3 * m * u + 3 * second + third

    return mean(0, 1, 0, 1) + mean(1, 0.5, 1, 0.5) - 2 * mean(0, 1, 1, 0.5)


def verify(
    more_samplers: Mapping[str, Sampler] | None = None,
    more_schedules: Mapping[str, Schedule] | None = None,
) -> Iterator[Check]:
    """Every check, one after the other.

    Args:
        more_samplers: the user's own by name, held to the first order.
        more_schedules: the user's own by name.
    """
    mixture = Mixture()
    yield from predictions()
    yield from score_of_the_mixture(mixture)
    yield from schedules(more_schedules or {})
    yield from samplers(mixture, more_samplers or {})
    yield from ancestral_sampling()
    yield from guidances()
    yield from likelihood()
    yield from scores()
