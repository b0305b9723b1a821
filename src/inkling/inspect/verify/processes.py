"""Checks of predictions, noise schedules, samplers and guidance, on Gaussians and their mixture."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from inkling.contracts import Cond, Denoise
from inkling.core import guidance
from inkling.core.denoiser import PREDICTIONS, target_of
from inkling.core.mixture import Mixture
from inkling.core.noise import Karras, Schedule, grid, karras
from inkling.core.samplers import SAMPLERS, Sampler, Solver, heun
from inkling.inspect.verify.check import Check

STEPS = (16, 32, 64, 128, 256)
_STOP = 0.2
"""Noise level at which convergence is measured; below, a step to 0 is first order in some."""
_SPREAD = 0.04
"""Relative error of a standard deviation that steps and chance may cause."""
_SLACK = 0.25
"""Tolerance of a measured order of convergence."""


def predictions() -> Iterator[Check]:
    """`D = c_skip x + c_out F` recovers the image, and `F` is the quantity in its name."""
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(64, 1, 1, 1, generator=generator).double() for _ in range(2))
    sigma = torch.logspace(-3, 2, 64, dtype=torch.float64).view(-1, 1, 1, 1)
    x, alpha = x0 + sigma * noise, (1 + sigma.square()).rsqrt()
    known: dict[str, Tensor] = {
        "eps": noise,
        "x0": x0,
        "v": alpha * noise - sigma * alpha * x0,
        "flow": noise - x0,
        "edm": sigma * alpha * x0 - alpha * noise,  # minus v, for images of unit variance
    }
    for name, prediction in PREDICTIONS.items():
        scalings = prediction(sigma, 1.0)
        target = target_of(x0, x, scalings)
        back = scalings.skip * x + scalings.out * target
        error = (back - x0).abs().max().item()
        off = ((target - known[name]).abs() / (1 + known[name].abs())).max().item()
        yield Check(
            f"prediction {name}",
            f"image recovered to {error:.0e}, target to {off:.0e}",
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
    schedule = Karras(sigma_min=_STOP, sigma_max=20.0)
    generator = torch.Generator().manual_seed(2)
    x = 20.0 * torch.randn(64, 2, 1, 1, generator=generator, dtype=torch.float64)
    *_, exact = heun(denoise, x, grid(schedule, 3000)[:-1])  # without the step to 0
    found = []
    for steps in STEPS:
        last = x
        for step in sampler(denoise, x, grid(schedule, steps + 1)[:-1]):
            last = step.x
        found.append((last - exact.x).square().mean().sqrt().item())
    return found


def order(found: list[float]) -> float:
    """Order of convergence, from the last three errors: log2 of their decrease per doubling."""
    if not all(map(math.isfinite, found)):
        return 0.0
    smallest = 1e-300  # in place of an error of 0
    return math.log2(max(found[-3], smallest) / max(found[-1], smallest)) / 2


def samplers(mixture: Mixture, some: Mapping[str, Sampler]) -> Iterator[Check]:
    """The order of the deterministic ones among some samplers; of first order at least."""
    for name, sampler in some.items():
        if draws_noise(sampler):
            continue
        found = errors(sampler, mixture.denoise)
        reached, promised = order(found), sampler.order if isinstance(sampler, Solver) else 1
        measured = f"order {reached:.2f}, error {found[-1]:.1e} at {STEPS[-1]} steps"
        ok = reached > promised - _SLACK or found[-1] < 1e-12
        if not ok:
            measured += f", where order {promised} was due"
        yield Check(f"sampler {name}", measured, ok, tuple(found))


def draws_noise(sampler: Sampler) -> bool:
    """Whether a sampler asks for fresh noise, found by running it."""
    asked = []

    def noise(like: Tensor) -> Tensor:
        asked.append(like)
        return torch.zeros_like(like)

    for _ in sampler(lambda x, sigma: 0 * x, torch.zeros(1, 1, 1, 1), karras(4), randn_like=noise):
        pass
    return bool(asked)


def stochastic_samplers(some: Mapping[str, Sampler]) -> Iterator[Check]:
    """The standard deviation of samples of a Gaussian, for those that draw noise: in many steps it
    is that of the data, whatever the amount of noise.
    """
    sd, count, steps = 0.5, 20_000, 400
    levels = grid(Karras(sigma_min=0.002, sigma_max=20.0), steps)
    for name, sampler in some.items():
        if not draws_noise(sampler):
            continue
        generator = torch.Generator().manual_seed(5)

        def noise(like: Tensor, generator: torch.Generator = generator) -> Tensor:
            return torch.randn(like.shape, generator=generator, dtype=like.dtype)

        x = levels[0] * noise(torch.zeros(count, 1, 1, 1, dtype=torch.float64))
        last = x
        for step in sampler(lambda x, s: x * sd**2 / (sd**2 + s**2), x, levels, randn_like=noise):
            last = step.x
        found = last.std().item()
        measured = f"standard deviation {found:.4f} in {steps} steps, of data with {sd}"
        yield Check(f"sampler {name}", measured, abs(found / sd - 1) < _SPREAD)


def ancestral_sampling() -> Iterator[Check]:
    """The variance of samples of a Gaussian under fresh noise, against its exact value."""
    yield _fresh_noise("ddpm", SAMPLERS["ddpm"], 1.0)
    for name, solver in SAMPLERS.items():
        if solver.takes_eta:
            yield _fresh_noise(f"{name}, eta 0.5", solver.with_eta(0.5), 0.5)


def _fresh_noise(name: str, solver: Solver, eta: float) -> Check:
    sd, count = 0.5, 20_000
    levels = grid(Karras(sigma_min=0.02, sigma_max=20.0), 30)
    generator = torch.Generator().manual_seed(3)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return x * sd**2 / (sd**2 + sigma**2)

    x = levels[0] * noise(torch.zeros(count, 1, 1, 1, dtype=torch.float64))
    *_, last = solver(denoise, x, levels, randn_like=noise)
    variance = levels[0].item() ** 2
    for now, nxt in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        up = eta**2 * nxt**2 * (now**2 - nxt**2) / now**2
        down = math.sqrt(nxt**2 - up)
        shrink = sd**2 / (sd**2 + now**2)
        variance = (shrink + down / now * (1 - shrink)) ** 2 * variance + up
    found, error = last.x.var().item(), variance * math.sqrt(2 / count)
    measured = f"variance {found:.4f}, exactly {variance:.4f} \u00b1 {2 * error:.4f}"
    return Check(f"sampler {name}", measured, abs(found - variance) < 4 * error)


def _exact_sigmas() -> dict[str, tuple[float, float]]:
    """(u near the middle, exact sigma) of each schedule, by its paper's own formula."""
    u, betas = 500 / 999, 1e-4 + (0.02 - 1e-4) * np.arange(1000) / 999
    signal = math.exp(np.log1p(-betas[:501]).sum())
    cosine = [math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2 for t in (0.501, 0.0)]
    ends = [math.log(sigma) / 1.2 + 1 for sigma in (0.002, 80.0)]
    quantile = sum(stats.norm.cdf(ends)) / 2
    return {
        "linear": (u, math.sqrt((1 - signal) / signal)),
        "cosine": (u, math.sqrt(cosine[1] / cosine[0] - 1)),
        "karras": (0.5, ((0.002 ** (1 / 7) + 80 ** (1 / 7)) / 2) ** 7),
        "lognormal": (0.5, math.exp(1.2 * (float(stats.norm.ppf(quantile)) - 1))),
        "flow": (0.5, 1.0),
    }


def schedules(some: Mapping[str, Schedule]) -> Iterator[Check]:
    """Schedules rise, have finite ends and a falling grid; ours follow their papers."""
    exact_sigmas = _exact_sigmas()
    for name, schedule in some.items():
        u = torch.linspace(0, 1, 1001, dtype=torch.float64)
        sigma = schedule.sigma(u)
        rises = bool((sigma.diff() >= 0).all()) and bool((sigma > 0).all())
        finite = bool(torch.isfinite(sigma).all())
        falls = finite and bool((grid(schedule, 50).diff() < 0).all())
        measured = f"{sigma[0].item():.4g} to {sigma[-1].item():.4g}"
        if not (rises and finite and falls):
            measured += ", not rising, not finite, or not positive"
        near = True
        if name in exact_sigmas:
            middle, exact = exact_sigmas[name]
            off = schedule.sigma(torch.tensor(middle, dtype=torch.float64)).item() / exact - 1
            near = abs(off) < 1e-6
            measured += f", relative error {abs(off):.0e} in the middle"
        yield Check(f"schedule {name}", measured, rises and finite and falls and near)


def _cond(mean: float) -> Cond:
    return Cond(torch.full((1, 1), mean), torch.zeros(1, 0, 1), torch.zeros(1, 0, dtype=torch.bool))


def guidances() -> Iterator[Check]:
    """Guidance on Gaussians, where the guided distribution is a Gaussian too."""
    sd, sigma = 0.5, torch.tensor(0.8, dtype=torch.float64)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    noise_fraction = sigma.square() / (sd**2 + sigma.square())

    def model(x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        mean = cond.vector.double().view(-1, 1, 1, 1)
        return mean + sd**2 / (sd**2 + sigma**2) * (x - mean)

    cond, null = (Cond(*(part.repeat(9, 1, *[1] * (part.ndim - 2)) for part in _cond(m)))
                  for m in (0.7, -0.2))  # fmt: skip
    for scale in (1.0, 2.5):
        # p_null^(1 - w) p_cond^w is a Gaussian whose mean is extrapolated from the two means.
        mean = -0.2 + scale * 0.9
        exact = mean + sd**2 / (sd**2 + sigma**2) * (x - mean)
        error = (guidance.cfg(model, cond, null, scale)(x, sigma) - exact).abs().max().item()
        yield Check(f"guidance cfg {scale:g}", f"off by {error:.0e}", error < 1e-6)
    off = (guidance.cfg(model, cond, null, 2.5, 1.0, 2.0)(x, sigma) - model(x, sigma, cond)).abs()
    yield Check("guidance interval", f"off by {off.max().item():.0e} outside", not off.any())

    far: Denoise = lambda x, sigma: 3 * x  # noqa: E731
    cut = guidance.clamp(far)(x, sigma) - (3 * x).clamp(-1, 1)
    yield Check("guidance clamp", f"off by {cut.abs().max().item():.0e}", not cut.any())
    four = torch.tensor([0.5, -1.0, 2.0, -4.0], dtype=torch.float64).view(1, 1, 2, 2)
    bent = guidance.dynamic_threshold(lambda x, sigma: x, 1.0)(four, sigma) - four / 4
    yield Check("guidance dynamic threshold", f"off by {bent.abs().max().item():.0e}",
                bent.abs().max().item() < 1e-6)  # fmt: skip

    # An observation of the clean image with Gaussian noise, and the posterior by Bayes' rule.
    observed, noise_sd = 0.4, 0.6
    plain: Denoise = guidance.bind(model, null)
    posterior = sd**2 * sigma.square() / (sd**2 + sigma.square())
    variance = noise_sd**2 + posterior
    exact = plain(x, sigma) + posterior / variance * (observed - plain(x, sigma))

    def of_noisy(x: Tensor, sigma: Tensor) -> Tensor:
        return (-(observed - plain(x, sigma)).square() / (2 * variance)).flatten(1).sum(1)

    def of_clean(x0: Tensor, sigma: Tensor) -> Tensor:
        return (-(observed - x0).square() / (2 * variance)).flatten(1).sum(1)

    for name, guided in (
        ("classifier", guidance.classifier_guidance(plain, of_noisy, 1.0)),
        ("dps", guidance.dps_guidance(plain, of_clean, 1.0)),
    ):
        error = (guided(x, sigma) - exact).abs().max().item()
        yield Check(f"guidance {name}", f"off from Bayes by {error:.0e}", error < 1e-6)
    one_step = guidance.estimate_guidance(plain, of_clean, 1.0, sd, steps=1, size=1e-6)
    slope = (observed - plain(x, sigma)) / variance
    expected = plain(x, sigma) + 1e-6 * noise_fraction * sd**2 * slope
    error = (one_step(x, sigma) - expected).abs().max().item()
    yield Check("guidance estimate", f"one step off by {error:.0e}", error < 1e-9)
